"""Fading, by the table and by the polynomial, against plain powers."""

from __future__ import annotations

import numpy as np

from everbrook.models.decay import GONE, fade, fade_all


def test_ages_fade_to_what_powers_say_and_beyond_the_end_to_nothing() -> None:
    ages = np.concatenate(([0.0, GONE, 1e9, -3.0], np.random.default_rng(0).uniform(0.0, GONE, 5000)))
    wanted = np.where(ages < GONE, np.exp2(-np.maximum(ages, 0.0)), 0.0)
    faded = np.empty(len(ages))
    fade_all(10.0 * ages, 0.1, faded)
    np.testing.assert_allclose(faded, wanted, rtol=3e-10)
    np.testing.assert_allclose([fade(age) for age in ages.tolist()], wanted, rtol=3e-9)


def test_what_never_fades_stays_exactly() -> None:
    faded = np.empty(3)
    fade_all(np.array([0.0, 1e6, 1e15]), 0.0, faded)
    assert faded.tolist() == [1.0, 1.0, 1.0]
