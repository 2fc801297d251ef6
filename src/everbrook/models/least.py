"""Where the least of some numbers stand, in order. Nothing branches on how two compare, which nobody can foretell."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.pairs import least
from everbrook.types import F64, I64

RANKED = 256
"""Up to so many are put in order by counting for each how many come before it: several comparisons at once."""


@njit(cache=True)
def kth_least(values: F64, k: int) -> float:
    """The value that would stand at place k if they were sorted."""
    near, lower, higher, n = values.copy(), np.empty(len(values) + 1), np.empty(len(values) + 1), len(values)
    while True:
        one, two, three = near[0], near[n // 2], near[n - 1]
        middle = max(min(one, two), min(max(one, two), three))
        below, above = 0, 0
        for i in range(n):
            value = near[i]
            lower[below], higher[above] = value, value
            below += value < middle
            above += value > middle
        if k < below:
            near, lower, n = lower, near, below
        elif k >= n - above:
            k -= n - above
            near, higher, n = higher, near, above
        else:
            return float(middle)


@njit(cache=True)
def least_places(values: F64, count: int) -> I64:
    """Places of the least values, least first, of equals the first.

    Args:
        values: (N,) numbers, none of them NaN.
        count: how many at most.
    """
    n = len(values)
    k = min(n, count)
    if k > RANKED:
        return least(values, count)
    chosen, near, out = np.empty(k + 1, np.int64), np.empty(k), np.empty(k, np.int64)
    if k == 0:
        return out
    last, taken, spare = np.inf, 0, n
    if k < n:
        last, spare = kth_least(values, k - 1), k
        for i in range(n):
            spare -= values[i] < last
    for i in range(n):
        level = (values[i] == last) & (spare > 0)
        chosen[taken] = i
        taken += (values[i] < last) | level
        spare -= level
    for i in range(k):
        near[i] = values[chosen[i]]
    for i in range(k):
        value, place = near[i], 0
        for j in range(k):
            place += near[j] < value
        for j in range(i):
            place += near[j] == value
        out[place] = chosen[i]
    return out
