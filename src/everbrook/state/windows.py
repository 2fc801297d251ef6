"""How often each item was met in each scenario within the last hours, days and weeks, by the clock: for trending lists.

Events are counted in buckets of time of four sizes; a question takes the smallest size that reaches far enough. Sums
that fade, and events of every kind, are in `counters`.

Bounded whatever comes: of each size only the latest buckets stay, and a bucket that is over keeps the pairs of item and
scenario that were met most. What stays depends on the events and their order alone, not on how they came in portions
or who asked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everbrook.state.mapped import owned
from everbrook.state.texts import under, within
from everbrook.types import F32, F64, I16, I32, I64, NO_ROW, Arrays

U32 = NDArray[np.uint32]

_SECOND_MS, _MINUTE_MS, _HOUR_MS, _DAY_MS = 1000, 60_000, 3_600_000, 86_400_000
_SIZES = ((10 * _SECOND_MS, 90), (5 * _MINUTE_MS, 36), (_HOUR_MS, 72), (_DAY_MS, 64))
# of a bucket, and how many of them a window may span: 15 minutes, 3 hours, 3 days, 64 days
_SPARE = 4  # buckets besides: the one that a window begins in, and a few of clocks that are wrong
MOST_PAIRS = 32_768
"""How many pairs of item and scenario a bucket keeps that is over."""
PORTION_EVENTS = 262_144
"""After so many events buckets are cut to what they may keep."""
WAITING_EVENTS = 32_768
"""So many may wait to be counted where they come in small runs; of large runs a whole portion is counted at once."""
LONGEST_S = _SIZES[-1][0] * _SIZES[-1][1] // 1000
"""The longest window that can be asked for, in seconds."""

_DENSE = 1 << 20  # where times lie within so many buckets, these are looked through rather than sorted
_PLACE_BITS = 16
_PLACES = (1 << _PLACE_BITS) - 1  # all of them set: no scenario


class Windows:
    """Counts of the events that say something good, by item and scenario, in buckets of time."""

    def __init__(self) -> None:
        self._rings = tuple(Ring(size_ms, buckets) for size_ms, buckets in _SIZES)
        self._begin(0)

    def _begin(self, portion: int) -> None:
        self._portion = portion  # events since buckets were last cut
        self._n = 0  # events that wait to be counted
        self._ts_ms: I64 = np.empty(PORTION_EVENTS, np.int64)
        self._keys: I64 = np.empty(PORTION_EVENTS, np.int64)

    @property
    def n_bytes(self) -> int:
        """Memory that is held, in bytes."""
        return self._ts_ms.nbytes + self._keys.nbytes + sum(ring.n_bytes for ring in self._rings)

    def add(self, ts_ms: I64, item: I32, scenario: I16, weight: F32) -> None:
        """Count events, in log order; those whose weight is not above 0 are left out."""
        if len(ts_ms) == 1:  # live traffic
            if weight[0] > 0.0:
                at = self._n
                self._ts_ms[at], self._keys[at] = ts_ms[0], int(item[0]) << _PLACE_BITS | int(scenario[0]) & _PLACES
                self._noted(1)
            return
        if self._portion + len(ts_ms) < PORTION_EVENTS:
            n = _wait(ts_ms, item, scenario, weight, self._n, self._ts_ms, self._keys)
            if n:
                self._noted(n)
            return
        good = weight > 0.0
        if not good.all():
            ts_ms, item, scenario = ts_ms[good], item[good], scenario[good]
        keys = item.astype(np.int64) << _PLACE_BITS | scenario.astype(np.int64) & _PLACES
        done = 0
        while done < len(ts_ms):
            stop = min(len(ts_ms), done + PORTION_EVENTS - self._portion)
            at, n = self._n, stop - done
            self._ts_ms[at : at + n], self._keys[at : at + n] = ts_ms[done:stop], keys[done:stop]
            self._noted(n)
            done = stop

    def _noted(self, n: int) -> None:
        self._n += n
        self._portion += n
        if self._portion == PORTION_EVENTS:
            self._portion = 0
            self._settle()
            for ring in self._rings:
                ring.cut()
        elif self._n >= WAITING_EVENTS > n:
            self._settle()

    def _settle(self) -> None:
        if self._n:
            order = np.argsort(self._keys[: self._n])
            ts_ms, keys = self._ts_ms[order], self._keys[order]
            for ring in self._rings:
                ring.add(ts_ms, keys)
            self._n = 0

    def totals(self, n_items: int, now_ms: int, window_s: int, scenario: int = NO_ROW) -> F64:
        """(N,) how many events each item had within a window that ends now.

        Of the bucket in which the window begins, the share counts that lies within it.

        Args:
            n_items: how many item rows there are.
            now_ms: the moment.
            window_s: how far back, at most `LONGEST_S`.
            scenario: row of the scenario; NO_ROW for all.
        """
        self._settle()
        ring = next(ring for ring in self._rings if 1000 * window_s <= ring.span_ms)
        totals = np.zeros(n_items)
        whole: list[tuple[I64, U32]] = []
        for share, keys, counts in ring.within(now_ms - 1000 * window_s, now_ms):
            if share == 1.0:
                whole.append((keys, counts))
            else:
                totals += share * _by_item(keys, counts, n_items, scenario)
        if whole:
            keys, counts = np.concatenate([one[0] for one in whole]), np.concatenate([one[1] for one in whole])
            totals += _by_item(keys, counts, n_items, scenario)
        return totals

    def arrays(self) -> Arrays:
        """All counts."""
        self._settle()
        arrays: Arrays = {"portion": np.array([self._portion], np.int64)}
        for ring in self._rings:
            arrays |= under(str(ring.size_ms), ring.arrays())
        return arrays

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._begin(int(arrays["portion"][0]))
        for ring in self._rings:
            ring.load(within(arrays, str(ring.size_ms)))


class Ring:
    """The latest buckets of one size."""

    def __init__(self, size_ms: int, buckets: int) -> None:
        self.size_ms, self.span_ms = size_ms, size_ms * buckets
        self._most = buckets + _SPARE
        self._buckets: dict[int, tuple[I64, U32]] = {}  # by time / size: keys, sorted, and how often each was met

    @property
    def n_bytes(self) -> int:
        """Memory that is held, in bytes."""
        return sum(keys.nbytes + counts.nbytes for keys, counts in self._buckets.values())

    def add(self, ts_ms: I64, keys: I64) -> None:
        """Count events, each in the bucket of its time, as long as that is among the latest.

        Args:
            ts_ms: (B,)
            keys: (B,) ascending.
        """
        number = ts_ms // self.size_ms
        first = int(number.min())
        met = np.flatnonzero(np.bincount(number - first)) + first if np.ptp(number) < _DENSE else np.unique(number)
        kept = sorted({*self._buckets, *met[-self._most :].tolist()})[-self._most :]
        for gone in [bucket for bucket in self._buckets if bucket < kept[0]]:
            del self._buckets[gone]
        if first < kept[0]:
            among, met = number >= kept[0], met[met >= kept[0]]
            keys, number = keys[among], number[among]
        if len(met) == 1:
            self._count(int(met[0]), *_runs(keys))
        elif len(met):
            place = np.searchsorted(met, number).astype(np.uint8)  # so few: they are sorted by counting
            order = np.argsort(place, kind="stable")
            edges, sorted_keys = np.searchsorted(place[order], np.arange(len(met) + 1)).tolist(), keys[order]
            for n, bucket in enumerate(met.tolist()):
                self._count(bucket, *_runs(sorted_keys[edges[n] : edges[n + 1]]))

    def _count(self, bucket: int, keys: I64, counts: U32) -> None:
        """Add counts of different keys, sorted, to a bucket."""
        known = self._buckets.get(bucket)
        if known is None:
            self._buckets[bucket] = keys.copy(), counts.copy()
            return
        at = np.searchsorted(known[0], keys)
        has = known[0][np.minimum(at, len(known[0]) - 1)] == keys
        known[1][at[has]] += counts[has]
        if not has.all():
            new = ~has
            self._buckets[bucket] = np.insert(known[0], at[new], keys[new]), np.insert(known[1], at[new], counts[new])

    def cut(self) -> None:
        """Cut buckets that are over to what was met most, of every scenario in turn."""
        latest = max(self._buckets, default=0)
        for bucket, (keys, counts) in self._buckets.items():
            if bucket < latest and len(keys) > MOST_PAIRS:
                stay = _most_met(keys, counts)
                self._buckets[bucket] = keys[stay], counts[stay]

    def within(self, since_ms: int, now_ms: int) -> Iterator[tuple[float, I64, U32]]:
        """The buckets that have begun and end after a moment: the share of each that lies behind it, keys, counts."""
        for bucket, (keys, counts) in self._buckets.items():
            start_ms = bucket * self.size_ms
            stop_ms = min(start_ms + self.size_ms, now_ms + 1)
            if start_ms <= now_ms and stop_ms > since_ms:
                yield min(1.0, (stop_ms - since_ms) / (stop_ms - start_ms)), keys, counts

    def arrays(self) -> Arrays:
        """All buckets."""
        buckets = sorted(self._buckets)
        found = [self._buckets[bucket] for bucket in buckets]
        return {
            "buckets": np.array(buckets, np.int64),
            "sizes": np.array([len(keys) for keys, _ in found], np.int64),
            "keys": np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in found)]),
            "counts": np.concatenate([np.empty(0, np.uint32), *(counts for _, counts in found)]),
        }

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        keys, counts, stops = owned(arrays["keys"]), owned(arrays["counts"]), np.cumsum(arrays["sizes"]).tolist()
        self._buckets, start = {}, 0
        for bucket, stop in zip(arrays["buckets"].tolist(), stops, strict=True):
            self._buckets[bucket] = keys[start:stop], counts[start:stop]
            start = stop


def _runs(keys: I64) -> tuple[I64, U32]:
    """The different ones of sorted keys, and how often each is there."""
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[starts], np.diff(starts, append=len(keys)).astype(np.uint32)


def _by_item(keys: I64, counts: U32, n_items: int, scenario: int) -> F64:
    """(N,) the sum of each item's counts."""
    if scenario != NO_ROW:
        here = (keys & _PLACES) == scenario
        keys, counts = keys[here], counts[here]
    return np.bincount(keys >> _PLACE_BITS, weights=counts, minlength=n_items)[:n_items].astype(np.float64, copy=False)


def _most_met(keys: I64, counts: U32) -> I64:
    """Which of a bucket's keys stay, sorted: the first of every scenario, then the second of every one, and so on."""
    place = keys & _PLACES
    order = np.lexsort((keys, -counts.astype(np.int64), place))
    starts = np.searchsorted(place[order], place[order])
    rank = np.arange(len(keys)) - starts
    stay = order[np.lexsort((keys[order], rank))[:MOST_PAIRS]]
    return np.asarray(np.sort(stay), np.int64)


@njit(cache=True)
def _wait(ts_ms: I64, item: I32, scenario: I16, weight: F32, first: int, ts_out: I64, keys_out: I64) -> int:
    """Write the events that say something good behind the first ones that wait; how many they are."""
    n = 0
    for b in range(len(ts_ms)):
        if weight[b] > 0.0:
            ts_out[first + n] = ts_ms[b]
            keys_out[first + n] = np.int64(item[b]) << _PLACE_BITS | np.int64(scenario[b]) & _PLACES
            n += 1
    return n
