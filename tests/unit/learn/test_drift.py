"""Drift is found where it was made, quickens for a while, and is recovered exactly."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.learn.drift import Change, Drift
from everbrook.settings.drift import DriftSettings
from everbrook.types import F64, I16

B = 64
ONE = np.zeros(B, np.int16)


def play(
    drift: Drift, batches: int, mean: float, seed: int = 0, begin: int = 0, scenario: I16 = ONE
) -> list[tuple[int, Change]]:
    """Losses of a wide, skewed spread; a batch each 100 ms."""
    rng, found = np.random.default_rng(seed), []
    for n in range(begin, begin + batches):
        loss: F64 = rng.gamma(4.0, mean / 4.0, B)
        found += [(n, change) for change in drift.observe(100 * n, scenario, loss)]
    return found


def test_a_rise_of_half_a_nat_is_found_within_ten_thousand_events() -> None:
    drift = Drift()
    assert play(drift, 1000, 5.0) == []
    found = play(drift, 200, 5.5, 1, 1000)
    assert {change.scenario for _, change in found} == {-1, 0}
    assert all(change.rise for _, change in found)
    assert max(n - 1000 for n, _ in found) * B < 10_000
    assert found[0][1].before_nats == pytest.approx(5.0, abs=0.1)
    assert found[0][1].after_nats == pytest.approx(5.5, abs=0.2)


def test_a_steady_loss_hardly_ever_rises() -> None:
    drift = Drift()
    play(drift, 10_000, 5.0)
    assert drift.standing().rises <= 2


def test_a_fall_is_reported_and_quickens_nothing() -> None:
    drift = Drift()
    play(drift, 500, 5.0)
    found = play(drift, 200, 4.0, 1, 500)
    assert found
    assert not any(change.rise for _, change in found)
    assert drift.factor == 1.0


def test_the_factor_falls_back_to_one() -> None:
    drift = Drift(DriftSettings(factor=3.0, raised_s=60.0))
    play(drift, 500, 5.0)
    assert drift.factor == 1.0
    play(drift, 100, 7.0, 1, 500)
    raised = drift.factor
    assert 2.5 < raised <= 3.0
    play(drift, 300, 7.0, 2, 600)
    assert 1.0 < drift.factor < raised
    play(drift, 400, 7.0, 3, 900)
    assert drift.factor == 1.0


def test_only_the_scenario_that_changed_is_named() -> None:
    drift, rng = Drift(), np.random.default_rng(0)
    scenario = np.tile(np.array([0, 1, 2, 3], np.int16), B // 4)
    found: list[Change] = []
    for n in range(1500):
        loss = rng.gamma(4.0, 1.25, B) + np.where((scenario == 2) & (n >= 1000), 1.5, 0.0)
        found += drift.observe(100 * n, scenario, loss)
    assert {change.scenario for change in found} - {-1} == {2}


def test_many_rises_ask_for_a_refit_once() -> None:
    drift = Drift(DriftSettings(refit_rises=2, scenarios=0))
    found = [change for at in range(4) for _, change in play(drift, 300, 4.0 + 1.5 * at, at, 300 * at)]
    assert sum(change.rise for change in found) == 3
    assert [change.refit for change in found if change.rise] == [False, True, False]


def test_losses_that_are_not_finite_and_unknown_scenarios_do_no_harm() -> None:
    drift = Drift(DriftSettings(scenarios=2))
    loss = np.full(B, 5.0)
    loss[:10] = np.nan, np.inf, -np.inf, *(1e9,) * 7
    drift.observe(0, np.full(B, -1, np.int16), loss)
    drift.observe(100, np.full(B, 500, np.int16), loss)
    assert drift.observe(200, ONE[:0], loss[:0]) == []
    assert list(drift.standing().mean_nats) == [-1]
    assert drift.standing().mean_nats[-1] < 20.0


def test_a_recovered_detector_goes_on_exactly_as_the_one_that_ran() -> None:
    settings = DriftSettings(window_values=256)  # windows begin anew several times
    drift, again = Drift(settings), Drift(settings)
    play(drift, 777, 5.0)
    play(drift, 333, 6.0, 1, 777)
    again.load({name: array.copy() for name, array in drift.state().items()})
    first, second = play(drift, 500, 7.0, 2, 1110), play(again, 500, 7.0, 2, 1110)
    assert first == second
    assert first
    left, right = drift.state(), again.state()
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name], err_msg=name)


def test_switched_off_it_finds_nothing() -> None:
    drift = Drift(DriftSettings(enabled=False))
    assert play(drift, 300, 4.0) + play(drift, 300, 8.0, 1, 300) == []
