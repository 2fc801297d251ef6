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
            ge=0.0, le=1.0, extra={"unit": "share"},
        ),
    ] = 0.05
    checkpoint_events: Annotated[
        int,
        Meta(description="Events between two checkpoints of what was learned.", ge=1, extra={"unit": "events"}),
    ] = 200_000
    checkpoints: Annotated[
        int, Meta(description="Checkpoints kept.", ge=1, le=100, extra={"unit": "checkpoints"})
    ] = 2
