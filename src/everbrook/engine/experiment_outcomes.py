"""What came of an experiment, counted from the log: lists that were shown, and those from which something was taken.

An event that carries the list's `request` takes from that list; one without takes from the latest list of the same
person that was shown before it and has its item. A list is taken from once. Nothing is kept but counts by hashed id,
and the latest lists, in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from everbrook.engine.experiments import Experiment, drawn
from everbrook.events.columns import Coded, EventColumns
from everbrook.events.log import Run
from everbrook.events.records import Impression
from everbrook.metrics.anytime import Rate, difference, rate_of

WINDOW_MS = 86_400_000  # so long after it was shown a list may be taken from
MOST_OPEN = 100_000  # lists that may be; beyond it the oldest are over
MOST_OWN = 8  # lists of one person among which an event that names none looks for its item, the latest
ALPHA = 0.05
SALT = "tally"


@dataclass(slots=True)
class Shown:
    """A list that may be taken from."""

    whose: int
    items: frozenset[str]
    ts_ms: int
    is_taken: bool = False  # kept all the same: what is said of its items later takes from no older list


class Outcomes:
    """The counts of one experiment.

    Args:
        experiment: whose variants are counted.
        counts: whether an event of a kind takes something from a list.
        tolerance_ms: how far an event that names no list may lie before the list it takes from: clocks differ.
    """

    def __init__(self, experiment: Experiment, counts: Callable[[str], bool], tolerance_ms: int) -> None:
        self.experiment, self._counts, self._tolerance_ms = experiment, counts, tolerance_ms
        self.offset = experiment.offset  # up to which the log is counted
        self._people: dict[int, list[int]] = {}  # variant, lists, lists that were taken from
        self._open: dict[str, Shown] = {}
        self._own: dict[int, list[str]] = {}  # of each person the latest requests, the last at the end

    def take(self, run: Run) -> None:
        """Count the next records of the log."""
        if run.events is not None:
            self._take_events(run.events)
        for record in run.records:
            if isinstance(record, Impression):
                self._take_list(record)
        if len(run):
            self.offset = int(run.offsets[-1]) + 1

    def _take_list(self, shown: Impression) -> None:
        one = self.experiment
        if shown.ts < one.started_ms or (one.scenario is not None and shown.scenario != one.scenario):
            return
        variant = one.variant_of(shown.user, shown.session)
        if variant is None:
            return
        whose = _whose(shown.user, shown.session)
        self._people.setdefault(whose, [variant, 0, 0])[1] += 1
        self._open[shown.request] = Shown(whose, frozenset(shown.items), shown.ts)
        own = self._own.setdefault(whose, [])
        own.append(shown.request)
        del own[:-MOST_OWN]
        while len(self._open) > MOST_OPEN:
            self._close(next(iter(self._open)))

    def _close(self, request: str) -> None:
        whose = self._open.pop(request).whose
        own = [one for one in self._own.get(whose, ()) if one != request]
        if own:
            self._own[whose] = own
        else:
            self._own.pop(whose, None)

    def _take_events(self, events: EventColumns) -> None:
        if not self._open:
            return
        kinds = np.array([self._counts(name) for name in events.kind.names], np.bool_)
        for b in np.flatnonzero(kinds[events.kind.codes]).tolist():
            item, ts_ms = _text(events.item, b), int(events.ts_ms[b])
            request = _text(events.request, b)
            if request is not None:
                shown = self._open.get(request)
            else:
                shown = self._latest(_whose(_text(events.user, b), _text(events.session, b)), item, ts_ms)
            if shown is None or shown.is_taken or item not in shown.items or ts_ms - shown.ts_ms > WINDOW_MS:
                continue
            shown.is_taken = True
            self._people[shown.whose][2] += 1

    def _latest(self, whose: int, item: str | None, ts_ms: int) -> Shown | None:
        """The latest list of a person that has an item and was shown before a moment."""
        for request in reversed(self._own.get(whose, ())):
            shown = self._open.get(request)
            if shown is not None and item in shown.items and shown.ts_ms <= ts_ms + self._tolerance_ms:
                return shown
        return None

    def told(self) -> dict[str, Any]:
        """Counts and rates by variant, and how far each is from the first."""
        table = np.array(list(self._people.values()), np.float64).reshape(-1, 3)
        rates = [self._rate(table, place) for place in range(len(self.experiment.variants))]
        alpha = ALPHA / max(len(rates) - 1, 1)  # all comparisons hold together
        variants = []
        for place, (variant, rate) in enumerate(zip(self.experiment.variants, rates, strict=True)):
            told: dict[str, Any] = {
                "name": variant.name, "people": rate.people, "lists": rate.lists, "clicked": rate.clicked,
                "click_rate": round(rate.rate, 6),
            }  # fmt: skip
            if place:
                told |= _against(rate, rates[0], alpha)
            variants.append(told)
        return {"counted_to": self.offset, "confidence": 1.0 - ALPHA, "variants": variants}

    @staticmethod
    def _rate(table: np.ndarray, place: int) -> Rate:
        own = table[table[:, 0] == place]
        return rate_of(own[:, 1], own[:, 2])


def _against(rate: Rate, first: Rate, alpha: float) -> dict[str, Any]:
    found = difference(rate, first, alpha)
    verdict = "too few people"
    if found.low is not None and found.high is not None:
        verdict = "better" if found.low > 0.0 else "worse" if found.high < 0.0 else "open"
    bounds = {"low": found.low, "high": found.high}
    return {
        "difference": round(found.estimate, 6), "verdict": verdict,
        **{name: None if bound is None else round(bound, 6) for name, bound in bounds.items()},
    }  # fmt: skip


def _whose(user: str | None, session: str | None) -> int:
    return drawn(SALT, f"u{user}" if user is not None else f"s{session}")


def _text(coded: Coded | None, b: int) -> str | None:
    code = -1 if coded is None else int(coded.codes[b])
    return None if coded is None or code < 0 else coded.names[code]
