"""Which rows are among some others or allowed; for few rows NumPy's sorting takes longer than looking at every pair."""

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


def allowed_of(rows: I32, allowed: Bool, left_out: I32) -> I32:
    """Those of (M,) rows that are allowed, (N,), and not left out, in their order."""
    if len(rows) * len(left_out) > _PAIRS:
        rows = rows[allowed[rows]]
        return rows[~np.isin(rows, left_out)]
    kept = np.empty(len(rows), np.int32)
    return kept[: _keep(rows, allowed, left_out, kept)]


@njit(cache=True)
def _keep(rows: I32, allowed: Bool, left_out: I32, kept: I32) -> int:
    count = 0
    for row in rows:
        out = not allowed[row]
        for other in left_out:
            out |= other == row
        kept[count] = row
        count += not out
    return count
