"""Lists from a large catalogue: what the likely items and a sample of the others say, against all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everbrook.models import live_head
from everbrook.models.live_head import Head, Heads, head_of
from everbrook.models.live_prior import LivePrior
from everbrook.models.popularity import Popularity
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I32, NO_ROW, Query

N, D = 20_000, 16


def world(seed: int = 0) -> tuple[F32, F32, F32]:
    """A table, a state, and popularity with a heavy tail."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0.0, 0.3, (N, D)).astype(np.float32)
    prior = rng.permutation(1.0 / np.arange(1, N + 1) ** 0.8)
    return table, rng.normal(0.0, 1.0, D).astype(np.float32), np.log(prior / prior.sum()).astype(np.float32)


def kept(rows: list[int], values: F32) -> tuple[I32, F32]:
    place = np.full(N, -1, np.int32)
    place[rows] = np.arange(len(rows))
    return place, values


def all_of_them(table: F32, state: F32, log_prior: F32) -> tuple[float, F32]:
    logits = (table @ state).astype(np.float64) + log_prior
    return float(np.log(np.exp(logits).sum())), logits.astype(np.float32)


def test_the_denominator_is_that_of_all_items_within_some_percent() -> None:
    apart = []
    for seed in range(10):
        table, state, log_prior = world(seed)
        exact, _ = all_of_them(table, state, log_prior)
        found, _ = head_of(np.exp(log_prior), 4_000, 2_048, seed).answer(table, state, kept([], table[:0]), 20)
        apart.append(found - exact)
    assert np.abs(apart).max() < 0.03
    assert abs(np.mean(apart)) < 0.01


def test_the_best_rows_are_the_best_of_the_likely_ones() -> None:
    table, state, log_prior = world()
    _, logits = all_of_them(table, state, log_prior)
    likely = np.argsort(-log_prior)[:4_000]
    wanted = likely[np.argsort(-logits[likely])][:50]
    head = head_of(np.exp(log_prior), 4_000, 2_048, 0)
    _, best = head.answer(table, state, kept([], table[:0]), 50)
    np.testing.assert_array_equal(best, wanted)


def test_a_catalogue_that_is_small_enough_is_scored_whole() -> None:
    table, state, log_prior = world()
    head = head_of(np.exp(log_prior), N, 2_048, 0)
    assert len(head.others) == 0
    exact, logits = all_of_them(table, state, log_prior)
    found, best = head.answer(table, state, kept([], table[:0]), 30)
    assert math.isclose(found, exact, abs_tol=1e-3)
    np.testing.assert_array_equal(best, np.argsort(-logits)[:30])


def test_rows_with_other_values_are_scored_by_those() -> None:
    table, state, log_prior = world()
    rows = [int(row) for row in np.argsort(-log_prior)[[3, 5, 3_999]]] + [int(np.argmin(log_prior))]
    values = (3.0 * state / (state @ state)).astype(np.float32)[None].repeat(len(rows), axis=0)
    changed = table.copy()
    changed[rows] = values
    head = head_of(np.exp(log_prior), 4_000, 2_048, 0)
    whole, best = head.answer(table, state, kept(rows, values), 20)
    same, other = head.answer(changed, state, kept([], table[:0]), 20)
    assert math.isclose(whole, same, abs_tol=1e-5)
    np.testing.assert_array_equal(best, other)


def test_what_stands_for_the_others_is_drawn_by_popularity() -> None:
    _, _, log_prior = world()
    head = head_of(np.exp(log_prior), 100, 50_000, 1)
    rest = np.setdiff1d(np.arange(N), head.rows)
    wanted = np.exp(log_prior[rest]) / np.exp(log_prior[rest]).sum()
    counts = np.bincount(head.others, minlength=N)[rest]
    popular = np.argsort(-wanted)[:200]
    np.testing.assert_allclose(counts[popular].sum() / 50_000, wanted[popular].sum(), atol=0.01)
    assert math.isclose(head.log_rest, math.log(float(np.exp(log_prior[rest].astype(np.float64)).sum())), abs_tol=1e-6)
    assert isinstance(head, Head)


def test_the_likely_ones_are_the_likeliest_whatever_is_alike() -> None:
    rng = np.random.default_rng(1)
    for limit in (1, 2_000, 7_777, N - 1):
        log_prior = np.log(rng.integers(1, 40, N) / 1e6).astype(np.float32)
        head = head_of(np.exp(log_prior), limit, 300, 0)
        wanted = np.sort(np.argsort(-log_prior, kind="stable")[:limit])  # of equal ones the first
        np.testing.assert_array_equal(head.rows, wanted)
        rest = np.setdiff1d(np.arange(N), wanted)
        assert head.log_rest == pytest.approx(np.log(np.exp(log_prior[rest].astype(np.float64)).sum()), abs=1e-5)
        assert np.isin(head.others, rest).all()


def test_others_are_drawn_as_often_as_they_are_likely() -> None:
    log_prior = np.log(np.repeat([8.0, 4.0, 2.0, 1.0], N // 4) / (3.75 * N)).astype(np.float32)
    head = head_of(np.exp(log_prior), N // 4, 100_000, 3)
    counts = np.bincount(head.others // (N // 4), minlength=4)
    np.testing.assert_allclose(counts[1:] / 100_000, [4 / 7, 2 / 7, 1 / 7], atol=0.01)


def counted(rows: I32, now_ms: int, popularity: Popularity) -> None:
    """Let things happen to items, all at one moment."""
    a = popularity._all
    a["counts"][rows], a["last"][rows] = 1.0, now_ms
    a["totals"][:], a["clock"][0] = a["counts"].sum(0), now_ms


def asked(now_ms: int) -> Query:
    return Query(now_ms, NO_ROW, NO_ROW, np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int16), 0)


def same(one: Head, other: Head) -> bool:
    return np.array_equal(one.rows, other.rows) and np.array_equal(one.log_prior, other.log_prior)


@pytest.mark.parametrize("beside", [False, True])
def test_likely_items_that_are_too_old_are_found_anew_at_once_or_beside_the_lists(
    beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_head, "LARGE", 1_000)
    settings, rng, now_ms = LiveSettings(scored=100, sampled=50, prior_refresh_s=2.0), np.random.default_rng(0), 10**9
    popularity = Popularity()
    popularity.grow(5_000, 0)
    prior, heads = LivePrior(popularity, 0.02), Heads(settings)
    heads.beside = beside
    first, second = (rng.choice(5_000, 80, replace=False).astype(np.int32) for _ in range(2))
    counted(first, now_ms, popularity)
    old = heads.of(asked(now_ms), prior, 5_000)
    assert np.isin(first, old.rows).all()
    counted(second, now_ms + 1_000, popularity)
    assert heads.of(asked(now_ms + 2_000), prior, 5_000) is old
    found = heads.of(asked(now_ms + 2_001), prior, 5_000)
    assert (found is old) == beside
    if beside:
        assert heads._renewing is not None
        heads._renewing.join()
        assert heads.of(asked(now_ms + 2_002), prior, 5_000) is not old
    found = heads.of(asked(now_ms + 2_003), prior, 5_000)
    assert np.isin(second, found.rows).all()
    assert same(found, head_of(prior.of_all(NO_ROW, now_ms + 2_001, 5_000)(), 100, 50, settings.seed))
    late = heads.of(asked(now_ms + 6_003), prior, 5_000)  # nobody asked for so long that they are too old for anybody
    assert same(late, head_of(prior.of_all(NO_ROW, now_ms + 6_003, 5_000)(), 100, 50, settings.seed))


def test_what_is_found_beside_is_what_was_asked_for_whatever_grows_and_learns_meanwhile() -> None:
    popularity, now_ms = Popularity(), 10**9
    popularity.grow(2_000, 0)
    counted(np.arange(0, 2_000, 7, dtype=np.int32), now_ms, popularity)
    prior = LivePrior(popularity, 0.02)
    wanted, later = prior.of_all(NO_ROW, now_ms, 2_000)(), prior.of_all(NO_ROW, now_ms, 2_000)
    popularity.grow(9_000, 0)
    popularity._all["counts"][:] = 3.0
    prior.weights = np.eye(len(prior.weights))[0]
    np.testing.assert_array_equal(later(), wanted)
