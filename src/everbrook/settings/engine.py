"""Settings of the engine: how it catches up, and when it keeps a checkpoint."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the engine keeps up with its log."""

    chunk: Annotated[
        int,
        Meta(description="Events read from the log at once while catching up.", ge=1, extra={"unit": "events"}),
    ] = 8192
    catch_up_judge_share: Annotated[
        float,
        Meta(
            description="Share of events whose list is made to learn the mixture from while catching up with the log.",
            ge=0.0,
            le=1.0,
            extra={"unit": "share"},
        ),
    ] = 0.05
    checkpoint_events: Annotated[
        int,
        Meta(description="Events between two checkpoints of what was learned.", ge=1, extra={"unit": "events"}),
    ] = 200_000
    checkpoint_every_s: Annotated[
        float,
        Meta(description="Time after which a checkpoint is made though fewer events came, but at least some thousands; "
                         "0: never. It bounds how long a start after a crash takes.",
             ge=0.0, le=1e9, extra={"unit": "s"}),
    ] = 30.0
    checkpoints: Annotated[int, Meta(description="Checkpoints kept.", ge=1, le=100, extra={"unit": "checkpoints"})] = 2
    judge_core_share: Annotated[
        float,
        Meta(
            description="Most of one core that judging live events may take, on average; under load fewer are judged. "
                        "0: no limit.",
            ge=0.0,
            le=1.0,
            extra={"unit": "share"},
        ),
    ] = 0.2
    judge_burst: Annotated[
        int,
        Meta(description="Most live events that are judged at once after a pause.", ge=1, extra={"unit": "events"}),
    ] = 32
    first_fit_share: Annotated[
        float,
        Meta(
            description="Earliest share of the log that a fit learns first; on the rest the model earns its weight.",
            gt=0.0,
            lt=1.0,
            extra={"unit": "share"},
        ),
    ] = 0.85
    trust_events: Annotated[
        int,
        Meta(
            description="Most events of a backlog whose lists are made to find how far each expert is to be trusted.",
            ge=1,
            extra={"unit": "events"},
        ),
    ] = 5_000
    least_fit_events: Annotated[
        int, Meta(description="Fewest events from which the sequence model is fitted.", ge=10, extra={"unit": "events"})
    ] = 500
    log_impressions: Annotated[bool, Meta(description="Write every list that was shown to the log.")] = True
    live_events: Annotated[
        int,
        Meta(
            description="Backlog up to which events count as live and are judged as live ones.",
            ge=1,
            extra={"unit": "events"},
        ),
    ] = 1000
    refit_every_s: Annotated[
        float,
        Meta(
            description="Time between two fits of the large model in the background of a server; 0: none by itself.",
            ge=0.0,
            le=1e9,
            extra={"unit": "s"},
        ),
    ] = 86_400.0
    refit_drift_s: Annotated[
        float,
        Meta(
            description="Shortest time from a fit in the background to the next one that drift may ask for.",
            ge=0.0,
            le=1e9,
            extra={"unit": "s"},
        ),
    ] = 21_600.0
    refit_niceness: Annotated[
        int, Meta(description="How far such a fit stands back behind all else.", ge=0, le=19, extra={"unit": "1"})
    ] = 15
