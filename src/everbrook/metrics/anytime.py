"""How sure a difference of click rates is between two groups of people, however often it is looked at.

A group's rate is clicked lists by lists. Lists of one person are alike, so the variance is that between people: for the
rate r = C / L of n people with clicks c and lists l each, n / (n - 1) sum (c - r l)^2 / L^2 (the linearised ratio).
The difference times its own information I (one by its variance) moves like a Brownian motion S of variance I, so that
sqrt(t / (I + t)) exp(S^2 / (2 (I + t))) is a martingale that begins at 1, and so is the mean of several t; where that
mean is 1 / alpha lies a bound that is crossed at any time at all with probability alpha at most. Several t make it
tight for small differences among many people and for large ones among few. That people come back makes looks more
alike than those of a Brownian motion, which lowers that probability further (Slepian's inequality). It holds for many
people: below `LEAST_PEOPLE` in a group nothing is claimed.

Source: Robbins, 'Statistical methods related to the law of the iterated logarithm' (1970), the normal mixture;
Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, 'Time-uniform central limit theory and asymptotic confidence sequences'
(2024).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from everbrook.types import F64

LEAST_PEOPLE = 100
AIMED = (0.003, 0.01, 0.03, 0.1)  # differences of rates at which the bound is tight


class Rate(NamedTuple):
    """A group's click rate."""

    people: int
    lists: int
    clicked: int
    rate: float
    variance: float  # of the rate


class Difference(NamedTuple):
    """One rate minus another; no bounds where too few people were there."""

    estimate: float
    low: float | None
    high: float | None


def rate_of(lists: F64, clicked: F64) -> Rate:
    """The click rate of a group.

    Args:
        lists: (n,) how many lists each person was shown, at least 1.
        clicked: (n,) how many of them each took something from.
    """
    n, L, C = len(lists), float(lists.sum()), float(clicked.sum())
    if n == 0:
        return Rate(0, 0, 0, 0.0, math.inf)
    rate = C / L
    spread = float(((clicked - rate * lists) ** 2).sum()) * n / max(n - 1, 1)
    near = (C + 0.5) / (L + 1.0)  # where nobody or everybody clicked, chance is not nothing
    return Rate(n, int(L), int(C), rate, max(spread / L**2, near * (1.0 - near) / L))


def difference(one: Rate, other: Rate, alpha: float, aimed: tuple[float, ...] = AIMED) -> Difference:
    """One rate minus another, with bounds that hold at all times together with probability 1 - alpha.

    Args:
        one: a group.
        other: another.
        alpha: how probable it may be that the bounds miss the truth at any time.
        aimed: differences at which the bounds shall be tight; chosen before anything is seen.
    """
    estimate = one.rate - other.rate
    if min(one.people, other.people) < LEAST_PEOPLE:
        return Difference(estimate, None, None)
    information = 1.0 / (one.variance + other.variance)
    half = boundary(information, alpha, aimed) / information
    return Difference(estimate, estimate - half, estimate + half)


def boundary(information: float, alpha: float, aimed: tuple[float, ...] = AIMED) -> float:
    """How far a Brownian motion of this variance goes before it is as improbable as alpha at any time."""
    twice = 2.0 * math.log(1.0 / alpha)
    starts = [10.0 / one**2 / (twice + math.log(1.0 + twice)) for one in aimed]
    low, high = 0.0, min(math.sqrt((information + t) * (math.log((information + t) / t) + twice
                                                        + 2.0 * math.log(len(starts)))) for t in starts)  # fmt: skip
    for _ in range(60):  # the mean grows with the distance
        middle = 0.5 * (low + high)
        logs = [0.5 * math.log(t / (information + t)) + middle**2 / (2.0 * (information + t)) for t in starts]
        most = max(logs)
        mean = most + math.log(sum(math.exp(one - most) for one in logs) / len(logs))
        low, high = (low, middle) if mean > math.log(1.0 / alpha) else (middle, high)
    return high
