"""Settings of lists: what may be shown and how much is looked at."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

UNTOLD_S = {"impression": 0.0}  # how long kinds count as seen of which `seen_s` says nothing; others: always


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
    seen_s: Annotated[
        dict[str, float],
        Meta(
            description="How long an event of a kind counts as seen where seen items are left out, 0 not at all; "
            "kinds without an entry count as long as they are remembered (state.seen_items), impressions not at all.",
            extra={"unit": "s"},
        ),
    ] = msgspec.field(default_factory=lambda: dict(UNTOLD_S))
    pool: Annotated[
        int,
        Meta(
            description="How many of the best candidates diversity and calibration choose from, and explored places "
            "draw from; they draw from twice the list where that is more.",
            ge=1, le=10_000, extra={"unit": "items"},
        ),
    ] = 200
    diversity: Annotated[
        float,
        Meta(
            description="How far likeness to what stands above counts against an item, where a request does not say.",
            ge=0.0, le=1.0, extra={"unit": "1"},
        ),
    ] = 0.0
    calibration: Annotated[
        float,
        Meta(
            description="How far lists keep to the asker's own mix of categories, where a request does not say.",
            ge=0.0, le=1.0, extra={"unit": "1"},
        ),
    ] = 0.0
    freshness: Annotated[
        float,
        Meta(
            description="How far young items gain (< 0: lose), where a request does not say.",
            ge=-1.0, le=1.0, extra={"unit": "1"},
        ),
    ] = 0.0
    fresh_half_life_s: Annotated[
        float,
        Meta(description="Age at which an item counts as half as young as a new one.", gt=0.0, extra={"unit": "s"}),
    ] = 604_800.0
    fresh_factor: Annotated[
        float,
        Meta(
            description="What freshness 1 multiplies a new item's probability by.", ge=1.0, le=1e6, extra={"unit": "1"}
        ),
    ] = 10.0
    popularity: Annotated[
        float,
        Meta(
            description="Power of an item's popularity that its probability is multiplied by, where a request does "
            "not say; -1 divides the popularity out.",
            ge=-1.0, le=1.0, extra={"unit": "1"},
        ),
    ] = 0.0
    explore: Annotated[
        float,
        Meta(
            description="Share of places that are drawn from the items below the list, where a request does not say.",
            ge=0.0, le=1.0, extra={"unit": "1"},
        ),
    ] = 0.0
    explore_temperature: Annotated[
        float,
        Meta(
            description="How even the draws are: 1 in proportion to probability, more is more even.",
            gt=0.0, le=100.0, extra={"unit": "1"},
        ),
    ] = 1.0
    explore_seed: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Seed of what is drawn; none takes another at each start.", extra={"unit": "1"}),
    ] = None
    dislike: Annotated[
        float,
        Meta(
            description="Share of its probability that an item loses by being all like one that the asker dislikes.",
            ge=0.0, le=1.0, extra={"unit": "1"},
        ),
    ] = 0.8
