"""The kinds of events: their rows, what an event of each says (its weight), and how many there were."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.events.columns import Coded
from everbrook.events.records import MAX_NAMES
from everbrook.settings.state import StateSettings
from everbrook.state.ids import IdMap
from everbrook.types import F32, I16, I32, I64, NO_ROW, Arrays, Bool

_DEFAULT_ROW = 0  # of an event without kind, or with one that came when there was no room


class Kinds:
    """Rows for kinds, those of the settings first."""

    def __init__(self, settings: StateSettings) -> None:
        self.names = IdMap(settings.kinds, MAX_NAMES)
        self._settings = settings
        self._weights: F32 = np.empty(0, np.float32)
        self._least: F32 = np.empty(0, np.float32)  # smallest positive value; NaN where the value does not matter
        self._events: I64 = np.zeros(64, np.int64)
        self._negative: Bool = np.empty(0, np.bool_)
        self._positive: Bool = np.empty(0, np.bool_)

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, coded: Coded) -> I16:
        """The kind row of each event, made where it is not known; kinds beyond the most there may be are the first."""
        return _known(self.names.coded_rows(coded))

    def weigh(self, rows: I16, value: F32) -> F32:
        """What each event says: > 0 positive, 0 only seen, < 0 negative."""
        if len(self._weights) < len(self.names):
            self._weights, self._least = self.weights(), self._least_values()
        weight = self._weights[rows]
        if self._settings.positive_from:
            weight[value < self._least[rows]] = -1.0
        return weight

    def weights(self) -> F32:
        """(kinds,) the weight of each kind."""
        weights, default = self._settings.kinds, self._settings.kind_default
        return np.array([weights.get(name, default) for name in self.names.names()], np.float32)

    def negative(self) -> Bool:
        """(kinds,) which kinds say that an item is not wanted; the caller must not write into it."""
        if len(self._negative) != len(self.names):
            self._negative = self.weights() < 0.0
        return self._negative

    def _least_values(self) -> F32:
        least = self._settings.positive_from
        return np.array([least.get(name, np.nan) for name in self.names.names()], np.float32)

    def note(self, rows: I16) -> None:
        """Count events."""
        if len(self.names) > len(self._events):
            events: I64 = np.zeros(2 * len(self.names), np.int64)
            events[: len(self._events)] = self._events
            self._events = events
        _count(rows, self._events)

    def events(self) -> I64:
        """(kinds,) how many events there were of each kind."""
        counted = np.zeros(len(self.names), np.int64)
        known = self._events[: len(counted)]
        counted[: len(known)] = known
        return counted

    def common(self) -> int:
        """The row of the commonest kind of positive weight so far: the kind of items that a question names."""
        if len(self._positive) != len(self.names):
            self._positive = self.weights() > 0.0
        counted = self._events[: len(self._positive)]
        return int(((counted + 1) * self._positive[: len(counted)]).argmax())  # the first such one before any event

    def arrays(self) -> Arrays:
        """Names and counts."""
        return self.names.arrays() | {"events": self.events()}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self.names.load(arrays)
        self._weights = np.empty(0, np.float32)
        self._negative = self._positive = np.empty(0, np.bool_)
        self._events = np.zeros(max(64, len(self.names)), np.int64)
        known = arrays["events"][: len(self.names)]
        self._events[: len(known)] = known


@njit(cache=True)
def _known(rows: I32) -> I16:
    """The rows, with the default for those that are none."""
    known = np.empty(len(rows), np.int16)
    for b in range(len(rows)):
        known[b] = _DEFAULT_ROW if rows[b] == NO_ROW else rows[b]
    return known


@njit(cache=True)
def _count(rows: I16, events: I64) -> None:
    for row in rows:
        events[row] += 1
