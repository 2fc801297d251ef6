"""The log-linear pool: its features, its softmax and its gradient, against slow ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everbrook.rank import stacker as module
from everbrook.rank.stacker import AGE_EDGES_MS, FACTS, Stacker

CONTEXT = 2


def _loss(x: np.ndarray, weights: np.ndarray, target: int) -> float:
    scores = [float(np.dot(row, weights)) for row in x.astype(np.float64)]
    top = max(scores)
    return math.log(sum(math.exp(s - top) for s in scores)) + top - scores[target]


@pytest.fixture
def choice() -> tuple[Stacker, np.ndarray]:
    """A stacker with weights of every size, and features of five candidates."""
    rng = np.random.default_rng(5)
    stacker = Stacker(columns=3, pools=2, contexts=4)
    stacker.theta[:] = rng.normal(0.0, 0.5, stacker.theta.shape)
    stacker.squares[:] = rng.uniform(0.5, 2.0, stacker.squares.shape)
    return stacker, rng.normal(0.0, 1.0, (5, stacker.width)).astype(np.float32)


def test_probabilities_are_the_softmax_of_shared_and_own_weights(choice: tuple[Stacker, np.ndarray]) -> None:
    stacker, x = choice
    weights = stacker.theta[0] + stacker.theta[1 + CONTEXT]
    expected = [math.exp(-_loss(x, weights, i)) for i in range(len(x))]
    np.testing.assert_allclose(stacker.probabilities(x, CONTEXT), expected, rtol=1e-5)


def test_the_step_follows_the_gradient_that_finite_differences_find(choice: tuple[Stacker, np.ndarray]) -> None:
    stacker, x = choice
    before, squares = stacker.theta.copy(), stacker.squares.copy()
    target, rate = 3, 0.1
    stacker.learn(x, stacker.probabilities(x, CONTEXT), target, CONTEXT, (rate, 0.0))
    weights = before[0] + before[1 + CONTEXT]
    for f in range(stacker.width):
        aside = np.zeros(stacker.width)
        aside[f] = 1e-5
        slope = (_loss(x, weights + aside, target) - _loss(x, weights - aside, target)) / 2e-5
        for row in (0, 1 + CONTEXT):
            seen = squares[row, f] + slope * slope
            expected = before[row, f] - rate * slope / math.sqrt(seen + 1e-2)
            assert stacker.squares[row, f] == pytest.approx(seen, rel=1e-4)
            assert stacker.theta[row, f] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_one_step_lowers_the_loss_on_that_choice(choice: tuple[Stacker, np.ndarray]) -> None:
    stacker, x = choice
    before = stacker.probabilities(x, CONTEXT)
    stacker.learn(x, before, 1, CONTEXT, (0.05, 1e-3))
    assert stacker.probabilities(x, CONTEXT)[1] > before[1]


def test_other_contexts_keep_their_own_weights(choice: tuple[Stacker, np.ndarray]) -> None:
    stacker, x = choice
    before = stacker.theta.copy()
    stacker.learn(x, stacker.probabilities(x, CONTEXT), 0, CONTEXT, (0.05, 1e-3))
    others = [row for row in range(len(before)) if row not in (0, 1 + CONTEXT)]
    np.testing.assert_array_equal(stacker.theta[others], before[others])


def test_a_fresh_stacker_says_what_the_first_pool_says() -> None:
    rng = np.random.default_rng(6)
    stacker = Stacker(columns=3, pools=2, contexts=4)
    p = rng.uniform(0.0, 0.2, (8, 3)).astype(np.float32)
    pooled = rng.uniform(0.01, 0.1, (8, 2)).astype(np.float32)
    x = np.zeros((stacker.width, 8), np.float32)
    base, awake = p.mean(axis=1), np.ones(3, np.bool_)
    module.lay_out(np.ascontiguousarray(p.T), awake, base, np.ascontiguousarray(pooled.T), 0, x, 0)
    x = x.T
    np.testing.assert_allclose(stacker.probabilities(x, 0), pooled[:, 0] / pooled[:, 0].sum(), rtol=1e-5)


def test_features_are_logarithms_against_the_base_and_nothing_where_nothing_was_said() -> None:
    rng = np.random.default_rng(9)
    before, rows = 3, 40
    p = (10.0 ** rng.uniform(-14, 0, (4, before + rows))).astype(np.float32)
    p[1, 7], p[3] = 0.0, 0.0
    pooled, base = p[:2] + np.float32(1e-6), (10.0 ** rng.uniform(-9, 0, rows)).astype(np.float32)
    around = np.full((6, 2 + rows), 7.0, np.float32)
    module.lay_out(p, np.array([True, True, True, False]), base, pooled, before, around, 2)
    assert (around[:, :2] == 7.0).all()
    x = around[:, 2:]
    for e in range(4):
        for i in range(rows):
            given = float(p[e, before + i])
            ratio = math.log(max(given, 1e-12)) - math.log(base[i])
            expected = min(max(ratio, -module.CLIP), module.CLIP) if given > 0.0 else 0.0
            assert x[e, i] == pytest.approx(expected, abs=5e-6)
    np.testing.assert_allclose(x[4:], np.log(pooled[:, before:].astype(np.float64)), rtol=4e-7, atol=2e-7)


def test_facts_tell_where_a_candidate_stands_in_the_history() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        length = int(rng.integers(0, 9))
        history, session_n = rng.integers(0, 6, length).astype(np.int32), int(rng.integers(0, length + 1))
        now_ms = 1_750_000_000_000
        first = now_ms - rng.integers(0, 10**9, 6)
        rows, before = np.arange(6, dtype=np.int32), 2
        out = np.full((FACTS, before + 6), 7.0, np.float32)
        back, age = np.empty(6, np.int32), np.empty(6, np.int32)
        module.look(rows, history, first, now_ms, AGE_EDGES_MS, back, age)
        module.facts(back, age, session_n, before, out)
        for row in range(6):
            expected = _slow_facts(row, history.tolist(), session_n, now_ms - first[row])
            np.testing.assert_allclose(out[:, before + row], expected)
        assert (out[:, :before] == 7.0).all()


def _slow_facts(row: int, history: list[int], session_n: int, age_ms: int) -> list[float]:
    back = next((i for i, item in enumerate(reversed(history)) if item == row), None)
    place = [0.0] * 4
    if back is not None:
        within = back < session_n
        place = [float(within), float(back == 0), float(not within), 1.0 / (1.0 + back)]
    bucket = sum(age_ms > edge for edge in AGE_EDGES_MS)
    return place + [float(bucket == b) for b in range(len(AGE_EDGES_MS) + 1)]


def test_the_share_inside_comes_to_what_happens() -> None:
    """The pools promise 0.9 on the candidates, but only three of ten are among them."""
    stacker = Stacker(columns=3, pools=2, contexts=4)
    assert stacker.inside_share(0.9) == pytest.approx(0.9)
    rng = np.random.default_rng(8)
    for inside in rng.random(4000) < 0.3:
        stacker.learn_inside(0.9, bool(inside))
    assert stacker.inside_share(0.9) == pytest.approx(0.3, abs=0.05)
