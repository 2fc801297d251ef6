"""Drift: ADWIN on the mean loss per scenario. It quickens learning and forgetting for a while, and never gates.

Where the loss rises, the rates of learning and forgetting are multiplied by a factor that falls back to 1. A fall of
the loss is reported and quickens nothing. The detector is River's (its core: the module around it takes four seconds to
import, with all of SciPy's statistics). It keeps no arrays, so the values it was fed since its window began are kept
beside it, and a recovered detector is fed them again: the same values give the same detector.

Source: Bifet, Gavaldà, 'Learning from time-changing data with adaptive windowing' (2007). The core was checked against
`river.drift.ADWIN` of River 0.26.1 on a stream with a change: the same answer at every value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from river._river_rust.drift import AdaptiveWindowing

from everbrook.learn.elapsed import elapse, no_time
from everbrook.settings.drift import DriftSettings
from everbrook.types import F64, I16, Arrays

_CLOCK = 8  # values between two checks


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the mean loss that was found."""

    scenario: int  # NO_ROW: over all
    before_nats: float
    after_nats: float
    ts_ms: int
    events: int  # of the scenario so far
    refit: bool  # whether rises have become so many that a full refit is asked for

    @property
    def rise(self) -> bool:
        """Whether the loss became larger."""
        return self.after_nats > self.before_nats


@dataclass(frozen=True, slots=True)
class DriftStanding:
    """How drift stands, for `status`."""

    factor: float
    rises: int
    falls: int
    refits: int  # asked for
    last: Change | None  # since the process began
    mean_nats: dict[int, float]  # by scenario row, of the present window


class Drift:
    """One detector per scenario and one over all."""

    def __init__(self, settings: DriftSettings | None = None) -> None:
        self.settings = s = settings or DriftSettings()
        slots = 1 + s.scenarios
        self._a: Arrays = {
            "clock": no_time(),
            "sums": np.zeros(slots),
            "counts": np.zeros(slots, np.int64),
            "events": np.zeros(slots, np.int64),
            "raised_age": np.full(1, -1),  # ms of time passed at the last rise; -1: none yet
            "rise_ages": np.full(max(s.refit_rises, 1), -1),  # of the last rises, oldest first
            "totals": np.zeros(3, np.int64),  # rises, falls, refits asked for
        }
        self._windows: dict[int, Window] = {}
        self._last: Change | None = None

    def observe(self, ts_ms: int, scenario: I16, loss: F64) -> list[Change]:
        """Take the losses of a micro-batch in, and say what changed.

        Args:
            ts_ms: the moment.
            scenario: (B,) rows; NO_ROW where there is none.
            loss: (B,) nats, before the events were learned; what is not finite is left out.
        """
        elapse(self._a["clock"], ts_ms)
        if not self.settings.enabled:
            return []
        known = np.isfinite(loss)
        loss = np.minimum(loss[known], self.settings.loss_nats)
        slots = len(self._a["sums"])
        slot = scenario[known].astype(np.int64) + 1
        slot[slot >= slots] = 0
        sums, counts = np.bincount(slot, loss, slots), np.bincount(slot, minlength=slots)
        sums[0], counts[0] = loss.sum(), len(loss)
        self._a["sums"] += sums
        self._a["counts"] += counts
        self._a["events"] += counts
        due = np.flatnonzero(self._a["counts"] >= self.settings.mean_events)
        return [change for at in due for change in self._fed(int(at), ts_ms)]

    def _fed(self, slot: int, ts_ms: int) -> list[Change]:
        a, s = self._a, self.settings
        value = float(a["sums"][slot] / a["counts"][slot])
        a["sums"][slot], a["counts"][slot] = 0.0, 0
        if slot not in self._windows:
            self._windows[slot] = Window(s.delta, s.window_values)
        found = self._windows[slot].feed(value)
        if found is None or abs(found[1] - found[0]) < s.least_nats:
            return []
        rise = found[1] > found[0]
        a["totals"][0 if rise else 1] += 1
        self._last = Change(slot - 1, *found, ts_ms, int(a["events"][slot]), rise and self._risen())
        return [self._last]

    def _risen(self) -> bool:
        """Count a rise; whether a refit is to be asked for."""
        a, s, age = self._a, self.settings, int(self._a["clock"][2])
        a["raised_age"][0] = age
        ages = a["rise_ages"]
        ages[:-1] = ages[1:]
        ages[-1] = age
        if s.refit_rises == 0 or ages[0] < 0 or age - ages[0] > 1000 * s.refit_within_s:
            return False
        ages[:] = -1
        a["totals"][2] += 1
        return True

    @property
    def factor(self) -> float:
        """What the rates of learning and forgetting are multiplied with at the latest moment."""
        raised_age, s = int(self._a["raised_age"][0]), self.settings
        if raised_age < 0:
            return 1.0
        passed_s = (int(self._a["clock"][2]) - raised_age) / 1000.0
        return 1.0 + (s.factor - 1.0) * max(1.0 - passed_s / s.raised_s, 0.0)

    def standing(self) -> DriftStanding:
        """What `status` shows."""
        rises, falls, refits = (int(n) for n in self._a["totals"])
        means = {slot - 1: window.mean for slot, window in sorted(self._windows.items())}
        return DriftStanding(self.factor, rises, falls, refits, self._last, means)

    def state(self) -> Arrays:
        """Everything but the last report, as named arrays."""
        windows = {f"window/{slot}": window.values() for slot, window in self._windows.items()}
        return {name: array.copy() for name, array in self._a.items()} | windows

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        s = self.settings
        for name, array in self._a.items():
            array[...] = arrays[name]
        windows = {int(name.removeprefix("window/")): values for name, values in arrays.items() if "window/" in name}
        self._windows = {slot: Window(s.delta, s.window_values, windows[slot]) for slot in sorted(windows)}
        self._last = None


class Window:
    """ADWIN with the values it was fed since it began, so that it can be made again exactly."""

    def __init__(self, delta: float, most: int, values: F64 | None = None) -> None:
        self._delta, self._most = delta, most
        self._begin([] if values is None else [float(value) for value in values])

    def _begin(self, values: list[float]) -> None:
        """A new detector, fed with values; where it finds a change among them, it begins anew after that."""
        self._detector, self._values = _adwin(self._delta), list[float]()
        for value in values:
            if self._take(value):
                self._detector, self._values = _adwin(self._delta), []

    def _take(self, value: float) -> bool:
        self._values.append(value)
        return bool(self._detector.update(value))

    def feed(self, value: float) -> tuple[float, float] | None:
        """Take one more value in.

        Returns:
            The mean before and after, where a change was found with this value.
        """
        if self._take(value):
            values = np.array(self._values)
            at = _split(values)
            self._begin(self._values[at:])
            return float(values[:at].mean()), float(values[at:].mean())
        if len(self._values) >= self._most:
            self._begin(self._values[self._most // 2 :])
        return None

    @property
    def mean(self) -> float:
        """Mean of the present window."""
        return float(self._detector.get_total()) / max(int(self._detector.get_width()), 1)

    def values(self) -> F64:
        """What the detector was fed since it began."""
        return np.array(self._values)


def _split(values: F64) -> int:
    """Where the two sides differ most, in units of what chance does: the likeliest moment of one change of the mean."""
    left_n = np.arange(1, len(values))
    left = np.cumsum(values)[:-1]
    right_n = len(values) - left_n
    apart = left / left_n - (values.sum() - left) / right_n
    return int((left_n * right_n * apart * apart).argmax()) + 1


def _adwin(delta: float) -> Any:
    return AdaptiveWindowing(delta=delta, clock=_CLOCK, max_buckets=5, min_window_length=5, grace_period=10)
