"""The union of proposed candidates."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import I32, I64


@njit(cache=True)
def distinct(found: I32, kept: I64, stamp: I32, rows: I32, counts: I64) -> None:
    """Of each of B lists the distinct rows that anybody proposed, in order of first appearance.

    Args:
        found: (families, B, limit) what each proposed, best first.
        kept: (families, B) how many of those.
        stamp: (N / 32,) zeros, a bit for each row, used as scratch and left as zeros.
        rows: (B, families * limit), out.
        counts: (B,), out: how many of those.
    """
    for b in range(len(counts)):
        own, count = rows[b], 0
        for f in range(len(found)):
            proposed = found[f, b, : kept[f, b]]
            for i in range(len(proposed)):  # without branches, which nobody can foretell here
                row = proposed[i]
                word, bit = stamp[row >> 5], np.int32(1) << (row & 31)
                own[count] = row
                count += (word & bit) == 0
                stamp[row >> 5] = word | bit
        for i in range(count):
            stamp[own[i] >> 5] = 0
        counts[b] = count
