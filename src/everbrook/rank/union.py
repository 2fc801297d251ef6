"""The union of proposed candidates."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import I32


def distinct(rows: I32, stamp: I32) -> I32:
    """Distinct rows in order of first appearance.

    Args:
        rows: item rows with repeats.
        stamp: (N,) zeros, used as scratch and left as zeros.
    """
    out = np.empty(len(rows), dtype=np.int32)
    return out[: _distinct(rows, stamp, out)]


@njit(cache=True)
def _distinct(rows, stamp, out):  # type: ignore[no-untyped-def]
    count = 0
    for row in rows:
        if stamp[row] == 0:
            stamp[row] = 1
            out[count] = row
            count += 1
    for i in range(count):
        stamp[out[i]] = 0
    return count
