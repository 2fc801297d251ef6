"""How sure a difference between two systems is that were judged on the same events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from everbrook.types import F64

Z_95 = 1.959963984540054


class Interval(NamedTuple):
    """An estimate and where its truth lies with 95 % confidence."""

    estimate: float
    low: float
    high: float


def normal_interval(values: F64) -> Interval:
    """The mean of B values, by the central limit; NaN bounds for fewer than two."""
    return interval_of_sums(len(values), float(values.sum()), float((values * values).sum()))


def interval_of_sums(count: int, total: float, squares: float) -> Interval:
    """`normal_interval` from running sums.

    Args:
        count: how many values.
        total: their sum.
        squares: the sum of their squares.
    """
    nan = float("nan")
    if count == 0:
        return Interval(nan, nan, nan)
    mean = total / count
    if count == 1:
        return Interval(mean, nan, nan)
    variance = max(0.0, (squares - count * mean * mean) / (count - 1))
    half = Z_95 * float(np.sqrt(variance / count))
    return Interval(mean, mean - half, mean + half)


def bootstrap_interval(values: F64, rng: np.random.Generator, rounds: int = 1_000) -> Interval:
    """The mean of B paired differences, by drawing events anew with replacement.

    Neighbouring events are alike; where that matters, pass means of blocks as values.

    Args:
        values: (B,) one system's number minus the other's on the same event or block.
        rng: the only source of chance.
        rounds: how often the events are drawn.

    Source: Efron, Tibshirani, 'An introduction to the bootstrap', 1993, ch. 13 (percentile interval).
    """
    nan = float("nan")
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else nan, nan, nan)
    means = np.array([rng.choice(values, len(values)).mean() for _ in range(rounds)])
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))
