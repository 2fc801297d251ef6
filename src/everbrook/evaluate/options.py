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
        delay_ms: between an event and its effect on everything learned; histories are up to date.
        history_delay_ms: between an event and its place in its actor's history, as lists are made from it.
        batch: nothing is learned but at the moments of refits, which take up everything that happened until then.
        taught: seeded share of the events that are not scored that teach the mixture, each by what was said when it
            happened. Where learning lags that takes time; so that delays can be compared, it holds for none as well.
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
    delay_ms: int = 0
    history_delay_ms: int = 0
    batch: bool = False
    taught: float = 1.0

    @property
    def delayed(self) -> bool:
        """Whether learning goes by what is due, rather than on the quick way: at once, and all of it."""
        return self.delay_ms > 0 or self.history_delay_ms > 0 or self.batch or self.taught < 1.0


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


def parse_delays(text: str) -> tuple[int | None, ...]:
    """Read spans of time with commas between them, such as '0s,10m,1d,never'; None is never.

    Returns:
        Milliseconds, ascending, never last.

    Raises:
        InputError: one is no span, or comes twice.
    """
    parts = [part.strip() for part in text.split(",")]
    found = [None if part == "never" else parse_span_ms(part) for part in parts]
    for place, span in enumerate(found):
        if span in found[:place]:
            raise InputError(f"Each delay must come once; got '{parts[place]}' again in '{text}'.")
    return tuple(sorted(found, key=lambda span: float("inf") if span is None else span))
