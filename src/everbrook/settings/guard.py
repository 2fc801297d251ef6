"""Settings of the guard: how much of what is learned one actor, or all actors together, may decide."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class GuardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an actor's and an item's events may teach at most. Histories keep every event, whatever is set here."""

    enabled: Annotated[
        bool, Meta(description="Whether the influence of actors and items on what is learned is bounded.")
    ] = True
    window_s: Annotated[
        float,
        Meta(description="Window of an actor's bounds, in event time.", ge=1.0, le=604_800.0, extra={"unit": "s"}),
    ] = 3600.0
    actor_events: Annotated[
        int,
        Meta(
            description="Most events of an actor that count within a window, half of them at once.",
            ge=2,
            le=1_000_000,
            extra={"unit": "events"},
        ),
    ] = 400
    actor_item_events: Annotated[
        int,
        Meta(
            description="Most events of an actor on one item that count within a window.",
            ge=1,
            le=64,
            extra={"unit": "events"},
        ),
    ] = 8
    item_window_s: Annotated[
        float,
        Meta(
            description="Shortest window over which the growth of an item's share is bounded.",
            ge=1.0,
            le=604_800.0,
            extra={"unit": "s"},
        ),
    ] = 600.0
    least_events: Annotated[
        int,
        Meta(
            description="Fewest positive events of such a window; in quiet hours it lasts longer.",
            ge=10,
            le=1_000_000,
            extra={"unit": "events"},
        ),
    ] = 100
    item_growth: Annotated[
        float,
        Meta(
            description="Factor by which an item's share of what counts may grow from one window to the next.",
            ge=1.0,
            le=100.0,
            extra={"unit": "1"},
        ),
    ] = 2.0
    item_share: Annotated[
        float,
        Meta(
            description="Share of what counts that every item may have; one over the number of items where more.",
            gt=0.0,
            le=1.0,
            extra={"unit": "share"},
        ),
    ] = 0.003
    item_events: Annotated[
        int,
        Meta(
            description="Events of an item that count beyond its share before the bound on growth holds.",
            ge=1,
            le=1_000_000,
            extra={"unit": "events"},
        ),
    ] = 50
    known_items: Annotated[
        int,
        Meta(
            description="Other items in the history of an actor who is known; whoever has fewer is a newcomer.",
            ge=0,
            le=64,
            extra={"unit": "items"},
        ),
    ] = 2
    newcomer_ratio: Annotated[
        float,
        Meta(
            description="Newcomers that count for each known actor on an item, in multiples of the ratio over all.",
            gt=0.0,
            le=1000.0,
            extra={"unit": "1"},
        ),
    ] = 4.0
    newcomer_events: Annotated[
        int,
        Meta(
            description="Newcomers' events on an item that count before known actors have to bear them out.",
            ge=1,
            le=1_000_000,
            extra={"unit": "events"},
        ),
    ] = 10
