"""Popularity against the sum that it stands for: every event, faded from its time to now."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.models.popularity import Popularity
from everbrook.settings.popularity import PopularitySettings
from everbrook.testing.streams import Marks, fold_step
from everbrook.types import F32, F64, NO_ROW, Query, Step

ITEMS = 12
HALF_LIVES_S = (60.0, 86400.0, 0.0)
KAPPA = 2.5
SETTINGS = PopularitySettings(half_lives_s=HALF_LIVES_S, scenario_half_lives_s=HALF_LIVES_S, kappa=KAPPA, top_items=4)

events = st.lists(
    st.tuples(
        st.integers(-5_000, 400_000),  # how much later than the one before, ms; a little may be earlier
        st.integers(0, ITEMS - 1),
        st.integers(-1, 2),
        st.sampled_from([1.0, 2.0, 0.0, -1.0]),
    ),
    min_size=1,
    max_size=60,
)


def step_of(made: list[tuple[int, int, int, float]]) -> Step:
    gaps, items, scenarios, weights = zip(*made, strict=True)
    B = len(made)
    marks = Marks(np.zeros(B, np.int16), np.array(scenarios, np.int16), np.array(weights, np.float32))
    ts = 1_700_000_000_000 + np.cumsum(np.array(gaps, np.int64))
    return fold_step(ts, np.zeros(B, np.int32), np.array(items, np.int32), marks)


def slow_shares(step: Step, until: int, now: int, scenario: int | None) -> tuple[F64, F64]:
    """Mass (N, K) and rest (K,) by adding up the events one by one; the clock stands at the latest event."""
    past = [b for b in range(until) if step.weight[b] > 0 and scenario in (None, step.scenario[b])]
    now = max([now, *(int(step.ts_ms[b]) for b in past)])
    counts = np.zeros((ITEMS, len(HALF_LIVES_S)))
    for b in past:
        for k, half_life in enumerate(HALF_LIVES_S):
            age_s = (now - int(step.ts_ms[b])) / 1000
            counts[step.item[b], k] += step.weight[b] * (2.0 ** (-age_s / half_life) if half_life else 1.0)
    total = counts.sum(0)
    return counts / (total + KAPPA), KAPPA / (total + KAPPA)


def observed(step: Step) -> tuple[Popularity, F32, F32]:
    expert = Popularity(SETTINGS)
    expert.grow(ITEMS, 1)
    mass, rest = np.empty((len(step), 6), np.float32), np.empty((len(step), 6), np.float32)
    expert.observe(step, mass, rest)
    return expert, mass, rest


@settings(max_examples=60, deadline=None)
@given(events)
def test_shares_are_faded_sums_over_everybody_and_over_the_scenario(made: list[tuple[int, int, int, float]]) -> None:
    step = step_of(made)
    expert, mass, rest = observed(step)
    for b in range(len(step)):
        slow_mass, slow_rest = slow_shares(step, b, int(step.ts_ms[b]), None)
        np.testing.assert_allclose(mass[b, :3], slow_mass[step.item[b]], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(rest[b, :3], slow_rest, rtol=1e-4)
        if step.scenario[b] < 0:
            assert np.isnan(rest[b, 3:]).all()
            continue
        slow_mass, slow_rest = slow_shares(step, b, int(step.ts_ms[b]), int(step.scenario[b]))
        np.testing.assert_allclose(mass[b, 3:], slow_mass[step.item[b]], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(rest[b, 3:], slow_rest, rtol=1e-4)
    now = int(step.ts_ms[-1]) + 90_000
    rows = np.arange(ITEMS, dtype=np.int32)
    all_mass, all_rest = np.empty((ITEMS, 6), np.float32), np.empty(6, np.float32)
    expert.score(nobody(now, NO_ROW), rows, all_mass, all_rest)
    slow_mass, slow_rest = slow_shares(step, len(step), now, None)
    np.testing.assert_allclose(all_mass[:, :3], slow_mass, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(all_rest[:3], slow_rest, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(events, st.integers(0, 10_000_000))
def test_the_kept_lists_are_what_a_full_scan_would_find(made: list[tuple[int, int, int, float]], later_ms: int) -> None:
    step = step_of(made)
    expert, _, _ = observed(step)
    now = int(step.ts_ms.max()) + later_ms
    slow_mass, _ = slow_shares(step, len(step), now, None)
    lists = expert.state()["all.top_items"]
    for k in range(len(HALF_LIVES_S)):
        best = np.sort(slow_mass[:, k])[::-1][:4]
        kept = [slow_mass[item, k] if item >= 0 else 0.0 for item in lists[k]]
        np.testing.assert_allclose(kept, best, rtol=1e-6, atol=1e-9)


def nobody(now: int, scenario: int) -> Query:
    none = np.zeros(0, np.int32)
    return Query(now, NO_ROW, scenario, none, none.astype(np.int64), none.astype(np.int16), 0)
