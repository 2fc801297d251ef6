"""Predicted values do not depend on how the log is cut into steps."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.models.clicks import Clicks
from everbrook.models.ratings import RatingsByKind
from everbrook.types import Step

CUTS = st.lists(st.integers(0, 120), max_size=6)


@settings(max_examples=40, deadline=None)
@given(cuts=CUTS, seed=st.integers(0, 2**31), spread=st.floats(1e-3, 1e6))
def test_a_batch_says_what_a_loop_says(cuts: list[int], seed: int, spread: float) -> None:
    step, position = _made(np.random.default_rng(seed), spread)
    edges = sorted({0, len(step), *cuts})
    whole = _said(step, position, [0, len(step)])
    for one, other in zip(whole, _said(step, position, edges), strict=True):
        assert np.array_equal(one, other, equal_nan=True)


def _said(step: Step, position: np.ndarray, edges: list[int]) -> tuple[np.ndarray, np.ndarray]:
    ratings, clicks = RatingsByKind(), Clicks()
    values, chances = [], []
    for a, b in itertools.pairwise(edges):
        part = step.slice(a, b)
        values.append(ratings.observe(part, np.flatnonzero(np.isfinite(part.value))))
        marks = np.flatnonzero(part.value > 0.0)
        chances.append(clicks.observe(part, marks, part.weight > 0.0, position[a:b]))
    return np.concatenate(values), np.concatenate(chances)


def _made(rng: np.random.Generator, spread: float) -> tuple[Step, np.ndarray]:
    B = 120
    value = rng.normal(0.0, spread, B).astype(np.float32)
    value[rng.random(B) < 0.2] = np.nan
    step = Step(
        ts_ms=np.cumsum(rng.integers(0, 10_000_000, B)), actor=rng.integers(0, 30, B).astype(np.int32),
        item=rng.integers(0, 40, B).astype(np.int32), kind=rng.integers(0, 6, B).astype(np.int16),
        scenario=rng.integers(-1, 5, B).astype(np.int16), value=value,
        weight=rng.integers(-1, 2, B).astype(np.float32), n=rng.integers(0, 5, B).astype(np.int32),
        session_n=np.zeros(B, np.int32), items=rng.integers(0, 40, (B, 4)).astype(np.int32),
        times=np.zeros((B, 4), np.int64), kinds=np.zeros((B, 4), np.int16),
    )  # fmt: skip
    return step, rng.integers(-1, 60, B).astype(np.int32)
