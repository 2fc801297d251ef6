"""Settings of content similarity."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ContentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How items that resemble a history or a typed query are found."""

    query_items: Annotated[
        int,
        Meta(
            description="Latest distinct items of the asker that make up the profile.",
            ge=1,
            le=64,
            extra={"unit": "items"},
        ),
    ] = 10
    query_decay: Annotated[
        float, Meta(description="Weight of an item in the profile for each place further back.", gt=0, le=1,
                    extra={"unit": "1"})
    ] = 0.8
    text_share: Annotated[
        float, Meta(description="Share of a typed query in the profile; the rest is the history's.", gt=0, le=1,
                    extra={"unit": "share"})
    ] = 0.85
    postings: Annotated[
        int,
        Meta(
            description="Most entries that a query reads of the lists of items by feature, telling features first; "
            "a search reads more where few of the items that it finds may be shown.",
            ge=100,
            extra={"unit": "entries"},
        ),
    ] = 8_000
    temperatures: Annotated[
        tuple[Annotated[float, Meta(gt=0)], ...],
        Meta(description="Temperatures of the softmax over cosines, one column each.", min_length=1, max_length=8,
             extra={"unit": "1"}),
    ] = (0.05, 0.2)
    vector_temperature: Annotated[
        float, Meta(description="Temperature of the softmax over cosines of given vectors.", gt=0, extra={"unit": "1"})
    ] = 0.1
    number_temperature: Annotated[
        float, Meta(description="Temperature of the softmax over likeness of numbers.", gt=0, extra={"unit": "1"})
    ] = 0.1
    number_width: Annotated[
        float, Meta(description="How far apart numbers may lie to be alike.", gt=0, extra={"unit": "deviations"})
    ] = 0.25
    scan_items: Annotated[
        int,
        Meta(
            description="Items most alike by given vectors, and by numbers, that get a probability.",
            ge=1,
            le=10_000,
            extra={"unit": "items"},
        ),
    ] = 300
    least_rest: Annotated[
        float, Meta(description="Share that is left to the base even where an item fits perfectly.", ge=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.3
