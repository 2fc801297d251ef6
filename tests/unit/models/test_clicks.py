"""The click predictor: near the truth in worlds whose law is known, silent about nothing, changed by learning alone."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.metrics.prediction import auc
from everbrook.models.clicks import Clicks
from everbrook.settings.values import ValuesSettings
from everbrook.types import F64, I32, Bool, Step

ITEMS, ACTORS, PLACES = 100, 200, 10


def made(events: int = 30_000, spread: float = 1.0, base: float = -1.0) -> tuple[Step, Bool, I32, F64]:
    """Things shown, whether they were taken, where they stood, and the true chance of each."""
    rng = np.random.default_rng(0)
    actor, item = rng.integers(0, ACTORS, events), rng.integers(0, ITEMS, events)
    position = rng.integers(0, PLACES, events).astype(np.int32)
    logit = base + rng.normal(0, spread, ITEMS)[item] + rng.normal(0, 0.7 * spread, ACTORS)[actor]
    chance = 1.0 / (1.0 + np.exp(-(logit - 0.3 * spread * position)))
    taken = rng.random(events) < chance
    none = np.zeros(events, np.int32)
    step = Step(
        ts_ms=1_000 * np.arange(events, dtype=np.int64), actor=actor.astype(np.int32), item=item.astype(np.int32),
        kind=np.zeros(events, np.int16), scenario=np.full(events, -1, np.int16),
        value=np.full(events, np.nan, np.float32), weight=taken.astype(np.float32), n=none, session_n=none.copy(),
        items=np.full((events, 4), -1, np.int32), times=np.zeros((events, 4), np.int64),
        kinds=np.zeros((events, 4), np.int16),
    )  # fmt: skip
    return step, taken, position, chance


def test_it_comes_near_the_truth_and_beats_the_items_rate() -> None:
    step, taken, position, chance = made()
    said = Clicks().observe(step, np.arange(len(step)), taken, position)
    model, floor, best = (auc(column[15_000:], taken[15_000:]) for column in (*said.T, chance))
    assert best - 0.025 < model < best + 0.01
    assert floor < best - 0.08


def test_promised_shares_come_true() -> None:
    step, taken, position, _ = made()
    said = Clicks().observe(step, np.arange(len(step)), taken, position)[15_000:, 0]
    for low, high in ((0.0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1.0)):
        some = (said >= low) & (said < high)
        assert said[some].mean() == pytest.approx(taken[15_000:][some].mean(), abs=0.06)


def test_where_there_is_nothing_to_know_it_knows_nothing() -> None:
    step, taken, position, _ = made(spread=0.0)
    said = Clicks().observe(step, np.arange(len(step)), taken, position)[5_000:, 0]
    assert auc(said, taken[5_000:]) == pytest.approx(0.5, abs=0.02)
    assert said.std() < 0.06


def test_without_positions_it_still_knows_items_and_actors() -> None:
    step, taken, position, _ = made()
    blind, seeing = (Clicks().observe(step, np.arange(len(step)), taken, places)[:, 0] for places in (None, position))
    assert auc(blind, taken) < auc(seeing, taken) - 0.03
    assert auc(blind, taken) > 0.7


def test_items_of_ones_own_are_learned_to_be_taken_again() -> None:
    step, _, _, _ = made(spread=0.0)
    own = np.random.default_rng(1).random(len(step)) < 0.5
    step.items[own, 0] = step.item[own]
    step.n[:] = 1
    taken = np.random.default_rng(2).random(len(step)) < np.where(own, 0.6, 0.2)
    said = Clicks().observe(step, np.arange(len(step)), taken)[-5_000:, 0]
    assert said[own[-5_000:]].mean() == pytest.approx(0.6, abs=0.05)
    assert said[~own[-5_000:]].mean() == pytest.approx(0.2, abs=0.05)


def test_each_scenario_has_its_own_level_and_a_new_one_moves_none() -> None:
    step, _, _, _ = made(spread=0.0)
    step.scenario[:] = np.arange(len(step)) % 2 - 1  # none, then the first
    taken = np.random.default_rng(3).random(len(step)) < np.where(step.scenario == 0, 0.6, 0.2)
    model = Clicks()
    model.observe(step.slice(0, 20_000), np.arange(20_000), taken[:20_000])
    rest = step.slice(20_000, 30_000)
    before = model.observe(rest, np.arange(10_000), taken[20_000:], learn=False)
    model._grow_scenarios(5)
    assert np.array_equal(before, model.observe(rest, np.arange(10_000), taken[20_000:], learn=False))
    assert before[1::2, 0].mean() == pytest.approx(0.6, abs=0.06)
    assert before[::2, 0].mean() == pytest.approx(0.2, abs=0.06)


def test_rates_fade_when_an_item_loses_its_charm() -> None:
    settings = ValuesSettings(click_half_life_s=600.0)
    step, _, _, _ = made(events=10_000)
    step.item[:] = np.arange(10_000) % 2
    charming = np.where(np.arange(10_000) < 5_000, 0, 1)
    taken = step.item == charming
    said = Clicks(settings).observe(step, np.arange(10_000), taken)
    assert (said[4_500:5_000][taken[4_500:5_000]] > 0.8).all()
    assert (said[9_500:][taken[9_500:]] > 0.8).all()


def test_chances_are_chances_whatever_is_shown() -> None:
    step, _, _, _ = made(events=3_000)
    for taken in (np.ones(3_000, np.bool_), np.zeros(3_000, np.bool_)):
        far = np.full(3_000, 2**31 - 1, np.int32)
        said = Clicks(ValuesSettings(click_rate=10.0)).observe(step, np.arange(3_000), taken, far)
        assert np.isfinite(said).all()
        assert ((said > 0.0) & (said < 1.0)).all()


def test_only_what_is_marked_is_predicted_and_learned() -> None:
    step, taken, position, _ = made(events=2_000)
    said = Clicks().observe(step, np.arange(0, 2_000, 2), taken, position)
    assert np.isnan(said[1::2]).all()
    half = Step(*(np.ascontiguousarray(getattr(step, name)[::2]) for name in step.__slots__))
    assert np.array_equal(said[::2], Clicks().observe(half, np.arange(1_000), half.weight > 0.0, position[::2]))
