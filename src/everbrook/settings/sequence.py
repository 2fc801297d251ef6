"""What the large sequence model is made of. How it is learned stands in `fit`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class SequenceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of the sequence model."""

    kind: Annotated[
        Literal["transformer", "recurrent"],
        Meta(description="Which network reads a history: attention over it, or a recurrent state."),
    ] = "transformer"
    width: Annotated[int, Meta(description="Width of an item's vector.", ge=4, extra={"unit": "numbers"})] = 64
    layers: Annotated[int, Meta(description="Blocks on top of each other.", ge=1, le=32, extra={"unit": "layers"})] = 2
    heads: Annotated[int, Meta(description="Attention heads of a block; must divide the width.", ge=1, le=64,
                               extra={"unit": "heads"})] = 2
    history: Annotated[
        int, Meta(description="How many of an actor's last events the model reads.", ge=1, extra={"unit": "events"})
    ] = 50
    attention: Annotated[
        Literal["softmax", "pointwise"],
        Meta(description="How the transformer weighs the past: softmax as SASRec, or pointwise SiLU as HSTU."),
    ] = "softmax"
    time_buckets: Annotated[
        int, Meta(description="Buckets of a time gap that the model tells apart; 0 leaves time out.", ge=0, le=50,
                  extra={"unit": "buckets"})
    ] = 32
    hour: Annotated[
        bool, Meta(description="Whether the model knows the part of the day and week that a list is asked for in.")
    ] = True
    hour_weeks: Annotated[
        int, Meta(description="Weeks that histories must span for it: what came once is no habit of the hour.", ge=0,
                  extra={"unit": "weeks"})
    ] = 4
    kinds: Annotated[
        int, Meta(description="Event kinds that have a vector of their own; later ones share the last.", ge=1, le=1024,
                  extra={"unit": "kinds"})
    ] = 32
    dropout: Annotated[
        float, Meta(description="Share of hidden numbers that training drops within a block.", ge=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.3
    item_dropout: Annotated[
        float, Meta(description="Share of numbers of an item's vector that training drops at the input.", ge=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.45
    cosine: Annotated[
        bool, Meta(description="Score by the cosine of state and item rather than their product (NISER, 2019).")
    ] = True
    sharpness: Annotated[
        float, Meta(description="What the cosine is multiplied by before the softmax.", gt=0, le=100,
                    extra={"unit": "1"})
    ] = 14.0
    rest: Annotated[
        float, Meta(description="Share of probability left for items that the model does not know.", gt=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.001
    indexed_items: Annotated[
        int,
        Meta(
            description="From so many items on, single lists come from the coded item index.",
            ge=1, extra={"unit": "items"},
        ),
    ] = 50_000
