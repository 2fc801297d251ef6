"""Settings of the drift detector: when learning and forgetting quicken, and for how long."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class DriftSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ADWIN on the loss per scenario; it quickens and reports, it never gates."""

    enabled: Annotated[bool, Meta(description="Whether drift is watched for.")] = True
    delta: Annotated[
        float,
        Meta(
            description="Confidence of ADWIN: probability with which a steady loss is called changed at one check.",
            gt=0.0,
            lt=1.0,
            extra={"unit": "1"},
        ),
    ] = 1e-4
    mean_events: Annotated[
        int,
        Meta(
            description="Events of a scenario whose mean loss is fed as one value.",
            ge=1,
            le=100_000,
            extra={"unit": "events"},
        ),
    ] = 32
    window_values: Annotated[
        int,
        Meta(
            description="Most values that a scenario's window keeps before it is begun anew from its later half.",
            ge=64,
            le=1_000_000,
            extra={"unit": "values"},
        ),
    ] = 4096
    loss_nats: Annotated[
        float,
        Meta(
            description="Loss of one event above which it counts as this much.",
            gt=0.0,
            le=1000.0,
            extra={"unit": "nats"},
        ),
    ] = 20.0
    least_nats: Annotated[
        float,
        Meta(
            description="Change of the mean loss below which a change is neither counted nor reported.",
            ge=0.0,
            le=100.0,
            extra={"unit": "nats"},
        ),
    ] = 0.1
    scenarios: Annotated[
        int,
        Meta(
            description="Scenarios that are watched on their own; further ones count only among all.",
            ge=0,
            le=1000,
            extra={"unit": "scenarios"},
        ),
    ] = 32
    factor: Annotated[
        float,
        Meta(
            description="Factor on the rates of learning and forgetting just after a rise of the loss.",
            ge=1.0,
            le=100.0,
            extra={"unit": "1"},
        ),
    ] = 3.0
    raised_s: Annotated[
        float,
        Meta(description="Time in which a raised factor falls back to 1.", gt=0.0, le=1e8, extra={"unit": "s"}),
    ] = 600.0
    refit_rises: Annotated[
        int,
        Meta(
            description="Rises within `drift.refit_within_s` after which a full refit is asked for; 0 never asks.",
            ge=0,
            le=1000,
            extra={"unit": "rises"},
        ),
    ] = 0
    refit_within_s: Annotated[
        float,
        Meta(description="Window in which rises count towards a refit.", gt=0.0, le=1e9, extra={"unit": "s"}),
    ] = 3600.0
