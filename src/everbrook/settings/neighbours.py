"""Settings of the session neighbours."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class NeighboursSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How similar recent sessions are found and what they say."""

    sessions: Annotated[
        int, Meta(description="How many of the latest sessions are remembered.", ge=16, extra={"unit": "sessions"})
    ] = 262_144
    session_items: Annotated[
        int,
        Meta(description="Latest distinct items that are kept of each session.", ge=2, le=256, extra={"unit": "items"}),
    ] = 20
    sample: Annotated[
        int,
        Meta(
            description="Latest sessions that are looked at for each item of the asker.",
            ge=1,
            le=8192,
            extra={"unit": "sessions"},
        ),
    ] = 512
    nearest: Annotated[
        int, Meta(description="Most similar sessions whose items are taken.", ge=1, le=8192, extra={"unit": "sessions"})
    ] = 300
    query_items: Annotated[
        int,
        Meta(
            description="Latest distinct items of the asker that are looked up.", ge=1, le=64, extra={"unit": "items"}
        ),
    ] = 10
    match_decay: Annotated[
        float,
        Meta(
            description="Weight lost by a neighbour for each place that its newest shared item lies back.",
            ge=0,
            le=1, extra={"unit": "1"},
        ),
    ] = 0.1
    distance_decay: Annotated[
        float,
        Meta(description="Factor for each place between the shared item and another one of the neighbour.", gt=0, le=1,
             extra={"unit": "1"}),
    ] = 0.8
    before_factor: Annotated[
        float, Meta(description="Factor for a neighbour's items that came before the shared one.", ge=0, le=1,
                    extra={"unit": "1"})
    ] = 0.3
    rarity_power: Annotated[
        float, Meta(description="Power of the logarithmic rarity by which an item's weight is multiplied.", ge=0, le=4,
                    extra={"unit": "1"})
    ] = 0.5
    sharpness: Annotated[
        float, Meta(description="Power that turns the neighbours' votes into probabilities.", gt=0, le=8,
                    extra={"unit": "1"})
    ] = 1.3
    kappa: Annotated[
        float,
        Meta(
            description="Similarity at which half of what is not fixed is left to the base.",
            ge=0,
            extra={"unit": "neighbours"},
        ),
    ] = 2.0
    least_rest: Annotated[
        float, Meta(description="Share that is left to the base even with many neighbours.", ge=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.25
