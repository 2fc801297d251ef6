"""Loops of the rating predictor: test, then train, event by event."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import F32, F64, I32, I64

COUNT, MEAN, SQUARES, LOW, HIGH = range(5)
"""Slots of `about`: events, their mean, sum of squared deviations, least and greatest value."""
MOST = 6.0
"""Deviations beyond so many standard deviations teach no more than these: bounds what one value can do."""
BIAS_PRIOR_EVENTS = 5.0
"""The biased floor shrinks as if each actor and item had had so many events at the mean."""


@njit(cache=True)
def observe(
    marks: I64,  # (M,) positions of the events that are meant
    actor: I32,
    item: I32,
    value: F32,
    about: F64,  # (5,)
    actors: F32,  # (A, 2, D + 1) means and variances; the last factor is the bias
    items: F32,  # (N, 2, D + 1)
    actor_floor: F64,  # (A, 2) bias, events
    item_floor: F64,  # (N, 3) bias, events, sum of values
    priors: F32,  # (D + 1,) variances to which forgetting leads
    noise: float,
    forgetting: float,
    learn: bool,
    out: F64,  # (B, 4) model, mean, item mean, biases
) -> None:
    """Predict each marked value, then learn it; positions not marked are left alone."""
    for b in marks:
        a, i, y = actor[b], item[b], float(value[b])
        if about[COUNT] > 0.0:
            expected, _ = _expected(actors[a], items[i], noise)
            mean, low, high = about[MEAN], about[LOW], about[HIGH]
            sd = np.sqrt(about[SQUARES] / about[COUNT])
            out[b, 0] = min(max(mean + sd * expected, low), high)
            out[b, 1] = mean
            out[b, 2] = item_floor[i, 2] / item_floor[i, 1] if item_floor[i, 1] > 0.0 else mean
            out[b, 3] = min(max(mean + actor_floor[a, 0] + item_floor[i, 0], low), high)
        if learn:
            _learn_floors(y, about, actor_floor[a], item_floor[i])
            sd = np.sqrt(about[SQUARES] / about[COUNT])
            if sd > 0.0:
                _learn(min(max((y - about[MEAN]) / sd, -MOST), MOST), actors[a], items[i], priors, noise, forgetting)


@njit(cache=True, inline="always")
def _expected(p: F32, q: F32, noise: float) -> tuple[float, float]:
    """Expected value and its variance, both in units of the values' standard deviation."""
    D = p.shape[1] - 1
    expected = float(p[0, D]) + float(q[0, D])
    variance = noise + float(p[1, D]) + float(q[1, D])
    for d in range(D):
        expected += float(p[0, d]) * float(q[0, d])
        variance += float(p[1, d]) * float(q[0, d]) ** 2 + float(q[1, d]) * float(p[0, d]) ** 2
    return expected, variance


@njit(cache=True, inline="always")
def _learn(z: float, p: F32, q: F32, priors: F32, noise: float, forgetting: float) -> None:
    """One Kalman step with diagonal variances: what is known well moves little."""
    expected, variance = _expected(p, q, noise)
    step = (z - expected) / variance
    D = p.shape[1] - 1
    for d in range(D + 1):
        x = float(q[0, d]) if d < D else 1.0
        y = float(p[0, d]) if d < D else 1.0
        vp, vq = float(p[1, d]), float(q[1, d])
        p[0, d] += vp * x * step
        q[0, d] += vq * y * step
        vp -= vp * vp * x * x / variance
        vq -= vq * vq * y * y / variance
        p[1, d] = vp + forgetting * (priors[d] - vp)
        q[1, d] = vq + forgetting * (priors[d] - vq)


@njit(cache=True, inline="always")
def _learn_floors(y: float, about: F64, actor_floor: F64, item_floor: F64) -> None:
    if about[COUNT] > 0.0:
        left = y - about[MEAN] - actor_floor[0] - item_floor[0]
        actor_floor[0] += left / (actor_floor[1] + 1.0 + BIAS_PRIOR_EVENTS)
        item_floor[0] += left / (item_floor[1] + 1.0 + BIAS_PRIOR_EVENTS)
        about[LOW], about[HIGH] = min(about[LOW], y), max(about[HIGH], y)
    else:
        about[LOW], about[HIGH] = y, y
    actor_floor[1] += 1.0
    item_floor[1] += 1.0
    item_floor[2] += y
    about[COUNT] += 1.0
    off = y - about[MEAN]
    about[MEAN] += off / about[COUNT]
    about[SQUARES] += off * (y - about[MEAN])
