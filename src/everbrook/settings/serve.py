"""Settings of the HTTP door: where it listens, who may come in, how much is taken at once."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the HTTP door listens and what it lets in. Not part of the digest: it changes no list."""

    host: Annotated[
        str, Meta(description="Address to listen on; anything but loopback needs at least one key.", min_length=1)
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(description="Port to listen on; 0 takes a free one.", ge=0, le=65535, extra={"unit": "port number"})
    ] = 8000
    keys: Annotated[
        tuple[Annotated[str, Meta(min_length=8)], ...],
        Meta(description="Keys that clients send as 'Authorization: Bearer KEY'; none means loopback alone.",
             extra={"secret": True}),
    ] = ()
    body_limit_bytes: Annotated[
        int, Meta(description="Largest request body that is taken.", ge=1024, extra={"unit": "bytes"})
    ] = 16 * 1024 * 1024
    batch_limit: Annotated[
        int, Meta(description="Most records that one request may hold.", ge=1, extra={"unit": "records"})
    ] = 100_000
    backlog: Annotated[
        int, Meta(description="Connections that may wait to be accepted.", ge=1, extra={"unit": "connections"})
    ] = 2048
    stop_timeout_s: Annotated[
        int, Meta(description="How long requests in flight may take to end when the server stops.", ge=0,
                  extra={"unit": "s"})
    ] = 10
