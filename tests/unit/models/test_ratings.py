"""The rating predictor: right in worlds whose law is known, bounded by what it saw, the same as its slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.metrics.prediction import rmse
from everbrook.models.ratings import Ratings, RatingsByKind
from everbrook.settings.values import ValuesSettings
from everbrook.types import F64, I64, Step

NOISE = 0.5


def made(events: int = 40_000, actors: int = 300, items: int = 150, seed: int = 0) -> tuple[Step, F64]:
    """A world of biases and two factors, and what each value would have been without noise."""
    rng = np.random.default_rng(seed)
    actor, item = rng.integers(0, actors, events), rng.integers(0, items, events)
    truth = 3.0 + rng.normal(0, 0.5, actors)[actor] + rng.normal(0, 0.5, items)[item]
    truth += (rng.normal(0, 0.8, (actors, 2))[actor] * rng.normal(0, 0.8, (items, 2))[item]).sum(axis=1)
    return step_of(actor, item, truth + rng.normal(0, NOISE, events)), truth


def step_of(actor: I64, item: I64, value: F64, kind: int = 0) -> Step:
    B = len(actor)
    none = np.zeros(B, np.int32)
    return Step(
        ts_ms=np.arange(B, dtype=np.int64), actor=actor.astype(np.int32), item=item.astype(np.int32),
        kind=np.full(B, kind, np.int16), scenario=np.full(B, -1, np.int16), value=value.astype(np.float32),
        weight=np.ones(B, np.float32), n=none, session_n=none, items=np.zeros((B, 0), np.int32),
        times=np.zeros((B, 0), np.int64), kinds=np.zeros((B, 0), np.int16),
    )  # fmt: skip


def every(step: Step) -> I64:
    return np.arange(len(step))


def test_it_comes_near_the_noise_where_the_law_is_biases_and_factors() -> None:
    step, truth = made()
    said = Ratings(ValuesSettings(rating_width=4)).observe(step, every(step))[20_000:]
    model, mean, item_mean, biases = (rmse(column, step.value[20_000:].astype(np.float64)) for column in said.T)
    assert NOISE < model < 1.25 * NOISE
    assert model < 0.8 * biases < item_mean < mean
    assert rmse(said[:, 0], truth[20_000:]) < 0.7 * NOISE


def test_nothing_is_said_before_the_first_value_nor_of_events_not_asked_about() -> None:
    step, _ = made(events=10)
    said = Ratings().observe(step, np.array([2, 5]))
    assert np.isnan(said[[0, 1, 2, 3, 4, 6, 7, 8, 9]]).all()
    assert (said[5] == step.value[2]).all()


def test_a_predicted_value_lies_within_those_seen() -> None:
    step, _ = made(events=3_000)
    said = Ratings().observe(step, every(step))[1:]
    lows, highs = np.minimum.accumulate(step.value)[:-1], np.maximum.accumulate(step.value)[:-1]
    for column in (0, 3):
        assert (said[:, column] >= lows).all()
        assert (said[:, column] <= highs).all()


def test_one_huge_value_neither_breaks_it_nor_lasts() -> None:
    step, _ = made(events=2_000)
    step.value[7] = 3e38
    step.value[11] = -3e38
    said = Ratings().observe(step, every(step))[1:]
    assert np.isfinite(said).all()


def test_equal_values_are_predicted_exactly() -> None:
    step, _ = made(events=500)
    step.value[:] = 4.5
    assert (Ratings().observe(step, every(step))[1:] == 4.5).all()


def test_what_is_only_asked_changes_nothing() -> None:
    step, _ = made(events=2_000)
    asked, left = Ratings(), Ratings()
    for model in (asked, left):
        model.observe(step.slice(0, 1_000), np.arange(1_000))
    rest, marks = step.slice(1_000, 2_000), np.arange(1_000)
    first = asked.observe(rest, marks, learn=False)
    assert np.array_equal(first, asked.observe(rest, marks, learn=False))
    assert np.array_equal(asked.observe(rest, marks), left.observe(rest, marks))


def test_it_says_what_its_slow_twin_says() -> None:
    settings = ValuesSettings(rating_width=3)
    step, _ = made(events=400, actors=12, items=9)
    assert Ratings(settings).observe(step, every(step))[1:, 0] == pytest.approx(_slow(step, settings)[1:], abs=2e-4)


def test_each_kind_has_its_own_units() -> None:
    step, _ = made(events=2_000)
    price = step.kind.copy()
    price[::2] = 1
    value = np.where(price == 1, 1_000.0 * step.value, step.value).astype(np.float32)
    both = Step(**{name: getattr(step, name) for name in step.__slots__} | {"kind": price, "value": value})
    said = RatingsByKind().observe(both, every(both))
    alone = Ratings().observe(step, np.arange(1, 2_000, 2))
    assert np.array_equal(said[1::2], alone[1::2], equal_nan=True)


def test_kinds_beyond_the_limit_are_not_predicted() -> None:
    step, _ = made(events=300)
    step.kind[:] = np.arange(300) % 3
    said = RatingsByKind(ValuesSettings(rated_limit=2)).observe(step, every(step))
    assert np.isnan(said[2::3]).all()
    assert np.isfinite(said[3::3]).all()


def _slow(step: Step, settings: ValuesSettings) -> F64:
    """The same by plain matrices in float64: one Kalman step on the diagonal of the joint covariance."""
    model = Ratings(settings)
    model._grow(12, 9)
    D = settings.rating_width
    means = {"p": model._actors[:, 0].astype(float), "q": model._items[:, 0].astype(float)}
    variances = {"p": model._actors[:, 1].astype(float), "q": model._items[:, 1].astype(float)}
    prior = model._priors.astype(float)
    said, seen = np.full(len(step), np.nan), []
    for b, (a, i, y) in enumerate(zip(step.actor, step.item, step.value.astype(float), strict=True)):
        p, q = means["p"][a].copy(), means["q"][i].copy()
        z = p[:D] @ q[:D] + p[D] + q[D]
        if seen:
            said[b] = np.clip(np.mean(seen) + np.std(seen) * z, min(seen), max(seen))
        seen.append(y)
        if np.std(seen) == 0.0:
            continue
        xp, xq = np.append(q[:D], 1.0), np.append(p[:D], 1.0)
        total = settings.rating_noise + variances["p"][a] @ xp**2 + variances["q"][i] @ xq**2
        error = np.clip((y - np.mean(seen)) / np.std(seen), -6, 6) - z
        for side, row, x in (("p", a, xp), ("q", i, xq)):
            gain = variances[side][row] * x / total
            means[side][row] += gain * error
            variances[side][row] -= gain * x * variances[side][row]
            variances[side][row] += settings.forgetting * (prior - variances[side][row])
    return said
