"""Settings of item-to-item transitions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class TransitionsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How what follows what is counted, and how the counts are asked."""

    half_lives_s: Annotated[
        tuple[Annotated[float, Meta(ge=0)], ...],
        Meta(
            description="Half-lives of the pair counts; 0 never forgets.",
            min_length=1,
            max_length=8,
            extra={"unit": "s"},
        ),
    ] = (1200.0, 21600.0, 604800.0, 0.0)
    learn_window: Annotated[
        int,
        Meta(
            description="Distinct items back in the history that are paired with each next item.",
            ge=1,
            le=64,
            extra={"unit": "items"},
        ),
    ] = 6
    learn_decay: Annotated[
        float, Meta(description="Weight of a pair for each step further apart.", gt=0, le=1, extra={"unit": "1"})
    ] = 0.8
    query_window: Annotated[
        int,
        Meta(description="Distinct last items that are asked what follows them.", ge=1, le=64, extra={"unit": "items"}),
    ] = 8
    query_decay: Annotated[
        float, Meta(description="Weight of an asked item for each step further back.", gt=0, le=1, extra={"unit": "1"})
    ] = 0.7
    across: Annotated[
        float, Meta(description="Weight of items from before the current session.", ge=0, le=1, extra={"unit": "share"})
    ] = 0.1
    backward: Annotated[
        float,
        Meta(
            description="Weight of what came before an item beside what came after it.",
            ge=0,
            le=1,
            extra={"unit": "share"},
        ),
    ] = 0.5
    doubt: Annotated[
        float,
        Meta(
            description="Events that an asked item must have led to before its word has half its weight.",
            ge=0,
            extra={"unit": "events"},
        ),
    ] = 5.0
    row_limit: Annotated[
        int,
        Meta(
            description="Most followers kept for an item; the weakest quarter goes when it is full.",
            ge=4,
            le=4096,
            extra={"unit": "items"},
        ),
    ] = 128
