"""Time that passed, from moments that may jump: a gap counts as at most a minute, and a jump back not at all."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import I64

LONGEST_MS = 60_000


def no_time() -> I64:
    """A clock that has seen nothing: (3,) the latest moment, whether there was one, and the time that passed, in ms."""
    return np.zeros(3, np.int64)


@njit(cache=True)
def elapse(clock: I64, ts_ms: int) -> int:
    """Move a clock to a moment, and say how many milliseconds that counts as.

    A moment a little before the latest one changes nothing; one long before it is where the clock goes on from, so that
    a single moment from the future does not stop it.
    """
    passed = ts_ms - clock[0] if clock[1] else 0
    if passed >= 0 or passed < -LONGEST_MS:
        clock[0] = ts_ms
        clock[1] = 1
    passed = min(max(passed, 0), LONGEST_MS)
    clock[2] += passed
    return passed
