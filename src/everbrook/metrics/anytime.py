"""How sure a difference of click rates is between two groups of people, however often it is looked at.

A group's rate is clicked lists by lists. Lists of one person are alike, so the variance is that between people: for the
rate r = C / L of n people with clicks c and lists l each, n / (n - 1) sum (c - r l)^2 / L^2 (the linearised ratio).
The difference, in its own information I (one by its variance), moves like a Brownian motion, and the bound
sqrt((I + t) (log((I + t) / t) + 2 log(1 / alpha))) / I is crossed by it at any time at all with probability alpha at
most. That people come back makes looks more alike than those of a Brownian motion, which lowers that probability
further (Slepian's inequality). It holds for many people: below `LEAST_PEOPLE` in a group nothing is claimed.

Source: Robbins, 'Statistical methods related to the law of the iterated logarithm' (1970), the normal mixture;
Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, 'Time-uniform central limit theory and asymptotic confidence sequences'
(2024).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from everbrook.types import F64

LEAST_PEOPLE = 100
AIMED = 0.01  # difference of rates at which the bound is tightest


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


def difference(one: Rate, other: Rate, alpha: float, aimed: float = AIMED) -> Difference:
    """One rate minus another, with bounds that hold at all times together with probability 1 - alpha.

    Args:
        one: a group.
        other: another.
        alpha: how probable it may be that the bounds miss the truth at any time.
        aimed: difference at which the bounds shall be tightest; chosen before anything is seen.
    """
    estimate = one.rate - other.rate
    if min(one.people, other.people) < LEAST_PEOPLE:
        return Difference(estimate, None, None)
    information = 1.0 / (one.variance + other.variance)
    twice = 2.0 * math.log(1.0 / alpha)
    start = 10.0 / aimed**2 / (twice + math.log(1.0 + twice))
    half = math.sqrt((information + start) * (math.log((information + start) / start) + twice)) / information
    return Difference(estimate, estimate - half, estimate + half)
