"""Moments as codes: how long between two of them, and when in the week. The one place where time is cut into codes."""

from __future__ import annotations

from functools import cache

import numpy as np

from everbrook.types import I16, I64

HOURS = 168
DAY_H = 24
WEEKDAYS = 5
PAUSES_S = (1800, 21_600, 86_400, 604_800)
"""Borders of the codes of a pause. Coarse, because a list is asked for before the next event happens, so that finer
times would differ between learning and serving."""
_HOUR_MS = 3_600_000
_FIRST_HOUR = 72  # 1970 began on a Thursday; hour 0 is Monday's first
_PAUSES_MS: I64 = 1000 * np.array(PAUSES_S, np.int64)


@cache
def gap_edges_ms(buckets: int) -> I64:
    """The longest gap of each code of `gap_codes` but the last; a code is how many edges lie below the gap."""
    return 1000 * (2 ** np.arange(min(buckets, 50) - 1, dtype=np.int64) - 1)


def gap_codes(gaps_ms: I64, buckets: int) -> I16:
    """Code gaps by their binary logarithm: 0, up to 1 s, 3 s, 7 s, …; the last bucket takes all longer ones.

    Args:
        gaps_ms: any shape; negative ones count as 0.
        buckets: how many codes there are.
    """
    return np.searchsorted(gap_edges_ms(buckets), gaps_ms, side="left").astype(np.int16)


def pause_codes(gaps_ms: I64) -> I16:
    """Code gaps by PAUSES_S, 0 up to the first border; any shape, negative ones count as 0."""
    return np.searchsorted(_PAUSES_MS, gaps_ms, side="left").astype(np.int16)


def hour_codes(ts_ms: I64, offset_h: float) -> I16:
    """The hour of the week, 0 (Monday, from midnight) to 167.

    Args:
        ts_ms: any shape; UTC.
        offset_h: what is added to UTC.
    """
    hours = (ts_ms + round(offset_h * _HOUR_MS)) // _HOUR_MS
    return ((hours + _FIRST_HOUR) % HOURS).astype(np.int16)


def week_codes(ts_ms: I64, offset_h: float, day_parts: int) -> I16:
    """The part of the week: equal parts of a day, from midnight, on weekdays and then the same at weekends.

    Args:
        ts_ms: any shape; UTC.
        offset_h: what is added to UTC.
        day_parts: parts of a day; there are twice as many codes.
    """
    hours = hour_codes(ts_ms, offset_h)
    part = (hours % DAY_H) * day_parts // DAY_H
    return (part + day_parts * (hours >= DAY_H * WEEKDAYS)).astype(np.int16)
