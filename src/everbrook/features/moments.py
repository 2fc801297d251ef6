"""Moments as codes: how long between two of them, and the hour of the week."""

from __future__ import annotations

from functools import cache

import numpy as np

from everbrook.types import I16, I64

HOURS = 168
_HOUR_MS = 3_600_000
_FIRST_HOUR = 72  # 1970 began on a Thursday; hour 0 is Monday's first


@cache
def _edges_ms(buckets: int) -> I64:
    return 1000 * (2 ** np.arange(buckets - 1, dtype=np.int64) - 1)


def gap_codes(gaps_ms: I64, buckets: int) -> I16:
    """Code gaps by their binary logarithm: 0, up to 1 s, 3 s, 7 s, …; the last bucket takes all longer ones.

    Args:
        gaps_ms: any shape; negative ones count as 0.
        buckets: how many codes there are.
    """
    return np.searchsorted(_edges_ms(min(buckets, 50)), gaps_ms, side="left").astype(np.int16)


def hour_codes(ts_ms: I64, offset_h: float) -> I16:
    """The hour of the week, 0 (Monday, from midnight) to 167.

    Args:
        ts_ms: any shape; UTC.
        offset_h: what is added to UTC.
    """
    hours = (ts_ms + round(offset_h * _HOUR_MS)) // _HOUR_MS
    return ((hours + _FIRST_HOUR) % HOURS).astype(np.int16)
