"""Which rows are among some others; for few rows NumPy's sorting takes longer than looking at every pair."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import I32, Bool

_PAIRS = 65_536  # beyond so many, sorting is faster


def among(rows: I32, some: I32) -> Bool:
    """(M,) whether each row is one of some."""
    if len(rows) * len(some) > _PAIRS:
        return np.isin(rows, some)
    out = np.zeros(len(rows), np.bool_)
    _mark(rows, some, out)
    return out


@njit(cache=True)
def _mark(rows: I32, some: I32, out: Bool) -> None:
    for row in some:
        for i in range(len(rows)):
            out[i] |= rows[i] == row
