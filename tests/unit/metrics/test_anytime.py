"""Bounds on a difference of click rates that hold however often they are looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everbrook.metrics.anytime import LEAST_PEOPLE, Rate, boundary, difference, rate_of

PEOPLE, LISTS, EVERY, ALPHA = 600, 12_000, 300, 0.05


def _crossings(rng: np.random.Generator, lift: float) -> tuple[bool, bool, bool]:
    """One made experiment, looked at again and again.

    Returns:
        Whether the bounds ever left out 0, ever left out the lift, and whether a plain 95 % interval ever left out 0.
    """
    taste = rng.beta(0.6, 5.4, PEOPLE)  # people differ much, and come back
    group = rng.integers(0, 2, PEOPLE)
    whose = rng.choice(PEOPLE, LISTS, p=rng.dirichlet(np.full(PEOPLE, 0.7)))
    clicked = rng.random(LISTS) < np.clip(taste[whose] + lift * group[whose], 0.0, 1.0)
    beyond_nothing = beyond_truth = naive = False
    for stop in range(EVERY, LISTS + 1, EVERY):
        lists = np.bincount(whose[:stop], minlength=PEOPLE).astype(float)
        taken = np.bincount(whose[:stop], clicked[:stop], minlength=PEOPLE)
        there = lists > 0
        one, other = (rate_of(lists[there & (group == g)], taken[there & (group == g)]) for g in (1, 0))
        found = difference(one, other, ALPHA)
        naive |= abs(found.estimate) > 1.96 * math.sqrt(sum(r.rate * (1 - r.rate) / r.lists for r in (one, other)))
        if found.low is not None and found.high is not None:
            beyond_nothing |= found.low > 0.0 or found.high < 0.0
            beyond_truth |= found.low > lift or found.high < lift
    return beyond_nothing, beyond_truth, naive


def test_looking_again_and_again_claims_nothing_where_nothing_is() -> None:
    rng = np.random.default_rng(1)
    told = np.array([_crossings(rng, 0.0) for _ in range(120)])
    false_claims, _, naive = told.mean(axis=0)
    assert false_claims <= ALPHA
    assert naive > 0.5  # what takes lists for independent and looks but once would have claimed, in the same worlds


def test_a_real_difference_is_found_and_the_bounds_hold_it() -> None:
    rng = np.random.default_rng(2)
    told = np.array([_crossings(rng, 0.12) for _ in range(40)])
    found, missed, _ = told.mean(axis=0)
    assert found > 0.8
    assert missed <= 0.1


def test_a_brownian_motion_stays_within_the_boundary() -> None:
    rng = np.random.default_rng(4)
    information = np.geomspace(10.0, 1e7, 400)
    steps = rng.normal(size=(3000, 400)) * np.sqrt(np.diff(information, prepend=0.0))
    walks = np.abs(steps.cumsum(axis=1))
    beyond = (walks > np.array([boundary(one, ALPHA) for one in information])).any(axis=1).mean()
    assert 0.01 < beyond <= ALPHA  # close to what is allowed, so that the bound is not wider than it must be
    assert ((walks > 1.96 * np.sqrt(information)).any(axis=1)).mean() > 0.3


def test_a_rate_and_its_variance_are_those_of_drawing_people_anew() -> None:
    rng = np.random.default_rng(3)
    lists = rng.integers(1, 20, 400).astype(float)
    clicked = rng.binomial(lists.astype(int), rng.beta(1, 6, 400)).astype(float)
    rate = rate_of(lists, clicked)
    drawn = rng.integers(0, 400, (2000, 400))
    again = clicked[drawn].sum(axis=1) / lists[drawn].sum(axis=1)
    assert rate[:3] == (400, int(lists.sum()), int(clicked.sum()))
    assert rate.rate == pytest.approx(clicked.sum() / lists.sum())
    assert math.sqrt(rate.variance) == pytest.approx(again.std(), rel=0.1)


def test_where_nobody_clicks_chance_is_not_nothing() -> None:
    rate = rate_of(np.ones(200), np.zeros(200))
    assert rate.variance > 1e-6
    found = difference(rate, rate, ALPHA)
    assert found.low is not None
    assert found.low < 0.0 < (found.high or 0.0)


def test_of_few_people_nothing_is_claimed() -> None:
    few = Rate(LEAST_PEOPLE - 1, 1000, 900, 0.9, 1e-9)
    many = Rate(1000, 1000, 10, 0.01, 1e-9)
    assert difference(few, many, ALPHA) == (pytest.approx(0.89), None, None)
    assert rate_of(np.empty(0), np.empty(0)).rate == 0.0
