"""What a replay is asked to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from everbrook.errors import InputError

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Conditions of a replay.

    Args:
        from_ms: events before it are learned without being scored; None scores from the beginning.
        to_ms: events at and after it are left out; None goes to the end.
        sample: seeded share of the events whose lists are made and scored.
        warm_sample: the same before `from_ms`, where lists only teach the mixture.
        refit_ms: simulated time between two fits of the sequence model; None never fits one.
        seed: of every choice.
        shuffle: events change places at random, times stay: the control on which adapting must not gain.
        exclude_seen: what the actor already had is left out, and events on such items are not scored.
        first_of_session: whether a session's first event is scored.
        freeze_ms: from here on nothing is learned any more, only histories go on; None never.
    """

    from_ms: int | None = None
    to_ms: int | None = None
    sample: float = 1.0
    warm_sample: float = 0.05
    refit_ms: int | None = None
    seed: int = 0
    shuffle: bool = False
    exclude_seen: bool = False
    first_of_session: bool = True
    freeze_ms: int | None = None


def parse_span_ms(text: str) -> int:
    """Read a span of time such as '10m', '1d' or '1.5h'.

    Raises:
        InputError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", text.strip())
    if found is None:
        units = ", ".join(UNITS_MS)
        raise InputError(f"A span of time must be a number and one of {units}, such as '1d'; got '{text}'.")
    return int(float(found[1]) * UNITS_MS[found[2]])


def moment_text(ts_ms: int) -> str:
    """A moment as RFC 3339 text."""
    return datetime.fromtimestamp(ts_ms / 1000.0, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
