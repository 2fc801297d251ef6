"""Settings of the learner: where it learns, in what portions, how much of the machine it takes, what it keeps."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LearnerMode = Literal["off", "inside", "process"]


class LearnerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the sequence model learns from every event while lists are served."""

    mode: Annotated[
        LearnerMode,
        Meta(description="Where it learns: in a process beside the server, inside the one that answers, or nowhere."),
    ] = "process"
    micro_batch_events: Annotated[
        int,
        Meta(description="Most events that are tested and learned together.", ge=1, le=65_536,
             extra={"unit": "events"}),
    ] = 128  # fmt: skip
    micro_batch_ms: Annotated[
        float,
        Meta(description="Longest wait for a portion to fill before it is learned as it is.", ge=0.0, le=10_000.0,
             extra={"unit": "ms"}),
    ] = 20.0  # fmt: skip
    core_share: Annotated[
        float,
        Meta(description="Share of one core that the learner's process takes while it keeps up.", gt=0.0, le=1.0,
             extra={"unit": "share"}),
    ] = 0.6  # fmt: skip
    behind_events: Annotated[
        int,
        Meta(description="Backlog beyond which it takes a whole core until it has caught up.", ge=1,
             extra={"unit": "events"}),
    ] = 5_000  # fmt: skip
    niceness: Annotated[
        int, Meta(description="How far its process stands back behind the server's.", ge=0, le=19, extra={"unit": "1"})
    ] = 5
    publish_ms: Annotated[
        float,
        Meta(description="Shortest time between two deltas of changed weights.", ge=0.0, le=3_600_000.0,
             extra={"unit": "ms"}),
    ] = 20.0  # fmt: skip
    frame_bytes: Annotated[
        int,
        Meta(description="Most bytes of a delta that are sent in one piece.", ge=1024, le=1 << 30,
             extra={"unit": "bytes"}),
    ] = 1 << 20  # fmt: skip
    checkpoint_s: Annotated[
        float,
        Meta(description="Longest time between two checkpoints while there is something new.", gt=0.0,
             extra={"unit": "s"}),
    ] = 300.0  # fmt: skip
    checkpoint_events: Annotated[
        int,
        Meta(description="Events between two checkpoints.", ge=1, extra={"unit": "events"}),
    ] = 200_000
    checkpoints: Annotated[
        int, Meta(description="Checkpoints that are kept.", ge=1, le=100, extra={"unit": "checkpoints"})
    ] = 2
    heartbeat_s: Annotated[
        float,
        Meta(description="Time between two signs of life.", gt=0.0, le=3600.0, extra={"unit": "s"}),
    ] = 0.5
    hang_s: Annotated[
        float,
        Meta(description="Silence after which the process counts as hanging and is replaced.", gt=0.0,
             extra={"unit": "s"}),
    ] = 30.0  # fmt: skip
    restart_backoff_s: Annotated[
        float,
        Meta(description="Wait before the process is started anew after it died; it doubles from death to death.",
             ge=0.0, extra={"unit": "s"}),
    ] = 0.5  # fmt: skip
    restart_backoff_max_s: Annotated[
        float, Meta(description="Longest such wait.", ge=0.0, extra={"unit": "s"})
    ] = 60.0
    ring_point_s: Annotated[
        float,
        Meta(description="Time between two points to which learning can be rolled back.", gt=0.0, extra={"unit": "s"}),
    ] = 5.0
    ring_spans_s: Annotated[
        tuple[float, ...],
        Meta(description="About how old the points are to which learning can be rolled back, ascending.",
             extra={"unit": "s"}),
    ] = (10.0, 60.0, 600.0, 3600.0, 86_400.0)  # fmt: skip
    ring_mb: Annotated[
        int,
        Meta(description="Memory for what rolling back needs; beyond it the oldest points are given up.", ge=1,
             extra={"unit": "MiB"}),
    ] = 1024  # fmt: skip
