"""Loops of the click predictor: features of one thing shown, test, then train."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.decay import fade
from everbrook.types import F64, I16, I32, I64, Bool

TAKEN, SHOWN, LAST_MS = range(3)
"""Slots of a count."""
ALWAYS, ITEM_RATE, ACTOR_RATE, OWN, OWN_NOW, OWN_TIMES, KNOWN, KNOWN_NOW = range(8)
"""Numbers about one thing shown, by their row."""
NUMBERS = 8
HOURS, DAYS = 24, 7
POSITIONS = 33
"""Rows for positions: none, 0..30, and 31 or more."""
PLAIN = NUMBERS + HOURS + DAYS + POSITIONS
"""Rows that are there from the beginning."""
BEGINNING = 1.0
"""What Adagrad's sums of squares start from: keeps the first steps small."""
MOST_LOGIT = 15.0


@njit(cache=True)
def observe(
    marks: I64,  # (M,) positions of the events that are meant
    taken: Bool,  # (B,)
    ts_ms: I64,
    actor: I32,
    item: I32,
    scenario: I16,
    position: I32,  # (B,) -1 where not known
    n: I32,
    session_n: I32,
    history: I32,  # (B, H)
    overall: F64,  # (3,)
    actor_counts: F64,  # (A, 3)
    item_counts: F64,  # (N, 3)
    plain: F64,  # (PLAIN, 2) weights and sums of squared gradients
    items: F64,  # (N, 2)
    scenarios: F64,  # (S + 1, 2) the last row: none
    rates: F64,  # (4,) step, shrinkage, half-lives a second, prior in events of the rarer outcome
    learn: bool,
    out: F64,  # (B, 2) the model, the item's rate
) -> None:
    """Predict whether each marked event took its item, then learn it; positions not marked are left alone."""
    x = np.empty(NUMBERS)
    rows = np.empty(3, np.int64)
    for b in marks:
        a, i, s = actor[b], item[b], scenario[b]
        base = _numbers(b, ts_ms[b], n, session_n, history, i, overall, actor_counts[a], item_counts[i], rates, x)
        out[b, 1] = _chance(base + x[ITEM_RATE])
        _places(ts_ms[b], position[b], rows)
        logit = base + items[i, 0] + scenarios[s, 0]
        for k in range(NUMBERS):
            logit += x[k] * plain[k, 0]
        for row in rows:
            logit += plain[row, 0]
        out[b, 0] = _chance(logit)
        if learn:
            slope = out[b, 0] - (1.0 if taken[b] else 0.0)
            for k in range(NUMBERS):
                if x[k] != 0.0:
                    first = 1.0 if k in (ITEM_RATE, ACTOR_RATE) else 0.0
                    _move(plain[k], slope * x[k], first, rates)
            for row in rows:
                _move(plain[row], slope, 0.0, rates)
            _move(items[i], slope, 0.0, rates)
            _move(scenarios[s], slope, 0.0, rates)
            _count(overall, ts_ms[b], taken[b], rates[2])
            _count(actor_counts[a], ts_ms[b], taken[b], rates[2])
            _count(item_counts[i], ts_ms[b], taken[b], rates[2])


@njit(cache=True, inline="always")
def _numbers(
    b: int, now_ms: int, n: I32, session_n: I32, history: I32, item: int, overall: F64, actor_count: F64,
    item_count: F64, rates: F64, x: F64,
) -> float:  # fmt: skip
    """Fill in the numbers; returns the log odds over all, from which they start."""
    share = _share(overall, now_ms, 0.5, 1.0, rates[2])
    base = np.log(share / (1.0 - share))
    weight = rates[3] / min(share, 1.0 - share)
    item_share = _share(item_count, now_ms, share, weight, rates[2])
    actor_share = _share(actor_count, now_ms, share, weight, rates[2])
    times, now = 0, 0
    for j in range(n[b]):
        if history[b, j] == item:
            times += 1
            if j >= n[b] - session_n[b]:
                now = 1
    x[ALWAYS] = 1.0
    x[ITEM_RATE] = np.log(item_share / (1.0 - item_share)) - base
    x[ACTOR_RATE] = np.log(actor_share / (1.0 - actor_share)) - base
    x[OWN] = 1.0 if times > 0 else 0.0
    x[OWN_NOW] = 1.0 if now > 0 else 0.0
    x[OWN_TIMES] = np.log1p(times)
    x[KNOWN] = 0.25 * np.log1p(n[b])
    x[KNOWN_NOW] = 0.25 * np.log1p(session_n[b])
    return base


@njit(cache=True, inline="always")
def _chance(logit: float) -> float:
    return 1.0 / (1.0 + np.exp(-min(max(logit, -MOST_LOGIT), MOST_LOGIT)))


@njit(cache=True, inline="always")
def _share(count: F64, now_ms: int, prior: float, weight: float, per_s: float) -> float:
    """Share taken of what was shown, smoothed so that it is never 0 nor 1."""
    left = fade(per_s * 0.001 * (now_ms - count[LAST_MS]))
    return (left * count[TAKEN] + weight * prior) / (left * count[SHOWN] + weight)


@njit(cache=True, inline="always")
def _count(count: F64, now_ms: int, taken: bool, per_s: float) -> None:
    left = fade(per_s * 0.001 * (now_ms - count[LAST_MS]))
    count[TAKEN] = left * count[TAKEN] + (1.0 if taken else 0.0)
    count[SHOWN] = left * count[SHOWN] + 1.0
    count[LAST_MS] = max(count[LAST_MS], float(now_ms))


@njit(cache=True, inline="always")
def _places(now_ms: int, position: int, rows: I64) -> None:
    """The rows of hour of the day and day of the week (UTC), and of the position."""
    hour = now_ms // 3_600_000
    rows[0] = NUMBERS + hour % HOURS
    rows[1] = NUMBERS + HOURS + (hour // HOURS) % DAYS
    rows[2] = NUMBERS + HOURS + DAYS + min(max(position, -1) + 1, POSITIONS - 1)


@njit(cache=True, inline="always")
def _move(weight: F64, slope: float, first: float, rates: F64) -> None:
    """One Adagrad step with a pull towards where the weight began."""
    slope += rates[1] * (weight[0] - first)
    weight[1] += slope * slope
    weight[0] -= rates[0] * slope / np.sqrt(weight[1])
