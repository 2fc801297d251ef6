"""Inner loops of the sequence expert: keys of histories, scores of a few rows, the best rows."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import F32, I32, I64


@njit(cache=True)
def history_key(ts_ms: int, actor: int, items: I32, n: int, history: int) -> int:
    """One number for who asks, when, and after which last events."""
    key = np.uint64(ts_ms) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(actor + 2)
    key = (key ^ np.uint64(n)) * np.uint64(0xBF58476D1CE4E5B9)
    for place in range(max(0, n - history), n):
        key = (key ^ (key >> np.uint64(29)) ^ np.uint64(items[place] + 2)) * np.uint64(0x94D049BB133111EB)
    return np.int64(key ^ (key >> np.uint64(32)))  # type: ignore[return-value]  # numba's int


@njit(cache=True)
def history_keys(ts_ms: I64, actor: I32, items: I32, n: I32, history: int) -> I64:
    """`history_key` of each of B events."""
    keys = np.empty(len(ts_ms), np.int64)
    for b in range(len(ts_ms)):
        keys[b] = history_key(ts_ms[b], actor[b], items[b], n[b], history)
    return keys


@njit(cache=True, fastmath=True)
def score_rows(table: F32, state: F32, log_total: float, rows: I32, mass: F32) -> None:
    """Probability of some rows, (M,), under softmax(table @ state), `log_total` its denominator's log; 0 if unknown."""
    for m in range(len(rows)):
        row = rows[m]
        if row < 0 or row >= len(table):
            mass[m] = 0.0
            continue
        score = np.float32(0.0)
        for d in range(len(state)):
            score += table[row, d] * state[d]
        mass[m] = np.exp(score - log_total)


@njit(cache=True)
def _worse(scores: F32, rows: I32, one: int, other: int) -> bool:
    return scores[one] < scores[other] or (scores[one] == scores[other] and rows[one] > rows[other])


@njit(cache=True)
def best_rows(scores: F32, limit: int) -> I32:
    """The rows of the highest scores, best first, ties by row: a heap of `limit` that most rows never enter."""
    limit = min(limit, len(scores))
    heap = np.empty(limit, np.float32)
    rows = np.empty(limit, np.int32)
    size = 0
    for row in range(len(scores)):
        score = scores[row]
        if size < limit:
            place = size
            size += 1
            while place > 0 and heap[(place - 1) // 2] >= score:  # of equal scores the later row is nearer the top
                heap[place], rows[place] = heap[(place - 1) // 2], rows[(place - 1) // 2]
                place = (place - 1) // 2
            heap[place], rows[place] = score, row
        elif limit and score > heap[0]:
            place = 0
            while True:
                child = 2 * place + 1
                if child >= limit:
                    break
                if child + 1 < limit and _worse(heap, rows, child + 1, child):
                    child += 1
                if heap[child] >= score:
                    break
                heap[place], rows[place] = heap[child], rows[child]
                place = child
            heap[place], rows[place] = score, row
    order = np.arange(size).astype(np.int32)
    _sort(rows[:size], order)
    _sort(_falling(heap[:size]), order)
    return rows[:size][order]


@njit(cache=True)
def by_score(scores: F32) -> I32:
    """Places of (M,) scores, the highest first; of equal ones the first."""
    order = np.arange(len(scores)).astype(np.int32)
    _sort(_falling(scores), order)
    return order


@njit(cache=True)
def _falling(scores: F32) -> I32:
    """Bits that rise, without a sign, as numbers fall; 0 and -0 have the same."""
    keys = np.empty(len(scores), np.int32)
    for i in range(len(scores)):
        bits = np.float32(scores[i] + np.float32(0.0)).view(np.int32)
        keys[i] = bits if bits < 0 else ~bits & np.int32(0x7FFFFFFF)
    return keys


@njit(cache=True)
def _sort(keys: I32, order: I32) -> None:
    """Sort places by their keys, read without a sign, in place; of equal ones those stay first that are first.

    By their bytes, for a few hundred take two microseconds so; Knuth, 'The art of computer programming' 3, 5.2.5.
    """
    other, starts = np.empty_like(order), np.zeros((4, 256), np.int32)
    for key in keys:
        for part in range(4):
            starts[part, (key >> (8 * part)) & 255] += 1
    for part in range(4):
        before = np.int32(0)
        for byte in range(256):
            count = starts[part, byte]
            starts[part, byte] = before
            before += count
        for place in order:
            byte = (keys[place] >> (8 * part)) & 255
            other[starts[part, byte]] = place
            starts[part, byte] += 1
        order[:] = other
