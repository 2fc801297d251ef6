"""What the layers of the mixture promise, on sequences of any kind."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.rank import pools

FEW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def _sequence(seed: int, experts: int, events: int) -> np.ndarray:
    """(events, experts) probabilities, from hopeless to sure, in runs in which one expert is good."""
    rng = np.random.default_rng(seed)
    p = rng.random((events, experts)) ** 6 + 1e-6
    good = np.repeat(rng.integers(0, experts, events), rng.integers(1, 80, events))[:events]
    p[np.arange(events), good] = rng.uniform(0.3, 1.0, events)
    return p


def _path_loss(p: np.ndarray, switches: int) -> float:
    """The least log-loss of any path over the experts with at most so many switches."""
    loss = -np.log(p)
    best = np.full((switches + 1, p.shape[1]), np.inf)
    best[0] = 0.0
    for row in loss:
        moved = np.full_like(best, np.inf)
        moved[1:] = best[:-1].min(axis=1, keepdims=True)
        best = np.minimum(best, moved) + row
    return float(best.min())


@FEW
@given(SEEDS, st.integers(2, 8), st.integers(1, 400), st.sampled_from([1e-4, 1e-3, 1e-2, 0.1]), st.integers(0, 6))
def test_fixed_share_is_never_behind_the_best_path_by_more_than_its_bound(
    seed: int, experts: int, events: int, switch: float, switches: int
) -> None:
    """Herbster & Warmuth (1998): ln K, ln((K)/a) for each switch, and ln(1/(1-a)) for each event without one."""
    p = _sequence(seed, experts, events)
    weights, losses, awake = np.full(experts, 1.0 / experts), np.zeros(experts), np.ones(experts, np.bool_)
    loss = -sum(math.log(pools.fixed_share(weights, row, awake, switch, losses)) for row in p)
    switches = min(switches, events - 1)
    allowed = math.log(experts) + switches * math.log(experts / switch) - (events - 1) * math.log(1 - switch)
    assert loss <= _path_loss(p, switches) + allowed + 1e-6
    np.testing.assert_allclose(losses, -np.log(p).sum(axis=0), rtol=1e-9)


@FEW
@given(SEEDS, st.integers(2, 8), st.integers(1, 200))
def test_weights_stay_weights_whoever_sleeps(seed: int, experts: int, events: int) -> None:
    rng = np.random.default_rng(seed)
    top, pool = np.full(experts, 1.0 / experts), np.full(experts, 1.0 / experts)
    losses = np.zeros(experts)
    for row in _sequence(seed, experts, events):
        awake = rng.random(experts) < 0.6
        pools.fixed_share(top, row, awake, 1e-3, losses)
        pools.soft_bayes(pool, row, awake, 0.05)
    for weights in (top, pool):
        assert (weights > 0.0).all()
        np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-9)


@FEW
@given(SEEDS, st.integers(2, 6), st.integers(20, 300), st.floats(0.01, 0.3))
def test_soft_bayes_is_never_behind_the_best_column_by_more_than_its_bound(
    seed: int, columns: int, events: int, rate: float
) -> None:
    """With a constant rate: a weight is at most 1 and begins at 1/K, and ln(1 - rate + rate r) >= rate ln r."""
    p = _sequence(seed, columns, events)
    weights, awake = np.full(columns, 1.0 / columns), np.ones(columns, np.bool_)
    loss = -sum(math.log(pools.soft_bayes(weights, row, awake, rate)) for row in p)
    assert loss <= -np.log(p).sum(axis=0).min() + math.log(columns) / rate + 1e-3 * events
