"""Settings of the HTTP door: where it listens, who may come in, how much is taken at once."""

from __future__ import annotations

from typing import Annotated, Literal

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
        Meta(description="Keys that clients send as 'Authorization: Bearer KEY', each as [SCOPE[+SCOPE]:]KEY or "
                         "[SCOPE[+SCOPE]:]sha256:HASH with the scopes read, write, admin; without scopes a key may "
                         "everything. None, and none made with 'everbrook keys', means loopback alone.",
             extra={"secret": True}),
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description="Sites whose pages may ask from a browser, such as https://shop.example; none of them means "
                         "that only pages of this server may."),
    ] = ()
    request_rate: Annotated[
        float, Meta(description="Most requests a second that a key may send, on average; 0 sets no limit.", ge=0,
                    extra={"unit": "requests/s"})
    ] = 0.0
    request_burst: Annotated[
        int, Meta(description="Most requests that a key may send at once after a pause.", ge=1,
                  extra={"unit": "requests"})
    ] = 100
    body_limit_bytes: Annotated[
        int, Meta(description="Largest request body that is taken.", ge=1024, extra={"unit": "bytes"})
    ] = 16 * 1024 * 1024
    bodies_mb: Annotated[
        int, Meta(description="Most memory of request bodies together; beyond it requests are turned away for a while.",
                  ge=1, le=1_048_576, extra={"unit": "MiB"})
    ] = 256
    batch_limit: Annotated[
        int, Meta(description="Most records that one request may hold.", ge=1, extra={"unit": "records"})
    ] = 100_000
    backlog: Annotated[
        int, Meta(description="Connections that may wait to be accepted.", ge=1, extra={"unit": "connections"})
    ] = 2048
    connections_limit: Annotated[
        int, Meta(description="Most connections at once; beyond it those that have idled longest are closed.", ge=8,
                  extra={"unit": "connections"})
    ] = 4096
    head_limit_bytes: Annotated[
        int, Meta(description="Longest head of a request: its address and headers.", ge=1024, extra={"unit": "bytes"})
    ] = 65_536
    receive_timeout_s: Annotated[
        float, Meta(description="How long a request may take to arrive, from its first byte to its last.", gt=0,
                    extra={"unit": "s"})
    ] = 30.0
    send_timeout_s: Annotated[
        float, Meta(description="How long a client may leave an answer unread before its connection is cut.", gt=0,
                    extra={"unit": "s"})
    ] = 20.0
    idle_timeout_s: Annotated[
        int, Meta(description="How long a connection may stay open without a request.", ge=1, extra={"unit": "s"})
    ] = 30
    stop_timeout_s: Annotated[
        int, Meta(description="How long requests in flight may take to end when the server stops.", ge=0,
                  extra={"unit": "s"})
    ] = 10
    log_format: Annotated[
        Literal["text", "json"],
        Meta(description="How lines about what happens are written to standard error: for people or for machines."),
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="From which weight on a line is written.")
    ] = "info"
    log_requests: Annotated[
        Literal["none", "failed", "all"],
        Meta(description="Which answers get a line: none, those with a status of 400 and more or that were slow, or "
                         "all."),
    ] = "failed"
    slow_ms: Annotated[
        float, Meta(description="From how long on an answer counts as slow.", gt=0, extra={"unit": "ms"})
    ] = 1000.0
    trace_endpoint: Annotated[
        str,
        Meta(description="Where OpenTelemetry traces are sent by OTLP over HTTP, such as "
                         "http://127.0.0.1:4318/v1/traces; empty makes none."),
    ] = ""
    trace_share: Annotated[
        float,
        Meta(description="Share of the requests that are traced where whoever asks does not say.", ge=0, le=1,
             extra={"unit": "1"}),
    ] = 1.0  # fmt: skip
