"""Settings of item-based and user-based collaborative filtering."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class CollaborativeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How users' long histories are compared."""

    half_life_s: Annotated[
        float, Meta(description="Half-life of the item-based counts; 0 never forgets.", ge=0, extra={"unit": "s"})
    ] = 31_536_000.0
    learn_window: Annotated[
        int,
        Meta(
            description="Latest distinct items of a user that are paired with each new one.",
            ge=1,
            le=128,
            extra={"unit": "items"},
        ),
    ] = 20
    learn_decay: Annotated[float, Meta(description="Weight of a pair for each place further apart.", gt=0, le=1,
                                       extra={"unit": "1"})] = 0.85
    row_items: Annotated[
        int,
        Meta(
            description="Most related items kept for an item (rounded up to a power of two).",
            ge=8,
            le=8192,
            extra={"unit": "items"},
        ),
    ] = 256
    query_items: Annotated[
        int,
        Meta(
            description="Latest distinct items of a user that are asked for related ones.",
            ge=1,
            le=128,
            extra={"unit": "items"},
        ),
    ] = 30
    query_decay: Annotated[
        float, Meta(description="Weight of an asked item for each place further back.", gt=0, le=1, extra={"unit": "1"})
    ] = 0.85
    shrinkage: Annotated[
        float,
        Meta(
            description="Added to the cosine's denominator, so that rare pairs are not overrated.",
            ge=0,
            extra={"unit": "events"},
        ),
    ] = 5.0
    item_sharpness: Annotated[
        float, Meta(description="Power that turns item similarities into probabilities.", gt=0, le=8,
                    extra={"unit": "1"})
    ] = 1.4
    users: Annotated[
        int, Meta(description="How many users are remembered as neighbours.", ge=16, extra={"unit": "users"})
    ] = 65_536
    user_items: Annotated[
        int,
        Meta(description="Latest distinct items that are kept of each user.", ge=2, le=4096, extra={"unit": "items"}),
    ] = 200
    sample: Annotated[
        int,
        Meta(
            description="Latest users that are looked at for each item of the asker.",
            ge=1,
            le=8192,
            extra={"unit": "users"},
        ),
    ] = 256
    nearest: Annotated[
        int, Meta(description="Most similar users whose items are taken.", ge=1, le=8192, extra={"unit": "users"})
    ] = 100
    user_query_items: Annotated[
        int,
        Meta(
            description="Latest distinct items by which similar users are found.", ge=1, le=128, extra={"unit": "items"}
        ),
    ] = 20
    distance_decay: Annotated[
        float,
        Meta(description="Factor for each place between the shared item and another one of the neighbour.", gt=0, le=1,
             extra={"unit": "1"}),
    ] = 0.9
    before_factor: Annotated[
        float, Meta(description="Factor for a neighbour's items that came before the shared one.", ge=0, le=1,
                    extra={"unit": "1"})
    ] = 0.5
    rarity_power: Annotated[
        float, Meta(description="Power of the logarithmic rarity by which an item's weight is multiplied.", ge=0, le=4,
                    extra={"unit": "1"})
    ] = 0.3
    size_power: Annotated[
        float,
        Meta(
            description="Power of the length of a neighbour's history by which its similarity is divided.", ge=0, le=1,
            extra={"unit": "1"}
        ),
    ] = 0.3
    user_sharpness: Annotated[
        float, Meta(description="Power that turns users' votes into probabilities.", gt=0, le=8, extra={"unit": "1"})
    ] = 1.4
    kappa: Annotated[
        float, Meta(description="Evidence at which half of what is not fixed is left to the base.", ge=0,
                    extra={"unit": "1"})
    ] = 1.0
    least_rest: Annotated[
        float, Meta(description="Share that is left to the base even with much evidence.", ge=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.3
