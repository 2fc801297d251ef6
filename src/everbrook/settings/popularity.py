"""Settings of decayed popularity."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class PopularitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How popularity is counted."""

    half_lives_s: Annotated[
        tuple[Annotated[float, Meta(ge=0)], ...],
        Meta(
            description="Half-lives of the counts over everybody's events; 0 never forgets.",
            min_length=1,
            extra={"unit": "s"},
        ),
    ] = (60.0, 300.0, 1800.0, 10800.0, 86400.0, 604800.0, 5184000.0, 0.0)
    scenario_half_lives_s: Annotated[
        tuple[Annotated[float, Meta(ge=0)], ...],
        Meta(
            description="Half-lives of the counts within a scenario; 0 never forgets, empty counts none.",
            extra={"unit": "s"},
        ),
    ] = (600.0, 10800.0, 604800.0)
    kappa: Annotated[
        float,
        Meta(
            description="Events' worth of belief in the base against which counts are weighed.",
            gt=0,
            extra={"unit": "events"},
        ),
    ] = 5.0
    top_items: Annotated[
        int,
        Meta(
            description="Items kept in order for each half-life, from which lists are proposed.",
            ge=1,
            le=4096,
            extra={"unit": "items"},
        ),
    ] = 128
    scenario_pairs: Annotated[
        int,
        Meta(
            description="Most pairs of scenario and item that are counted; beyond it the weakest go.",
            ge=1024,
            extra={"unit": "pairs"},
        ),
    ] = 4_000_000
