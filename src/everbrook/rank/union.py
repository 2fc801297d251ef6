"""The union of proposed candidates, and the best of candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from everbrook.models.transitions_kernels import slot_in, table_for
from everbrook.types import F64, I32, I64


def distinct(found: Sequence[Sequence[I32]]) -> list[I32]:
    """Of each of B lists the distinct rows, in order of first appearance.

    Args:
        found: of each list the parts that lie one after the other.
    """
    parts = [part for own in found for part in own]
    if not parts:
        return [np.empty(0, np.int32) for _ in found]
    ends = np.cumsum([sum(map(len, own)) for own in found])
    rows = np.concatenate(parts, dtype=np.int32, casting="same_kind")
    kept = _distinct(rows, ends)
    return [rows[start:stop] for start, stop in kept.tolist()]


@njit(cache=True)
def _distinct(rows: I32, ends: I64) -> I64:
    """Push distinct rows to the beginning of each list, in place; (B, 2) where they begin and end."""
    kept, start = np.empty((len(ends), 2), np.int64), 0
    for b in range(len(ends)):
        own, count = rows[start : ends[b]], 0
        table = table_for(len(own))
        for i in range(len(own)):
            slot = slot_in(table, own, own[i])
            if table[slot] < 0:
                own[count] = own[i]
                table[slot] = count
                count += 1
        kept[b, 0], kept[b, 1] = start, start + count
        start = ends[b]
    return kept


@njit(cache=True)
def _worse(final: F64, rows: I32, one: int, other: int) -> bool:
    return final[one] < final[other] or (final[one] == final[other] and rows[one] > rows[other])


@njit(cache=True)
def _sink(final: F64, rows: I32, heap: I32, at: int, size: int) -> None:
    """Let the place at `at` sink until the worst of its branch stands on top."""
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _worse(final, rows, heap[child + 1], heap[child]):
            child += 1
        if not _worse(final, rows, heap[child], heap[at]):
            return
        heap[at], heap[child] = heap[child], heap[at]
        at = child


@njit(cache=True)
def best_places(final: F64, rows: I32, k: int) -> I32:
    """Where the k best of M candidates are, best first; equal ones in the order of their rows."""
    size = max(0, min(k, len(final)))
    heap = np.arange(size).astype(np.int32)
    for at in range(size // 2 - 1, -1, -1):
        _sink(final, rows, heap, at, size)
    for i in range(size, len(final)):
        if size and _worse(final, rows, heap[0], i):
            heap[0] = i
            _sink(final, rows, heap, 0, size)
    for end in range(size - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sink(final, rows, heap, 0, end)
    return heap
