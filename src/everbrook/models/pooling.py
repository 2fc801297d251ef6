"""Weights over probabilities that compete with the best mixture in hindsight: one online step, for whoever pools."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def soft_bayes(weights, p, awake, rate):  # type: ignore[no-untyped-def]
    """One step of Soft-Bayes on the awake columns; gives the pool's probability before the step.

    The weights of the awake keep their sum. Source: Orseau, Lattimore, Legg, 'Soft-Bayes: Prod for mixtures of
    experts with log-loss' (ALT 2017), eq. 2.
    """
    total = 0.0
    mixed = 0.0
    for e in range(len(p)):
        if awake[e]:
            total += weights[e]
            mixed += weights[e] * p[e]
    if total <= 0.0 or mixed <= 0.0:
        return 0.0
    mixed /= total
    again = 0.0
    for e in range(len(p)):
        if awake[e]:
            weights[e] = max(weights[e] * (1.0 - rate + rate * p[e] / mixed), 1e-7)
            again += weights[e]
    for e in range(len(p)):
        if awake[e]:
            weights[e] *= total / again
    return mixed


@njit(cache=True)
def soft_bayes_run(weights, mass, rest, uniform, rate, learn, out):  # type: ignore[no-untyped-def]
    """`soft_bayes` event by event over columns whose rest goes to a uniform probability.

    Args:
        weights: (K,) in and out.
        mass: (B, K) what each column gave each event's item.
        rest: (B, K) what it left; NaN where asleep.
        uniform: one over the number of items.
        rate: step size.
        learn: (B,) whether the event moves the weights.
        out: (B,), out: the pool's probability before each step.
    """
    columns = len(weights)
    p = np.empty(columns)
    awake = np.empty(columns, np.bool_)
    for b in range(len(mass)):
        total, mixed = 0.0, 0.0
        for k in range(columns):
            awake[k] = not np.isnan(rest[b, k])
            p[k] = mass[b, k] + rest[b, k] * uniform if awake[k] else 0.0
            if awake[k]:
                total += weights[k]
                mixed += weights[k] * p[k]
        out[b] = mixed / total if total > 0.0 else uniform
        if learn[b]:
            soft_bayes(weights, p, awake, rate)
