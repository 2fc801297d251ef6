"""Popularity over years, at limits, and within scenarios."""

from __future__ import annotations

import numpy as np

from everbrook.models.popularity import Popularity
from everbrook.settings.popularity import PopularitySettings
from everbrook.testing.streams import Marks, fold_step
from everbrook.types import NO_ROW, Query, Step

YEAR_MS = 31_557_600_000
START_MS = 1_700_000_000_000


def query(now_ms: int, scenario: int = NO_ROW) -> Query:
    none = np.zeros(0, np.int32)
    return Query(now_ms, NO_ROW, scenario, none, none.astype(np.int64), none.astype(np.int16), 0)


def plain(ts: list[int], items: list[int], scenarios: list[int] | None = None) -> Step:
    B = len(ts)
    marks = Marks(np.zeros(B, np.int16), np.array(scenarios or [-1] * B, np.int16), np.ones(B, np.float32))
    return fold_step(np.array(ts, np.int64), np.zeros(B, np.int32), np.array(items, np.int32), marks)


def fed(settings: PopularitySettings, step: Step, items: int) -> Popularity:
    expert = Popularity(settings)
    expert.grow(items, 1)
    K = len(expert.names)
    expert.observe(step, np.empty((len(step), K), np.float32), np.empty((len(step), K), np.float32))
    return expert


def test_columns_are_called_by_their_half_lives() -> None:
    names = Popularity(PopularitySettings(half_lives_s=(60.0, 5400.0, 0.0), scenario_half_lives_s=(86400.0,))).names
    assert names == ("popularity/1m", "popularity/90m", "popularity/ever", "scenario/1d")


def test_counts_stay_finite_over_fifty_years() -> None:
    step = plain([START_MS + i * YEAR_MS for i in range(50)], [i % 3 for i in range(50)])
    expert = fed(PopularitySettings(), step, 3)
    mass, rest = np.empty((3, len(expert.names)), np.float32), np.empty(len(expert.names), np.float32)
    expert.score(query(START_MS + 60 * YEAR_MS), np.arange(3, dtype=np.int32), mass, rest)
    awake = ~np.isnan(rest)
    np.testing.assert_allclose(mass.sum(0)[awake] + rest[awake], 1.0, rtol=1e-5)
    assert rest[0] == 1.0  # the last minute is long gone
    np.testing.assert_allclose(mass[:, 7] * 55, [17, 17, 16], rtol=1e-5)  # 50 events and kappa 5


def test_what_trends_since_a_minute_leads_the_proposal() -> None:
    old = [START_MS + i * 1000 for i in range(2000)]
    new = [old[-1] + YEAR_MS // 365 + i * 1000 for i in range(3)]
    expert = fed(PopularitySettings(top_items=16), plain(old + new, [i % 500 for i in range(2000)] + [777] * 3), 1000)
    assert expert.propose(query(new[-1]), 5)[0] == 777


def test_a_scenario_knows_only_its_own_events() -> None:
    ts = [START_MS + i for i in range(20)]
    step = plain(ts, [i % 2 for i in range(20)], [i % 2 for i in range(20)])  # item 0 in scenario 0, 1 in 1
    expert = fed(PopularitySettings(), step, 2)
    mass, rest = np.empty((2, 11), np.float32), np.empty(11, np.float32)
    expert.score(query(ts[-1], 1), np.arange(2, dtype=np.int32), mass, rest)
    assert (mass[0, 8:] == 0).all()
    assert (mass[1, 8:] > 0.6).all()
    assert expert.propose(query(ts[-1], 1), 1)[0] == 1
    expert.score(query(ts[-1], 77), np.arange(2, dtype=np.int32), mass, rest)
    assert (rest[8:] == 1).all()


def test_the_scenario_table_keeps_its_limit_and_its_sums() -> None:
    rng = np.random.default_rng(3)
    B, N = 3_000, 2_000
    settings = PopularitySettings(scenario_half_lives_s=(3600.0, 0.0), scenario_pairs=1024, kappa=1.0)
    scenarios = rng.integers(0, 4, B).tolist()
    step = plain((START_MS + np.cumsum(rng.integers(0, 5000, B))).tolist(), rng.integers(0, N, B).tolist(), scenarios)
    expert = fed(settings, step, N)
    assert len(expert.state()["within.keys"]) <= 2048
    K = len(expert.names)
    mass, rest = np.empty((N, K), np.float32), np.empty(K, np.float32)
    for scenario in range(4):
        expert.score(query(int(step.ts_ms[-1]), scenario), np.arange(N, dtype=np.int32), mass, rest)
        np.testing.assert_allclose(mass[:, -2:].sum(0) + rest[-2:], 1.0, rtol=1e-4)


def test_shares_of_many_rows_are_those_that_are_told_before_learning() -> None:
    rng = np.random.default_rng(4)
    ts = (START_MS + np.sort(rng.integers(0, 10**8, 900))).tolist()
    expert = fed(PopularitySettings(), plain(ts, rng.integers(0, 350, 900).tolist()), 400)
    K, now_ms = len(expert.names), ts[-1] + 12_345
    rows = rng.permutation(400).astype(np.int32)
    mass, rest = np.empty((400, K), np.float32), np.empty(K, np.float32)
    expert.score(query(now_ms), rows, mass, rest)
    seen = plain([now_ms] * 400, rows.tolist())
    seen.weight[:] = 0.0  # only looked at
    told, left = np.empty((400, K), np.float32), np.empty((400, K), np.float32)
    expert.observe(seen, told, left)
    np.testing.assert_allclose(mass, told, rtol=1e-6)
    np.testing.assert_allclose(rest, left[0], rtol=1e-6)
