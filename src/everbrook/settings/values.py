"""Settings of predicted values: ratings, and clicks on what was shown."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ValuesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How values and clicks are predicted before they are known; they change no list."""

    rated_kinds: Annotated[
        tuple[str, ...],
        Meta(description="Kinds whose values are predicted; where none is named, the first kinds that carry values."),
    ] = ()
    rated_limit: Annotated[
        int,
        Meta(description="Most kinds whose values are predicted, each by a model of its own.", ge=1, le=64,
             extra={"unit": "kinds"}),
    ] = 4  # fmt: skip
    rating_width: Annotated[
        int, Meta(description="Factors of each actor and item.", ge=0, le=256, extra={"unit": "factors"})
    ] = 8
    rating_noise: Annotated[
        float,
        Meta(description="Share of a value's variance that nothing explains.", gt=0.0, le=10.0, extra={"unit": "1"}),
    ] = 0.65
    bias_variance: Annotated[
        float,
        Meta(description="Prior variance of an actor's or item's bias, in variances of the values.",
             gt=0.0, le=10.0, extra={"unit": "1"}),
    ] = 0.17  # fmt: skip
    factor_variance: Annotated[
        float,
        Meta(description="Prior variance of a factor; the smaller, the stronger the regularisation.",
             gt=0.0, le=10.0, extra={"unit": "1"}),
    ] = 0.1  # fmt: skip
    forgetting: Annotated[
        float,
        Meta(description="Share of its prior variance that a bias or factor gains back with each event.",
             ge=0.0, lt=1.0, extra={"unit": "1/event"}),
    ] = 5e-3  # fmt: skip
    click_kinds: Annotated[
        tuple[str, ...],
        Meta(description="Kinds that take what was shown; where none is named, all with a weight above 0."),
    ] = ()
    click_rate: Annotated[
        float,
        Meta(description="Step size of the click model (Adagrad).", gt=0.0, le=10.0, extra={"unit": "1"}),
    ] = 0.1
    click_shrinkage: Annotated[
        float,
        Meta(description="Pull of the click model's weights towards where they began.", ge=0.0, lt=1.0,
             extra={"unit": "1/event"}),
    ] = 1e-4  # fmt: skip
    click_half_life_s: Annotated[
        float,
        Meta(description="Half-life of the counts of shows and clicks; 0 never fades.", ge=0.0, extra={"unit": "s"}),
    ] = 1_209_600.0
    click_prior: Annotated[
        float,
        Meta(description="Events of the rarer outcome for which the belief stands that an item or actor is like all.",
             gt=0.0, extra={"unit": "events"}),
    ] = 3.0  # fmt: skip
    seed: Annotated[int, Meta(description="Seed of the factors' first values.", ge=0, extra={"unit": "1"})] = 0
