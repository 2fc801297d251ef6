"""Settings of the item index."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class IndexSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the item table is searched. The result is exact whatever is set here."""

    quantised: Annotated[
        bool, Meta(description="Scan an int8 copy of the table first; exact all the same, faster, 25 % more memory.")
    ] = True
    batch_bytes: Annotated[
        int,
        Meta(
            description="Largest block of scores that a batch of queries holds at once.",
            ge=1 << 16,
            extra={"unit": "bytes"},
        ),
    ] = 64 << 20
