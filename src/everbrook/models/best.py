"""The best of some rows by what they have, equal ones in the order of the rows: a heap that most never enter."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import F32, F64, I32


@njit(cache=True)
def _worse(values: F32 | F64, rows: I32, one: int, other: int) -> bool:
    return values[one] < values[other] or (values[one] == values[other] and rows[one] > rows[other])


@njit(cache=True)
def _sink(values: F32 | F64, rows: I32, heap: I32, at: int, size: int) -> None:
    """Let the place at `at` sink until the worst of its branch stands on top."""
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _worse(values, rows, heap[child + 1], heap[child]):
            child += 1
        if not _worse(values, rows, heap[child], heap[at]):
            return
        heap[at], heap[child] = heap[child], heap[at]
        at = child


@njit(cache=True)
def best_places(values: F32 | F64, rows: I32, k: int) -> I32:
    """Where the k best are, best first; equal ones in the order of their rows.

    Args:
        values: (M,) what each has.
        rows: (M,)
        k: how many at most.
    """
    heap = np.empty(max(0, min(k, len(values))), np.int32)
    put_best(values, rows, heap)
    return heap


@njit(cache=True)
def put_best(values: F32 | F64, rows: I32, heap: I32) -> None:
    """Write where the best are, as many as `heap` has room for and at most M; see `best_places`."""
    size = len(heap)
    for at in range(size):
        heap[at] = at
    for at in range(size // 2 - 1, -1, -1):
        _sink(values, rows, heap, at, size)
    for i in range(size, len(values)):
        if size and _worse(values, rows, heap[0], i):
            heap[0] = i
            _sink(values, rows, heap, 0, size)
    for end in range(size - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sink(values, rows, heap, 0, end)


@njit(cache=True)
def pick_best(values: F64, rows: I32, shown: int, places: I32, found: I32, scores: F64) -> None:
    """Write the best of the first so many: where they are, their rows and what they have; see `put_best`.

    Args:
        values: (M,) what each has.
        rows: (M,)
        shown: how many of the first take part; no fewer than there are places.
        places: (T,), out.
        found: (T,), out.
        scores: (T,), out.
    """
    put_best(values[:shown], rows[:shown], places)
    for t in range(len(places)):
        found[t], scores[t] = rows[places[t]], values[places[t]]
