"""Fading counts: 2^-x by a table, and half-lives as rates and names. Not a model; the counting experts build on it.

Half-lives are in seconds; 0 stands for a count that never fades.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from everbrook.types import F64

STEPS = 16
"""Table entries per half-life."""
GONE = 48.0
"""After so many half-lives a count is taken for nothing."""

_POWERS = np.exp2(-np.arange(int(GONE) * STEPS + 1) / STEPS)
_POWERS[-1] = 0.0
_LN2 = float(np.log(2.0))
POWER = (
    1.0, -0.6931471805599453, 0.24022650922288757, -0.055504108839096185, 0.009618056678524637, -0.001333350238616277,
    0.0001546144469856913, -1.5297323760701075e-05,
)  # fmt: skip
"""Of 2^-x for |x| <= 0.5, to 2e-10 and at 0 exactly: interpolated at Chebyshev's points."""
ROUND = 1.5 * 2.0**52
"""Added to a number it leaves its nearest whole number in the last bits."""


@njit(cache=True, fastmath=True)
def fade(x: float) -> float:
    """2^-x for x >= 0, to a relative 2e-9; below 0 it is 1, from GONE on 0. No branches, so that loops vectorise."""
    steps = min(max(x, 0.0), GONE) * STEPS
    i = np.int32(steps)
    f = (steps - i) * (_LN2 / STEPS)
    return _POWERS[i] * (1.0 - f * (1.0 - f * (0.5 - f * (1.0 / 6.0 - f * (1.0 / 24.0)))))


@njit(cache=True, fastmath={"contract"})
def fade_all(ages: F64, rate: float, out: F64) -> None:
    """What `fade` gives ages times a rate, to a relative 2e-10; by a polynomial, not by the table: several at once."""
    for i in range(len(out)):
        x = min(max(ages[i] * rate, 0.0), GONE)
        shifted = x + ROUND
        rest = x - (shifted - ROUND)
        square = rest * rest
        low = (POWER[0] + rest * POWER[1]) + square * (POWER[2] + rest * POWER[3])
        high = (POWER[4] + rest * POWER[5]) + square * (POWER[6] + rest * POWER[7])
        near = low + square * square * high
        power = np.int64((np.int64(1023) - np.int64(np.float64(shifted).view(np.int64))) << 52).view(np.float64)
        out[i] = near * power if x < GONE else 0.0


def rates_per_s(half_lives_s: Sequence[float]) -> F64:
    """Half-lives that pass in a second, one a column: what `fade` wants times the seconds."""
    return np.array([1.0 / h if h > 0 else 0.0 for h in half_lives_s])


def half_life_name(half_life_s: float) -> str:
    """A half-life as people write it: 5m, 3h, 7d, ever."""
    if half_life_s <= 0:
        return "ever"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if half_life_s >= size and half_life_s % size == 0:
            return f"{half_life_s / size:g}{unit}"
    return f"{half_life_s:g}s"
