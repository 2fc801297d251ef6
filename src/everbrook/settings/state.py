"""Settings of the state: what is remembered of each actor and each item."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


def _kind_weights() -> dict[str, float]:
    return {"view": 1.0, "seen": 0.0, "impression": 0.0, "dislike": -1.0, "dismiss": -1.0, "not_interested": -1.0}


class StateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the fold over the log keeps."""

    history_events: Annotated[
        int,
        Meta(
            description="How many of an actor's last events are kept at hand.", ge=1, le=4096, extra={"unit": "events"}
        ),
    ] = 64
    seen_items: Annotated[
        int,
        Meta(
            description="How many items an actor is remembered to have met, by kind, beyond the history; 0: none.",
            ge=0, le=65_536, extra={"unit": "items"},
        ),
    ] = 512
    session_gap_s: Annotated[
        float,
        Meta(
            description="Pause after which an event without a session id opens a new session.",
            gt=0.0, le=31_536_000.0, extra={"unit": "s"},
        ),
    ] = 1800.0
    kinds: Annotated[
        dict[str, float],
        Meta(
            description="Weight of each kind: > 0 positive, 0 only seen and left out of histories, < 0 negative.",
            extra={"unit": "1"},
        ),
    ] = msgspec.field(default_factory=_kind_weights)
    kind_default: Annotated[
        float, Meta(description="Weight of a kind that has none of its own.", extra={"unit": "1"})
    ] = 1.0
    positive_from: Annotated[
        dict[str, float],
        Meta(
            description="For kinds that carry a value, such as a rating: an event with a value below this is negative.",
            extra={"unit": "value"},
        ),
    ] = msgspec.field(default_factory=dict)
    scenarios: Annotated[
        tuple[str, ...],
        Meta(description="Scenarios that are known before any event names them."),
    ] = ("home", "product", "cart", "search", "feed", "playlist")
    closed: Annotated[
        bool, Meta(description="Refuse events of a kind or scenario that these settings do not name.")
    ] = False
    counter_half_lives_s: Annotated[
        tuple[Annotated[float, Meta(gt=0.0)], ...],
        Meta(description="Half-lives of the event counters of each item, kind and scenario.", extra={"unit": "s"}),
    ] = (3600.0, 86_400.0, 604_800.0)
