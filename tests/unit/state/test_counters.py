"""Decayed counters (their sums are compared with the formula in tests/property/test_state_fold.py)."""

from __future__ import annotations

import numpy as np

from everbrook.state.counters import Counters

HOUR_MS = 3_600_000


def counted(half_lives_s: tuple[float, ...] = (3600.0, 86_400.0)) -> Counters:
    counters = Counters(half_lives_s)
    counters.add(
        np.array([0, 0, HOUR_MS], np.int64), np.array([0, 2, 0], np.int32), np.array([0, 1, 1], np.int16),
        np.array([-1, 0, 1], np.int16),
    )
    return counters


def test_a_sum_halves_in_its_half_life() -> None:
    totals = counted().totals(3, 2 * HOUR_MS, half_life_s=3600.0)
    np.testing.assert_allclose(totals, [0.25 + 0.5, 0.0, 0.25])


def test_sums_are_kept_apart_by_kind_and_scenario() -> None:
    counters = counted()
    assert counters.totals(3, 0).tolist() == [2, 0, 1]
    assert counters.totals(3, 0, kinds=np.array([False, True])).tolist() == [1, 0, 1]
    assert counters.totals(3, 0, kinds=np.array([True])).tolist() == [1, 0, 0]
    assert counters.totals(3, 0, scenario=0).tolist() == [0, 0, 1]
    assert len(counters) == 3


def test_the_nearest_half_life_answers() -> None:
    counters = counted()
    assert [counters.column(wish) for wish in (1.0, 5000.0, 80_000.0, 1e9, None)] == [0, 0, 1, 1, 2]
    assert counted(()).totals(1, 0, half_life_s=60.0).tolist() == [2]


def test_many_keys_keep_their_sums() -> None:
    counters, rng = Counters((60.0,)), np.random.default_rng(0)
    item, kind = rng.integers(0, 5000, 50_000, dtype=np.int32), rng.integers(0, 3, 50_000).astype(np.int16)
    for part in np.array_split(np.arange(50_000), 7):
        counters.add(np.zeros(len(part), np.int64), item[part], kind[part], np.full(len(part), -1, np.int16))
    expected = np.bincount(item, minlength=5000)
    assert counters.totals(5000, 0).tolist() == expected.tolist()
    other = Counters((60.0,))
    other.load(counters.arrays())
    assert other.totals(5000, 0).tolist() == expected.tolist()
