"""Scans of coded rows, block by block, against plain arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everbrook.models import live_scan as scans
from everbrook.models.live_block import ROWS
from everbrook.models.live_exp import exp_below, total_below
from everbrook.models.live_kernels import scored
from everbrook.models.sequence_kernels import by_score
from everbrook.types import F32

NOTHING = np.empty(0, np.int32)


def coded_of(table: F32) -> scans.Coded:
    rows, width = table.shape
    blocks = -(-rows // ROWS)
    coded = scans.Coded(
        np.zeros((blocks, -(-width // 2), ROWS, 2), np.int8),
        np.zeros(blocks * ROWS, np.float32),
        np.zeros(blocks * ROWS, np.float32),
    )
    every = np.arange(rows, dtype=np.int32)
    scans.code_rows((table, NOTHING, table), every, every, scans.state_levels(width), tuple(coded))
    return coded


@pytest.mark.parametrize(("rows", "width"), [(1, 5), (16, 64), (700, 7), (2_000, 64), (1_111, 130)])
@pytest.mark.parametrize("states", [1, 3, 4, 6, 9])
def test_what_a_scan_says_is_what_the_codes_say_and_its_ends_hold(rows: int, width: int, states: int) -> None:
    rng = np.random.default_rng(rows + width)
    table = rng.normal(0.0, 0.2, (rows, width)).astype(np.float32)
    asked_about = rng.normal(0.0, 1.0, (states, width)).astype(np.float32)
    log_prior = np.log(rng.dirichlet(np.ones(rows))).astype(np.float32)
    coded, blocks = coded_of(table), -(-rows // ROWS)
    asked = scans.Asked(np.zeros((states, width + width % 2), np.int16), np.empty((states, 2), np.float32))
    scans.coded_states(asked_about, scans.state_levels(width), asked)
    room = scans.Scratch(
        np.full((states, blocks * ROWS), np.nan, np.float32), np.full((states, blocks), np.nan, np.float32), NOTHING
    )
    parts = np.empty((states, 2))
    scans.scan(coded, asked, log_prior, room, parts)

    side_by_side = coded.codes.transpose(0, 2, 1, 3).reshape(blocks * ROWS, -1)[:rows].astype(np.float64)
    plain = (side_by_side * coded.scales[:rows, None]) @ (asked.levels * asked.sizes[:, :1].astype(np.float64)).T
    np.testing.assert_allclose(room.scores[:, :rows], plain.T + log_prior, rtol=1e-5, atol=1e-5)
    exact = (table.astype(np.float64) @ asked_about.astype(np.float64).T).T + log_prior
    band = coded.slack[:rows] * np.linalg.norm(asked_about.astype(np.float64), axis=1)[:, None]
    assert (np.abs(exact - room.scores[:, :rows]) <= band + 4e-6).all()
    for block in range(blocks):
        own = slice(block * ROWS, min(rows, block * ROWS + ROWS))
        assert (room.highs[:, block] >= exact[:, own].max(1) - 4e-6).all()
    assert (parts[:, 0] >= exact.max(1) - 4e-6).all()
    rough = np.exp(room.scores[:, :rows].astype(np.float64)).sum(1)
    np.testing.assert_allclose(parts[:, 0] + np.log(parts[:, 1]), np.log(rough), atol=1e-3)


def test_at_least_so_many_scores_reach_the_floor_and_all_that_may_are_found() -> None:
    rng = np.random.default_rng(5)
    scores, slack = rng.normal(0.0, 2.0, 960).astype(np.float32), rng.random(960).astype(np.float32)
    highs, norm = (scores + np.float32(0.5) * slack).reshape(-1, ROWS).max(1), np.float32(0.5)
    for limit in (1, 3, 7):
        floor = np.float32(scans.floor_of(highs, slack.max(), norm, limit))
        assert (scores - norm * slack >= floor).sum() >= limit
        found = np.empty(960 + ROWS, np.int32)
        count = scans.worth_it(scores, slack, highs, norm, floor, found)
        np.testing.assert_array_equal(found[:count], np.flatnonzero(scores + norm * slack >= floor))
    assert scans.worth_it(scores, slack, highs, norm, np.float32(-9.0), np.empty(500, np.int32)) == -1


def test_powers_are_those_of_numpy_however_far_below_they_are() -> None:
    values = -np.concatenate(([0.0, 1e-7, 0.3465, 0.3466], np.random.default_rng(1).random(5_000) * 79.0))
    values = values.astype(np.float32)
    out = np.array([exp_below(-value) for value in values])
    plain, near = np.exp(values.astype(np.float64)), values > -9.0
    np.testing.assert_allclose(out, plain, rtol=5e-6)
    np.testing.assert_allclose(out[near], plain[near], rtol=1e-6)
    rough = np.array([total_below(values[i : i + 1], np.float32(0.0)) for i in range(len(values))]) / plain - 1.0
    assert np.abs(rough).max() < 1e-3
    assert abs(rough.mean()) < 3e-5
    many = -np.random.default_rng(2).exponential(1.0, 100_000).astype(np.float32)
    assert total_below(many, np.float32(0.0)) == pytest.approx(np.exp(many.astype(np.float64)).sum(), rel=5e-5)
    faint = np.array([-200.0, -1e30], np.float32)
    np.testing.assert_allclose([exp_below(-value) for value in faint], math.exp(-80.0), rtol=1e-5)


def test_places_by_score_are_a_stable_sort() -> None:
    rng = np.random.default_rng(2)
    for n in (0, 1, 2, 300, 20_000):
        scores = np.round(rng.normal(0.0, 20.0, n), 1).astype(np.float32)
        scores[: n // 10] = -0.0
        np.testing.assert_array_equal(by_score(scores), np.argsort(-scores, kind="stable"))


def test_probabilities_of_rows_of_several_states_are_those_of_plain_arrays() -> None:
    rng = np.random.default_rng(3)
    table, values = (rng.normal(0.0, 0.3, (n, 33)).astype(np.float32) for n in (500, 40))
    place = np.full(450, -1, np.int32)
    place[::12] = np.arange(38)
    as_it_is = table.copy()
    as_it_is[:450:12] = values[:38]
    states, starts = rng.normal(0.0, 1.0, (4, 33)).astype(np.float32), np.array([0, 70, 70, 71, 300])
    rows, prior = rng.integers(0, 500, 300).astype(np.int32), rng.random((3, 310)).astype(np.float32) / 9
    rest, weights = np.array([0.3, math.nan, 0.1], np.float32), np.array([0.2, 0.5, 0.3])
    log_all, mass = np.array([1.5, 0.0, math.inf, -1.0]), np.empty(300, np.float32)
    scored(
        (table, place, values), states, log_all, rows, starts, (prior, rest, weights), 0.002, 0.9, mass
    )  # fmt: skip
    of_row = np.repeat(np.arange(4), np.diff(starts))
    lifts = np.exp((as_it_is[rows].astype(np.float64) * states[of_row]).sum(1) - log_all[of_row])
    likely = 0.4 * prior[0, :300] + 0.6 * prior[2, :300] + 0.002 * (0.4 * 0.3 + 0.6 * 0.1)
    np.testing.assert_allclose(mass, 0.9 * np.minimum(likely * lifts, 1.0), rtol=1e-5, atol=1e-30)
    assert 0.9 in np.round(mass, 6)
