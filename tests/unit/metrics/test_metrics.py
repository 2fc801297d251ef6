"""Edges of the metrics that the property tests do not reach."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everbrook.metrics import confidence, prediction, probability, ranking, variety


def test_a_target_that_is_not_in_the_list_counts_as_missed() -> None:
    ranks = np.array([0, 1, 11], np.int32)
    for metric in ranking.RANK_METRICS.values():
        values = metric(ranks, 10)
        assert values[0] == values[2] == 0 < values[1]


def test_a_target_whose_score_is_not_a_number_comes_last() -> None:
    assert ranking.pessimistic_ranks(np.array([[0.5, np.nan, 0.1]]), np.array([1], np.int32)).tolist() == [3]


def test_an_impossible_event_costs_a_finite_loss() -> None:
    loss = probability.log_loss(np.array([1.0, 0.5, 0.0]))
    assert loss == pytest.approx([0.0, math.log(2), -math.log(probability.FLOOR)])


def test_an_honest_forecast_is_calibrated_and_a_boastful_one_is_not() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    happened = (rng.random(20_000) < p).astype(float)
    assert probability.calibration(p, happened).error < 0.02
    assert probability.calibration(np.sqrt(p), happened).error > 0.1


def test_no_events_give_no_number() -> None:
    none, nothing = np.zeros(0), np.zeros(0, np.bool_)
    assert math.isnan(prediction.mse(none, none))
    assert math.isnan(prediction.accuracy(none, nothing))
    assert math.isnan(prediction.auc(none, nothing))
    assert math.isnan(probability.calibration(none, none).error)
    assert math.isnan(variety.coverage(nothing, 0))
    assert math.isnan(confidence.normal_interval(none).estimate)


def test_errors_of_values() -> None:
    predicted, actual = np.array([3.0, 1.0]), np.array([5.0, 1.0])
    assert prediction.mse(predicted, actual) == 2.0
    assert prediction.rmse(predicted, actual) == pytest.approx(math.sqrt(2))
    assert prediction.accuracy(np.array([0.5, 0.2, 0.9]), np.array([True, True, False])) == pytest.approx(1 / 3)


def test_both_intervals_hold_the_truth_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(1)
    held = np.zeros(2)
    for _ in range(100):
        values = rng.normal(0.1, 1.0, 200)
        both = confidence.normal_interval(values), confidence.bootstrap_interval(values, rng, 200)
        held += [got.low <= 0.1 <= got.high for got in both]
    assert (held >= 85).all()
