"""How many events each item had of each kind in each scenario: in all, and decayed with several half-lives.

Sparse (a hash table from item, kind and scenario to a dense row of sums) and lazy (a sum decays when it is touched or
read). For status and what is told of an item; the popularity expert learns for itself. Beside them stand the counts by
windows of time, for trending lists.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from everbrook.state.texts import under, within
from everbrook.state.windows import Windows
from everbrook.types import F32, F64, I16, I32, I64, NO_ROW, Arrays, Bool

_EMPTY = -1
_NONE = 0xFFFF  # the scenario of an event without one
_WINDOWS_FORMAT = 1


class Counters:
    """Sums over events by item, kind and scenario."""

    def __init__(self, half_lives_s: Sequence[float]) -> None:
        self.half_lives_s = tuple(half_lives_s)
        self._rates: F64 = np.log(2.0) / (1000.0 * np.array(self.half_lives_s, np.float64))  # per ms
        self._set(np.zeros(0, np.int64), np.zeros((0, len(self.half_lives_s) + 2)))
        self.windows: Windows | None = Windows()  # None where nobody asks for trending lists

    def _set(self, keys: I64, sums: F64) -> None:
        self._n = len(keys)
        room = max(64, int(1.5 * self._n))
        self._keys: I64 = np.empty(room, np.int64)
        self._sums: F64 = np.empty((room, len(self.half_lives_s) + 2))  # decayed ones, plain count, time of the last
        self._keys[: self._n], self._sums[: self._n] = keys, sums
        self._index = _indexed(self._keys[: self._n], _table_size(room))

    def __len__(self) -> int:
        return self._n

    @property
    def n_bytes(self) -> int:
        """Memory that is held, in bytes."""
        own = self._keys.nbytes + self._sums.nbytes + self._index.nbytes
        return own if self.windows is None else own + self.windows.n_bytes

    @property
    def layout(self) -> dict[str, object]:
        """What must be the same where arrays are taken over."""
        layout: dict[str, object] = {"half_lives_s": list(self.half_lives_s)}
        return layout if self.windows is None else layout | {"windows": _WINDOWS_FORMAT}

    def add(self, ts_ms: I64, item: I32, kind: I16, scenario: I16, weight: F32 | None = None) -> None:
        """Count events, in log order; late ones count as what would be left of them.

        Args:
            ts_ms: (B,) their times.
            item: (B,) rows of the items.
            kind: (B,) rows of the kinds.
            scenario: (B,) rows of the scenarios; NO_ROW for none.
            weight: (B,) what each says; those > 0 count in windows. None: none does.
        """
        if weight is not None and self.windows is not None:
            self.windows.add(ts_ms, item, scenario, weight)
        done = 0
        while True:
            done, self._n = _add(
                done, self._n, ts_ms, item, kind, scenario, self._rates, self._keys, self._sums, self._index
            )
            if done == len(ts_ms):
                return
            self._set(self._keys[: self._n], self._sums[: self._n])

    def column(self, half_life_s: float | None) -> int:
        """The column whose half-life is nearest (in ratio) to the one wanted; the plain count for None."""
        if half_life_s is None or not self.half_lives_s:
            return len(self.half_lives_s)
        ratios = np.abs(np.log(np.array(self.half_lives_s) / half_life_s))
        return int(np.argmin(ratios))

    def totals(
        self, n_items: int, now_ms: int, *,
        half_life_s: float | None = None, kinds: Bool | None = None, scenario: int = NO_ROW,
    ) -> F64:
        """(N,) the sum of each item at a moment.

        Args:
            n_items: how many item rows there are.
            now_ms: the moment.
            half_life_s: which decay; None counts all events alike.
            kinds: (kinds,) which kinds count; all where it is None.
            scenario: row of the scenario; NO_ROW for all.
        """
        column = self.column(half_life_s)
        rate = float(self._rates[column]) if column < len(self._rates) else 0.0
        wanted = np.ones(0, np.bool_) if kinds is None else kinds
        return _totals(self._keys[: self._n], self._sums, column, n_items, now_ms, rate, wanted, scenario)

    def by_place(self) -> dict[tuple[int, int], int]:
        """How many events there were in all, by row of the scenario (NO_ROW: none) and row of the kind."""
        keys, counts = self._keys[: self._n], self._sums[: self._n, len(self.half_lives_s)]
        pairs, place = np.unique(keys & np.int64(0xFFFFFFFF), return_inverse=True)
        sums = np.bincount(place, weights=counts, minlength=len(pairs))
        return {
            (NO_ROW if pair & _NONE == _NONE else pair & _NONE, pair >> 16): round(count)
            for pair, count in zip(pairs.tolist(), sums.tolist(), strict=True)
        }

    def of_item(self, item: int, now_ms: int) -> tuple[dict[tuple[int, int], int], list[tuple[float, float]]]:
        """One item's events by scenario (NO_ROW: none) and kind; and how often it is met lately.

        Args:
            item: its row.
            now_ms: the moment.

        Returns:
            Counts by scenario and kind; and by half-life, in seconds, events an hour: a sum that decays with a
            half-life h is that of a steady stream of sum x ln 2 / h.
        """
        own = np.flatnonzero((self._keys[: self._n] >> 32) == item)
        keys, sums = self._keys[own], self._sums[own]
        plain = len(self.half_lives_s)
        counts = {
            (NO_ROW if key & _NONE == _NONE else key & _NONE, key >> 16 & _NONE): round(total)
            for key, total in zip(keys.tolist(), sums[:, plain].tolist(), strict=True)
        }
        pause_ms = np.maximum(now_ms - sums[:, -1], 0.0)
        left = sums[:, :plain] * np.exp(-pause_ms[:, None] * self._rates)
        per_hour = (left.sum(axis=0) * self._rates * 3_600_000.0).tolist()
        return counts, list(zip(self.half_lives_s, per_hour, strict=True))

    def arrays(self) -> Arrays:
        """All sums."""
        arrays: Arrays = {"keys": self._keys[: self._n].copy(), "sums": self._sums[: self._n].copy()}
        return arrays if self.windows is None else arrays | under("windows", self.windows.arrays())

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._set(arrays["keys"], arrays["sums"])
        if self.windows is not None:
            self.windows.load(within(arrays, "windows"))


def _table_size(room: int) -> int:
    return 1 << int(np.ceil(np.log2(1.5 * room)))


@njit(cache=True)
def _place(key: int, keys: I64, index: I32) -> int:
    """Where in the table a key is, or would be."""
    mask = len(index) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, twice: the item is in the high half
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    at = int(mixed >> np.uint64(32)) & mask
    while index[at] != _EMPTY and keys[index[at]] != key:
        at = (at + 1) & mask
    return at


@njit(cache=True)
def _indexed(keys: I64, size: int) -> I32:
    index = np.full(size, _EMPTY, np.int32)
    for entry in range(len(keys)):
        index[_place(keys[entry], keys, index)] = entry
    return index


@njit(cache=True)
def _add(
    first: int, n: int, ts_ms: I64, item: I32, kind: I16, scenario: I16, rates: F64, keys: I64, sums: F64, index: I32,
) -> tuple[int, int]:
    """Count the events from `first` on.

    Returns:
        How many events are done (fewer than all where the arrays must grow), and how many entries there are.
    """
    Q = len(rates)
    for b in range(first, len(ts_ms)):
        key = int(item[b]) << 32 | int(kind[b]) << 16 | (int(scenario[b]) & _NONE)
        at = _place(key, keys, index)
        entry = index[at]
        if entry == _EMPTY:
            if n == len(keys):
                return b, n
            entry = n
            n += 1
            index[at] = entry
            keys[entry] = key
            sums[entry, : Q + 1] = 0.0
            sums[entry, Q + 1] = ts_ms[b]
        pause_ms = ts_ms[b] - sums[entry, Q + 1]
        for q in range(Q):
            left = np.exp(-abs(pause_ms) * rates[q])
            if pause_ms > 0:
                sums[entry, q] = sums[entry, q] * left + 1.0
            else:
                sums[entry, q] += left
        sums[entry, Q] += 1.0
        sums[entry, Q + 1] = max(sums[entry, Q + 1], ts_ms[b])
    return len(ts_ms), n


@njit(cache=True)
def _totals(
    keys: I64, sums: F64, column: int, n_items: int, now_ms: int, rate: float, kinds: Bool, scenario: int
) -> F64:
    totals = np.zeros(n_items)
    for entry in range(len(keys)):
        item, kind, place = keys[entry] >> 32, keys[entry] >> 16 & _NONE, keys[entry] & _NONE
        if item >= n_items or (scenario >= 0 and place != scenario):
            continue
        if len(kinds) > 0 and not (kind < len(kinds) and kinds[kind]):
            continue
        totals[item] += sums[entry, column] * np.exp(-rate * max(0.0, now_ms - sums[entry, -1]))
    return totals
