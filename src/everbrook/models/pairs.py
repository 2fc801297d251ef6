"""A growable store of fading counts on pairs of items: for each item a row of others, all rows in one pool; no model.

A row's block holds 4, 8, 16 … entries; a full one moves to a block of double size and leaves its own to the next row
that wants one. At the limit the weakest quarter of a row goes, and what it weighed is taken from the row's totals, so
that shares of a row still add up to 1. Counts are kept as of the last touch, in whole seconds since the first event.
Memory, with C counters: 32 + 8 C bytes an item row and 8 + 4 C bytes an entry.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everbrook.models.decay import fade
from everbrook.state.mapped import AHEAD, grown, owned, with_room
from everbrook.types import F32, F64, I32, I64, Arrays, Bool

OFFSET, LENGTH, ROOM, TOUCHED = 0, 1, 2, 3
"""Columns of `head`."""
USED, STARTED, ORIGIN_MS = 0, 1, 2
"""Places of `meta`."""
FIRST = 4
"""Entries of the smallest block."""
CLASSES = 16
_LANES = 16
LONGEST_S = 2**31 - 1
Store = tuple[I64, F64, I32, I32, F32, I64, I64]
"""What the loops are given: head (N, 4), totals (N, C), others (P,), last (P,), counts (P, C), free, meta."""


class PairStore:
    """Rows of pair counts as flat arrays; `observe` kernels fill them in place."""

    def __init__(self, counters: int, row_limit: int) -> None:
        self.row_limit = max(FIRST, row_limit)
        self.head: I64 = np.zeros((0, 4), np.int64)
        self.totals: F64 = np.zeros((0, counters))
        self.others: I32 = np.zeros(FIRST * 256, np.int32)
        self.last: I32 = np.zeros(FIRST * 256, np.int32)
        self.counts: F32 = np.zeros((FIRST * 256, counters), np.float32)
        self.free: I64 = np.full(CLASSES, -1, np.int64)
        self.meta: I64 = np.zeros(4, np.int64)

    def grow(self, items: int) -> None:
        """Make room for item rows below `items`."""
        self.head = widened(self.head, items)
        self.totals = widened(self.totals, items)

    def reserve(self, entries: int) -> None:
        """Make room for so many more entries in the pool."""
        wanted = int(self.meta[USED]) + entries
        if wanted > len(self.others):
            self.others, self.last, self.counts = grown((self.others, self.last, self.counts), wanted)

    @property
    def arrays(self) -> Store:
        """All arrays in one tuple, for the loops."""
        return self.head, self.totals, self.others, self.last, self.counts, self.free, self.meta

    def state(self) -> Arrays:
        """Everything counted; the unused end of the pool is left out."""
        used = int(self.meta[USED])
        return {
            "head": self.head,
            "totals": self.totals,
            "free": self.free,
            "meta": self.meta,
            "others": self.others[:used],
            "last": self.last[:used],
            "counts": self.counts[:used],
        }

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        for name in ("head", "totals", "free", "meta"):
            setattr(self, name, owned(arrays[name]))
        for name in ("others", "last", "counts"):
            setattr(self, name, with_room(arrays[name], max(AHEAD * len(arrays[name]), FIRST * 256)))


def widened(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """The array with room for at least so many rows, zeros in the new ones; by doubling."""
    return array if rows <= len(array) else _resized(array, max(rows, 2 * len(array)))


def _resized(array: NDArray[Any], rows: int) -> NDArray[Any]:
    bigger = np.zeros((rows, *array.shape[1:]), array.dtype)
    bigger[: len(array)] = array
    return bigger


@njit(cache=True)
def seconds_since_first(ts_ms: int, meta: I64) -> int:
    """The store's own time: whole seconds since the first event, held within 68 years of it on either side."""
    return min(max((ts_ms - meta[ORIGIN_MS]) // 1000, -LONGEST_S), LONGEST_S)


@njit(cache=True)
def find(others: I32, start: int, length: int, target: int) -> int:
    """Where `target` stands among the entries of a row; -1 where it does not."""
    e, stop = start, start + length
    while e + _LANES <= stop:  # a fixed count without a way out: several entries at once
        near, hits = others[e : e + _LANES], 0
        for i in range(_LANES):
            hits += near[i] == target
        if hits:
            break
        e += _LANES
    while e < stop:
        if others[e] == target:
            return e
        e += 1
    return -1


@njit(cache=True)
def take_block(room: int, others: I32, free: I64, meta: I64) -> int:
    """The offset of a block of so many entries: one given back, or the pool's next."""
    size_class = 0
    while (FIRST << size_class) < room:
        size_class += 1
    block = free[size_class]
    if block >= 0:
        free[size_class] = np.int64(others[block]) * FIRST if others[block] >= 0 else -1
        return block
    block = meta[USED]
    meta[USED] += FIRST << size_class
    return block


@njit(cache=True)
def give_block(block: int, room: int, others: I32, free: I64) -> None:
    """Leave a block to whoever wants one of its size next."""
    size_class = 0
    while (FIRST << size_class) < room:
        size_class += 1
    others[block] = free[size_class] // FIRST if free[size_class] >= 0 else -1
    free[size_class] = block


@njit(cache=True)
def comes_later(values: F64, a: int, b: int) -> bool:
    """Whether place a sorts after place b: by value, of equals by place."""
    return values[a] > values[b] or (values[a] == values[b] and a > b)


@njit(cache=True)
def sift(values: F64, heap: I64, at: int, n: int) -> None:
    """Let the place at `at` sink until the latest of its branch stands on top."""
    while 2 * at + 1 < n:
        child = 2 * at + 1
        if child + 1 < n and comes_later(values, heap[child + 1], heap[child]):
            child += 1
        if not comes_later(values, heap[child], heap[at]):
            return
        heap[at], heap[child] = heap[child], heap[at]
        at = child


@njit(cache=True)
def least(values: F64, count: int) -> I64:
    """Places of the least values, least first, of equals the first; a heap, quicker to compile than numpy's sort."""
    n = min(count, values.shape[0])
    heap = np.empty(n, np.int64)
    for i in range(n):
        heap[i] = i
    for i in range(n // 2 - 1, -1, -1):
        sift(values, heap, i, n)
    if n:
        for i in range(n, values.shape[0]):
            if values[i] < values[heap[0]]:
                heap[0] = i
                sift(values, heap, 0, n)
    for end in range(n - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        sift(values, heap, 0, end)
    return heap


@njit(cache=True)
def weakest(row: int, store: Store, rates: F64) -> Bool:
    """Which quarter of a row's entries has the least sum of shares over the counters."""
    head, totals, _, last, counts, _, _ = store
    H = rates.shape[0]  # counters stand by kind, then by half-life
    start, n, now = head[row, OFFSET], head[row, LENGTH], head[row, TOUCHED]
    C = totals.shape[1]
    strength, parts = np.zeros(n), np.zeros(C)
    for c in range(C):
        if totals[row, c] > 0.0:
            parts[c] = 1.0 / totals[row, c]
    for j in range(n):
        for h in range(H):
            share = 0.0
            for c in range(h, C, H):
                share += counts[start + j, c] * parts[c]
            strength[j] += share * fade((now - last[start + j]) * rates[h])
    doomed = np.zeros(n, np.bool_)
    for j in least(strength, max(1, n // 4)):
        doomed[j] = True
    return doomed


@njit(cache=True)
def prune(row: int, store: Store, rates: F64) -> None:
    """Drop the weakest quarter of a row, and what it weighs from the row's totals."""
    head, totals, others, last, counts, _, _ = store
    H = rates.shape[0]
    start, now = head[row, OFFSET], head[row, TOUCHED]
    doomed = weakest(row, store, rates)
    kept = start
    for j in range(head[row, LENGTH]):
        e = start + j
        if doomed[j]:
            for h in range(H):
                f = fade((now - last[e]) * rates[h])
                for c in range(h, totals.shape[1], H):
                    totals[row, c] = max(0.0, totals[row, c] - counts[e, c] * f)
            continue
        others[kept], last[kept] = others[e], last[e]
        for c in range(counts.shape[1]):
            counts[kept, c] = counts[e, c]
        kept += 1
    head[row, LENGTH] = kept - start


@njit(cache=True)
def add_entry(row: int, target: int, now: int, store: Store, rates: F64, row_limit: int) -> int:
    """A new entry with counts 0 at the end of a row, making room for it; gives its place."""
    head, _, others, last, counts, free, meta = store
    length, room = head[row, LENGTH], head[row, ROOM]
    if length >= row_limit:
        prune(row, store, rates)
    elif length == room:
        old, block = head[row, OFFSET], take_block(max(FIRST, 2 * room), others, free, meta)
        for j in range(length):
            others[block + j], last[block + j] = others[old + j], last[old + j]
            for c in range(counts.shape[1]):
                counts[block + j, c] = counts[old + j, c]
        if room:
            give_block(old, room, others, free)
        head[row, OFFSET], head[row, ROOM] = block, max(FIRST, 2 * room)
    e = head[row, OFFSET] + head[row, LENGTH]
    head[row, LENGTH] += 1
    others[e], last[e] = target, now
    for c in range(counts.shape[1]):
        counts[e, c] = 0.0
    return e


@njit(cache=True)
def freshen(row: int, now: int, store: Store, rates: F64) -> None:
    """Bring a row's totals to the present; what comes late leaves them as they are."""
    head, totals = store[0], store[1]
    dt = float(now - head[row, TOUCHED])
    if dt <= 0.0:
        return
    head[row, TOUCHED] = now
    H = rates.shape[0]
    for h in range(H):
        f = fade(dt * rates[h])
        for c in range(h, totals.shape[1], H):
            totals[row, c] *= f


@njit(cache=True)
def strengthen(row: int, e: int, now: int, kind: int, weight: float, store: Store, rates: F64) -> None:
    """Add to one kind of counters of an entry and of its freshened row; what comes late has faded since."""
    head, totals, _, last, counts, _, _ = store
    H = rates.shape[0]
    dt = float(now - last[e])
    late = float(head[row, TOUCHED] - now)
    if dt > 0.0:
        last[e] = now
        for h in range(H):
            f = np.float32(fade(dt * rates[h]))
            for c in range(h, counts.shape[1], H):
                counts[e, c] *= f
    for h in range(H):
        counts[e, kind * H + h] += weight * fade(-dt * rates[h]) if dt < 0.0 else weight
        totals[row, kind * H + h] += weight * fade(late * rates[h]) if late > 0.0 else weight
