"""The union of proposed candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from everbrook.types import I32, I64


def distinct(found: Sequence[Sequence[I32]], stamp: I32) -> list[I32]:
    """Of each of B lists the distinct rows, in order of first appearance.

    Args:
        found: of each list the parts that lie one after the other.
        stamp: (N / 32,) zeros, a bit for each row, used as scratch and left as zeros.
    """
    parts = [part for own in found for part in own]
    if not parts:
        return [np.empty(0, np.int32) for _ in found]
    ends = np.cumsum([sum(map(len, own)) for own in found])
    rows = np.concatenate(parts, dtype=np.int32, casting="same_kind")
    kept = _distinct(rows, ends, stamp)
    return [rows[start:stop] for start, stop in kept.tolist()]


@njit(cache=True)
def _distinct(rows: I32, ends: I64, stamp: I32) -> I64:
    """Push distinct rows to the beginning of each list, in place; (B, 2) where they begin and end."""
    kept, start = np.empty((len(ends), 2), np.int64), 0
    for b in range(len(ends)):
        count = start
        for i in range(start, ends[b]):  # without branches, which nobody can foretell here
            row = rows[i]
            word, bit = stamp[row >> 5], np.int32(1) << (row & 31)
            rows[count] = row
            count += (word & bit) == 0
            stamp[row >> 5] = word | bit
        for i in range(start, count):
            stamp[rows[i] >> 5] = 0
        kept[b, 0], kept[b, 1] = start, count
        start = ends[b]
    return kept
