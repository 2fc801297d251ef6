"""Settings of the log."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How records are taken in and kept."""

    future_tolerance_s: Annotated[
        float, Meta(description="How far ahead of the present an event's time may lie.", ge=0.0, extra={"unit": "s"})
    ] = 300.0
    group_events: Annotated[
        int,
        Meta(description="The most records that share a commit.", ge=1, le=1_000_000, extra={"unit": "records"}),
    ] = 10_000
    seal_events: Annotated[
        int,
        Meta(
            description="Live events are moved from SQLite into a column file when there are this many; 0: never.",
            ge=0,
            extra={"unit": "events"},
        ),
    ] = 250_000
    waiting_mb: Annotated[
        int,
        Meta(
            description="Most memory of records that wait for the disk; beyond it new ones are turned away a while.",
            ge=1, le=65_536, extra={"unit": "MiB"},
        ),
    ] = 64
    cache_mb: Annotated[
        int, Meta(description="Memory that SQLite may use for its pages.", ge=1, le=65_536, extra={"unit": "MiB"})
    ] = 64
