"""Settings of the mixture: how experts are pooled, stacked and insured."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class MixtureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the experts' probabilities become one."""

    experts: Annotated[
        tuple[str, ...],
        Meta(description="The families of experts, in order; popularity must come first.", min_length=1),
    ] = ("popularity", "transitions", "repeats", "neighbours", "collaborative", "content", "rules", "sequence",
         "live")
    judge_share: Annotated[
        float,
        Meta(
            description="Share of live events whose list is made, and learned from, before the event is learned.",
            ge=0.0,
            le=1.0,
            extra={"unit": "share"},
        ),
    ] = 1.0
    pool_rate: Annotated[
        float,
        Meta(
            description="Step size of the linear pools' weights (Soft-Bayes).",
            gt=0.0,
            lt=1.0,
            extra={"unit": "1/event"},
        ),
    ] = 0.02
    switch_rate: Annotated[
        float,
        Meta(
            description="Fixed share: probability that another expert becomes the best one at the next event.",
            gt=0.0,
            lt=0.5,
            extra={"unit": "1/event"},
        ),
    ] = 1e-5
    stack_rate: Annotated[
        float,
        Meta(description="Step size of the log-linear stacker (Adagrad).", gt=0.0, le=10.0, extra={"unit": "1"}),
    ] = 0.05
    stack_decay: Annotated[
        float,
        Meta(
            description="Pull of the stacker's weights for a context towards those for all contexts.",
            ge=0.0,
            lt=1.0,
            extra={"unit": "1/event"},
        ),
    ] = 1e-3
    candidates: Annotated[
        int,
        Meta(
            description="Most candidates that one family of experts may propose.",
            ge=1,
            le=10_000,
            extra={"unit": "items"},
        ),
    ] = 100
