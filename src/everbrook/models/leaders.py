"""The leaders of many items: those of the greatest shares, best first, found without sorting the others."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import I32, I64

BINS = 512  # of shares, 16 for each halving, from the greatest down
WIDTH = 50  # bits of a key within a bin
FEW = 256  # keys up to which counting takes less time than sorting
ROW_BITS = 31
LAST_ROW = (1 << ROW_BITS) - 1


@njit(cache=True)
def key_of(share: float, row: int) -> int:
    """A number that is greater for a greater share (a float32, not negative), and among equals for the smaller row.

    It has 62 bits; who adds one above them lets some come before all others.
    """
    return (int(np.float32(share).view(np.int32)) << ROW_BITS) + (LAST_ROW - row)


@njit(cache=True)
def leaders(keys: I64, limit: int, rows: I32) -> int:
    """The rows of the greatest keys, the greatest first; returns how many.

    Args:
        keys: see `key_of`; no two are equal, and they are shuffled.
        limit: how many at most.
        rows: (limit,) out.
    """
    top, n = np.int64(0), len(keys)
    for key in keys:
        top = max(top, key)
    if n > limit:
        many, edge = np.zeros(BINS, np.int32), 0
        for key in keys:
            many[min((top - key) >> WIDTH, BINS - 1)] += 1
        total = many[0]
        while total < limit:
            edge += 1
            total += many[edge]
        n = 0
        for key in keys:
            keys[n] = key
            n += int(min((top - key) >> WIDTH, BINS - 1) <= edge)
    found, best = min(n, limit), keys[:n]
    if n > FEW:
        best = np.sort(best)
        for j in range(found):
            rows[j] = LAST_ROW - (best[n - 1 - j] & LAST_ROW)
        return found
    for i in range(n):  # few are sorted by counting who is greater, which has no branches to foretell
        key, greater = best[i], 0
        for j in range(n):
            greater += int(best[j] > key)
        if greater < found:
            rows[greater] = LAST_ROW - (key & LAST_ROW)
    return found
