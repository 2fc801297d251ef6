"""Steps that grow and shrink with what the youngest learning is worth."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.learn.pace import Pace
from everbrook.settings.live import LiveSettings

RATE, LEAST = 1e-2, 0.1


def told(pace: Pace, mean: float, batches: int, seed: int = 0) -> Pace:
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        live = rng.normal(-5.0, 1.0, 64)
        pace.observe(live, live - rng.normal(mean, 0.5, 64))
    return pace


def new() -> Pace:
    return Pace(LiveSettings(pace_rate=RATE, pace_least=LEAST))


def test_steps_begin_whole_and_stay_so_while_the_youngest_learning_helps() -> None:
    assert new().factor == 1.0
    assert told(new(), 0.2, 50).factor == 1.0


def test_learning_that_costs_makes_steps_smaller_by_as_much_as_was_lost() -> None:
    live, young = np.array([-5.0, -6.0, -4.0]), np.array([-4.9, np.nan, -4.1])
    pace = new()
    pace.observe(live - 0.5, young)
    assert pace.factor == pytest.approx(np.exp(RATE * (-0.6 - 0.4)))


def test_steps_shrink_no_further_than_the_least_and_grow_again_when_the_world_moves() -> None:
    pace = told(new(), -0.2, 200)
    assert pace.factor == pytest.approx(LEAST)
    assert told(pace, 0.2, 200).factor == 1.0


def test_one_event_counts_for_no_more_than_it_may() -> None:
    pace = new()
    pace.observe(np.array([-1e9]), np.array([-1.0]))
    assert pace.factor == pytest.approx(np.exp(-4.0 * RATE))


def test_what_is_no_number_moves_nothing() -> None:
    pace = new()
    pace.observe(np.array([-5.0, -np.inf, np.nan]), np.array([np.nan, -1.0, -1.0]))
    assert pace.factor == 1.0


def test_a_pace_goes_on_from_what_was_kept() -> None:
    pace, other = told(new(), -0.2, 20), new()
    other.load(pace.state())
    assert other.factor == pace.factor
    assert told(other, 0.05, 5, seed=2).factor == told(pace, 0.05, 5, seed=2).factor
