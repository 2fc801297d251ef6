"""When each item was first met in an event. What its record says of it is in `catalogue`."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.state.catalogue import NEVER_MS
from everbrook.types import I32, I64


class Births:
    """The time of each item's earliest event."""

    def __init__(self) -> None:
        self._first_ms: I64 = np.full(64, NEVER_MS, np.int64)

    def note(self, ts_ms: I64, item: I32, n_items: int) -> None:
        """Take in events of items below `n_items`."""
        if n_items > len(self._first_ms):
            longer = np.full(int(1.5 * n_items), NEVER_MS, np.int64)
            longer[: len(self._first_ms)] = self._first_ms
            self._first_ms = longer
        _lower(ts_ms, item, self._first_ms)

    def first_ms(self, n_items: int) -> I64:
        """(N,) the time of each item's earliest event; `NEVER_MS` where there was none."""
        if n_items > len(self._first_ms):
            return np.concatenate([self._first_ms, np.full(n_items - len(self._first_ms), NEVER_MS, np.int64)])
        return self._first_ms[:n_items]

    def load(self, first_ms: I64) -> None:
        """Take over what `first_ms` gave."""
        self._first_ms = np.concatenate([first_ms, np.full(64, NEVER_MS, np.int64)])


@njit(cache=True)
def _lower(ts_ms: I64, item: I32, first_ms: I64) -> None:
    for b in range(len(ts_ms)):
        if ts_ms[b] < first_ms[item[b]]:
            first_ms[item[b]] = ts_ms[b]
