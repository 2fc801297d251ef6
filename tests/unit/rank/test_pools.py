"""Completing, pooling and insuring, against the same in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from slow_pools import Layers, Made, made, pool_of

from everbrook.rank import pools

RATES = np.array([0.05, 0.01])
UNIFORM = 1.0 / 40
SEEDS = range(4)


def _weights(m: Made) -> list[np.ndarray]:
    return [m.base.copy(), m.pools.copy(), m.top.copy(), np.zeros(len(m.top))]


def _same_weights(held: list[np.ndarray], slow: Layers) -> None:
    for array, listed in zip(held, (slow.base, slow.pools, slow.top, slow.losses), strict=True):
        np.testing.assert_allclose(array, listed, rtol=1e-6, atol=1e-12)


def each(uniform: float, events: int) -> np.ndarray:
    """The same uniform probability before every event."""
    return np.full(events, uniform)


def _completed(m: Made, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, E) probabilities and (M,) their base, in the middle of columns that hold others' before and after."""
    around, rows = 3, len(m.mass)
    mass = np.full((m.mass.shape[1], rows + 2 * around), 0.5, np.float32)
    mass[:, around:-around] = m.mass.T
    out, base = np.full_like(mass, 7.0), np.empty(rows)
    pools.complete(mass, rest, len(m.base), m.base, UNIFORM, around, out, base)
    assert (out[:, :around] == 7.0).all()
    assert (out[:, -around:] == 7.0).all()
    return out[:, around:-around].T, base


@pytest.mark.parametrize("seed", SEEDS)
def test_completing_gives_each_column_its_mass_and_its_part_of_the_base(seed: int) -> None:
    m = made(seed)
    out, base = _completed(m, m.rest[0])
    for i, mass in enumerate(m.mass.tolist()):
        p, told = m.slow.completed(mass, m.rest[0].tolist(), UNIFORM)
        np.testing.assert_allclose(out[i], p, rtol=1e-5)
        np.testing.assert_allclose(base[i], told, rtol=1e-5)


def test_without_any_popularity_awake_the_base_is_uniform() -> None:
    m = made(0)
    rest = m.rest[0].copy()
    rest[: len(m.base)] = np.nan
    _, base = _completed(m, rest)
    np.testing.assert_allclose(base, UNIFORM, rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_learning_in_bulk_is_the_slow_definition_event_by_event(seed: int) -> None:
    m = made(seed)
    held, slow = _weights(m), m.slow
    skip = np.random.default_rng(seed).random(len(m.mass)) < 0.2
    logp = np.empty(len(m.mass))
    pools.learn_bulk(m.mass, m.rest, len(m.base), m.buckets, each(UNIFORM, len(m.mass)), RATES, *held, logp, skip)
    for b in range(len(m.mass)):
        if skip[b]:
            assert np.isnan(logp[b])
            continue
        rest = m.rest[b].tolist()
        p, _ = slow.completed(m.mass[b].tolist(), rest, UNIFORM)
        told = slow.learn(p, (~np.isnan(m.rest[b])).tolist(), m.buckets[b].tolist(), (RATES[0], RATES[1]))
        np.testing.assert_allclose(logp[b], told, rtol=1e-6)
    _same_weights(held, slow)


@pytest.mark.parametrize("seed", SEEDS)
def test_learning_in_bulk_equals_learning_one_by_one(seed: int) -> None:
    m = made(seed)
    whole, single = _weights(m), _weights(m)
    skip, logp, alone = np.zeros(len(m.mass), np.bool_), np.empty(len(m.mass)), np.empty(len(m.mass))
    uniform = each(UNIFORM, len(m.mass))
    pools.learn_bulk(m.mass, m.rest, len(m.base), m.buckets, uniform, RATES, *whole, logp, skip)
    for b in range(len(m.mass)):
        one = slice(b, b + 1)
        pools.learn_bulk(
            m.mass[one], m.rest[one], len(m.base), m.buckets[one], uniform[one], RATES, *single, alone[one], skip[one]
        )
    for first, second in zip([*whole, logp], [*single, alone], strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_judged_event_teaches_what_a_bulk_event_does_where_the_stacker_sleeps(seed: int) -> None:
    m = made(seed)
    bulk, judged = _weights(m), _weights(m)
    skip, logp = np.zeros(1, np.bool_), np.empty(1)
    pools.learn_bulk(m.mass[:1], m.rest[:1], len(m.base), m.buckets[:1], each(UNIFORM, 1), RATES, *bulk, logp, skip)
    p, _ = m.slow.completed(m.mass[0].tolist(), m.rest[0].tolist(), UNIFORM)
    awake = ~np.isnan(m.rest[0])
    q = [pool_of(m.pools[j, bucket].tolist(), p, awake.tolist()) for j, bucket in enumerate(m.buckets[0])]
    up = np.array([*(True for _ in q), False, *awake])
    given = pools.learn_judged(np.array(p), awake, m.buckets[0], RATES, *judged, np.array([*q, 0.0, *p]), up)
    np.testing.assert_allclose(np.log(given), logp[0], rtol=1e-6)
    for first, second in zip(bulk, judged, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_blended_is_what_is_learned(seed: int) -> None:
    """The list's probability of an item is the one that learning would have charged, but for the stacker's part."""
    m = made(seed)
    awake = ~np.isnan(m.rest[0])
    p = np.array([m.slow.completed(mass, m.rest[0].tolist(), UNIFORM)[0] for mass in m.mass.tolist()], np.float32)
    count, before = m.buckets.shape[1], 2
    blended, final = np.zeros((count, len(p)), np.float32), np.empty(len(p) - before)
    share = pools.blend(np.ascontiguousarray(p.T), awake, m.pools, m.buckets[0], m.top, before, blended, final)
    assert (blended[:, :before] == 0.0).all()
    p, blended = p[before:], blended[:, before:].T
    for i, row in enumerate(p.astype(np.float64).tolist()):
        q = [pool_of(m.pools[j, c].tolist(), row, awake.tolist()) for j, c in enumerate(m.buckets[0])]
        np.testing.assert_allclose(blended[i], q, rtol=1e-5)
        stacked = 0.123
        said, up = [*q, stacked, *row], [*(True for _ in q), True, *awake.tolist()]
        np.testing.assert_allclose(final[i] + share * stacked, pool_of(m.top.tolist(), said, up), rtol=1e-5)
    asleep = float(m.top[count + 1 :][~awake].sum())
    np.testing.assert_allclose(share, m.top[count] / (1.0 - asleep), rtol=1e-9)


def test_a_sleeper_keeps_its_weight_but_for_the_share_that_moves() -> None:
    weights, losses = np.array([0.5, 0.2, 0.3]), np.zeros(3)
    p, awake = np.array([0.1, 0.9, 0.4]), np.array([True, False, True])
    mixed = pools.fixed_share(weights, p, awake, 0.01, losses)
    assert weights[1] == pytest.approx(0.99 * 0.2 + 0.01 / 3)
    assert losses[1] == pytest.approx(-np.log(mixed))
    assert weights.sum() == pytest.approx(1.0)


def test_a_column_that_sleeps_moves_no_pool_weight() -> None:
    weights = np.array([0.5, 0.2, 0.3])
    pools.soft_bayes(weights, np.array([0.1, 0.9, 0.4]), np.array([True, False, True]), 0.1)
    assert weights[1] == 0.2
    assert weights.sum() == pytest.approx(1.0)
    assert weights[2] > 0.3 > 0.5 - weights[0]


def test_nobody_awake_moves_nothing() -> None:
    weights, losses = np.array([0.5, 0.5]), np.zeros(2)
    asleep = np.zeros(2, np.bool_)
    assert pools.soft_bayes(weights, np.ones(2), asleep, 0.1) == 0.0
    assert pools.fixed_share(weights, np.ones(2), asleep, 0.1, losses) == 0.0
    np.testing.assert_array_equal(weights, 0.5)
    np.testing.assert_array_equal(losses, 0.0)


@pytest.mark.parametrize("fault", [np.nan, np.inf, -0.5, 7.0])
def test_an_expert_that_gives_no_probability_gives_nothing(fault: float) -> None:
    mass = np.array([[0.5, 0.25], [fault, 0.2]], np.float32)
    out, base = np.empty_like(mass), np.empty(2)
    pools.complete(mass, np.array([0.25, 0.5], np.float32), 1, np.ones(1), UNIFORM, 0, out, base)
    assert np.isfinite(out).all()
    assert out[1, 0] == pytest.approx(0.5 * base[0])
    assert out[1, 1] == pytest.approx(0.2 + 0.5 * base[1])


@pytest.mark.parametrize("left", [0, 1, 7])
def test_what_cannot_come_gives_what_it_had_to_the_others_in_proportion(left: int) -> None:
    p = np.random.default_rng(left).dirichlet(np.ones(30)).astype(np.float32)
    out = p.copy()
    pools.leave_out(out, left)
    np.testing.assert_allclose(out[: 30 - left], p[: 30 - left] / p[: 30 - left].sum(), rtol=1e-5)
