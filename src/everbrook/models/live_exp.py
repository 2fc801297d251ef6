"""exp of numbers of 32 bits, none above 0: to a relative 5e-6, near 0 to 1e-6; and roughly, for sums of many."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.types import F32

FAINT = 80.0  # numbers that are so far below 0 count as one so far below
_PER_NAT = np.float32(1.0 / math.log(2.0))
_POWER = tuple(  # of 2 ** -x for -0.5 <= x <= 0.5, to 2e-7: interpolated at Chebyshev's points
    np.float32(c) for c in (1.0000000755, -0.6931472067, 0.2402210736, -0.0555032721, 0.0096760371, -0.0013400432)
)
_PER_STEP = np.float32(2.0**23 / math.log(2.0))  # by how much the bits of a power rise with its logarithm
_ONE = np.float32(127 * 2**23)  # the bits of 1
_LEAST = np.float32(127 * 2**23 - FAINT * 2.0**23 / math.log(2.0))
_ROUGH = tuple(  # of 2 ** (m - 1) / m for 1 <= m <= 2, interpolated at Chebyshev's points, less its mean error
    np.float32(c * (1.0 - 4.6e-5)) for c in (1.754654634, -1.332858877, 0.676997564, -0.099671718)
)
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several numbers at a time


@njit(cache=True, fastmath=_SUMS)
def exp_below(below: np.float32) -> np.float32:
    """exp(-below) for below >= 0 (above 80 as of 80): a power of 2, by its bits, times a polynomial. No branches."""
    steps = min(below, np.float32(FAINT)) * _PER_NAT
    whole = np.int32(steps + np.float32(0.5))
    rest = steps - np.float32(whole)
    near = _POWER[4] + rest * _POWER[5]
    near = _POWER[0] + rest * (_POWER[1] + rest * (_POWER[2] + rest * (_POWER[3] + rest * near)))
    power: np.float32 = np.int32((np.int32(127) - whole) << np.int32(23)).view(np.float32)
    return near * power


@njit(cache=True, fastmath=_SUMS)
def rough_exp_below(below: np.float32) -> np.float32:
    """exp(-below) for below >= 0 to a relative 1e-3, right on average, in half the time: for sums of many small parts.

    A number's bits, read as a whole number, are nearly its logarithm; what that leaves out depends on the mantissa
    alone. Source: Schraudolph, 'A fast, compact approximation of the exponential function' (1999).
    """
    bits = np.int32(max(_ONE - below * _PER_STEP, _LEAST))
    mantissa: np.float32 = np.int32((bits & np.int32(0x7FFFFF)) | np.int32(0x3F800000)).view(np.float32)
    power: np.float32 = bits.view(np.float32)
    return power * (_ROUGH[0] + mantissa * (_ROUGH[1] + mantissa * (_ROUGH[2] + mantissa * _ROUGH[3])))


@njit(cache=True, fastmath=_SUMS)
def total_below(scores: F32, top: np.float32) -> np.float32:
    """The sum of exp(score - top) over some hundred scores, none of them above `top`; see `rough_exp_below`."""
    total = np.float32(0.0)
    for i in range(len(scores)):
        total += rough_exp_below(top - scores[i])
    return total
