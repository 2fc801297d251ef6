"""Settings of lists: what may be shown and how much is looked at."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class RankSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How candidates become a list."""

    exclude_seen: Annotated[
        bool, Meta(description="Leave out what the user has already had, where a request does not say.")
    ] = False
    most: Annotated[
        int, Meta(description="Longest list that may be asked for.", ge=1, le=100_000, extra={"unit": "items"})
    ] = 1000
    scan: Annotated[
        int,
        Meta(
            description="Where a filter leaves at most so many items, all are scored instead of the proposed ones.",
            ge=0,
            extra={"unit": "items"},
        ),
    ] = 3000
    reasons: Annotated[
        int, Meta(description="Most reasons given for an item.", ge=0, le=100, extra={"unit": "reasons"})
    ] = 2
