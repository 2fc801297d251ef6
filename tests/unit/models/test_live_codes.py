"""Lists by a coded copy of the rows: the same best rows as a plain look at all of them, the same denominator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from everbrook.models import live_codes, live_expert
from everbrook.models.live_codes import RowCodes
from everbrook.models.live_expert import LiveExpert
from everbrook.models.live_head import head_of
from everbrook.models.popularity import Popularity
from everbrook.models.portion import Portion
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I32, Query

N = 10_000
NOTHING = np.full(N, -1, np.int32)


def world(width: int, seed: int = 0) -> tuple[F32, F32, F32]:
    """A table of small and of larger rows, a state, and popularity with a heavy tail."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0.0, 0.05, (N, width)).astype(np.float32)
    table[rng.permutation(N)[: N // 4]] *= 6.0
    prior = rng.permutation(1.0 / np.arange(1, N + 1))
    state = rng.normal(0.0, 1.0, width) * (8.0 / math.sqrt(width))
    return table, state.astype(np.float32), np.log(prior / prior.sum()).astype(np.float32)


def plain(table: F32, state: F32, log_prior: F32, limit: int) -> tuple[float, I32]:
    """All of them in float64."""
    logits = table.astype(np.float64) @ state.astype(np.float64) + log_prior
    return float(np.log(np.exp(logits).sum())), np.argsort(-logits, kind="stable")[:limit].astype(np.int32)


@pytest.mark.parametrize("width", [4, 16, 64, 100, 192])
def test_coded_rows_give_the_same_best_rows_and_denominator(width: int) -> None:
    every = np.arange(N, dtype=np.int32)
    for seed in range(8):
        table, state, log_prior = world(width, seed)
        codes = RowCodes(width)
        codes.keep_up(table, (NOTHING, table), N)
        found = codes.best(state[None], (NOTHING, table), every, log_prior, 60)[0]
        assert found is not None
        log_all, best = plain(table, state, log_prior, 60)
        assert found[0] == pytest.approx(log_all, abs=5e-4)
        np.testing.assert_array_equal(found[1], best)


def test_a_row_that_moved_is_coded_anew_and_new_rows_are_found() -> None:
    table, state, log_prior = world(64)
    codes, every = RowCodes(64), np.arange(N, dtype=np.int32)
    codes.keep_up(table, (NOTHING, table), N - 10)
    moved = np.array([17, 5_000, N - 11], np.int32)
    codes.mark(moved)
    table[moved] = state / 4.0
    table[N - 3] = state / 3.0
    codes.keep_up(table, (NOTHING, table), N)
    found = codes.best(state[None], (NOTHING, table), every, log_prior, 20)[0]
    assert found is not None
    log_all, best = plain(table, state, log_prior, 20)
    assert found[0] == pytest.approx(log_all, abs=5e-4)
    np.testing.assert_array_equal(found[1], best)
    assert {17, 5_000, N - 11, N - 3} <= set(found[1].tolist())


def test_another_table_is_coded_whole() -> None:
    table, state, log_prior = world(64)
    codes, every = RowCodes(64), np.arange(N, dtype=np.int32)
    for one in (table, world(64, 1)[0]):
        codes.keep_up(one, (NOTHING, one), N)
        found = codes.best(state[None], (NOTHING, one), every, log_prior, 20)[0]
        assert found is not None
        np.testing.assert_array_equal(found[1], plain(one, state, log_prior, 20)[1])


def test_rows_with_other_values_and_a_part_of_the_rows() -> None:
    table, state, log_prior = world(64)
    rows = np.argsort(-log_prior)[[2, 40, 3_000]].astype(np.int32)
    values = np.repeat((state / 5.0)[None], 3, axis=0)
    place = NOTHING.copy()
    place[rows] = np.arange(3)
    head = head_of(np.exp(log_prior), 9_000, 2_048, 0)
    codes = RowCodes(64)
    codes.keep_up(table, (place, values), N)
    likely = (head.rows, head.log_prior, 30, head.others, head.log_rest)
    found = codes.best(state[None], (place, values), *likely)[0]
    assert found is not None
    log_all, best = head.answer(table, state, (place, values), 30)
    assert found[0] == pytest.approx(log_all, abs=5e-4)
    np.testing.assert_array_equal(found[1], best)


def test_codes_do_not_answer_where_too_many_rows_are_alike_or_wanted() -> None:
    table, state, log_prior = world(64)
    codes, every = RowCodes(64), np.arange(2 * N, dtype=np.int32)
    alike = np.zeros((2 * N, 64), np.float32)
    codes.keep_up(alike, (every[:0], alike), 2 * N)
    even = np.full(2 * N, -math.log(2 * N), np.float32)
    assert codes.best(state[None], (every[:0], alike), every, even, 20)[0] is None
    codes.keep_up(table, (NOTHING, table), N)
    assert codes.best(state[None], (NOTHING, table), every[:N], log_prior, 1_000)[0] is None


def asked(seed: int, items: int) -> Query:
    rng = np.random.default_rng(seed)
    times = 1_000_000 + 1000 * np.arange(5, dtype=np.int64)
    kinds = np.zeros(5, np.int16)
    return Query(2_000_000, seed, -1, rng.integers(0, items, 5).astype(np.int32), times, kinds, 5)


def test_an_expert_answers_by_codes_as_it_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    items = 4_000
    settings = replace_start(LiveSettings(state_s=0.0), 0.2)
    expert = LiveExpert(settings, counted(items))
    expert.grow(items, 0)
    rng = np.random.default_rng(3)
    rows = rng.permutation(items)[:300].astype(np.int32)
    expert.anchor.replace(rows, rng.normal(0.0, 0.2, (300, settings.width)).astype(np.float32), items)
    for stage in ("live", "shadow"):
        expert.changed(stage, 0.0, np.full(len(counted(1).names), 1.0 / len(counted(1).names)))
        for seed in range(5):
            answers = []
            for least in (10**9, 1):
                monkeypatch.setattr(live_expert, "LEAST_ROWS", least)
                query = asked(seed, items)
                mass, rest = np.empty((items, 1), np.float32), np.empty(1, np.float32)
                best = expert.propose(query, 25)
                expert.score(query, np.arange(items, dtype=np.int32), mass, rest)
                answers.append((best, mass))
            np.testing.assert_array_equal(answers[0][0], answers[1][0])
            np.testing.assert_allclose(answers[0][1], answers[1][1], rtol=1e-4)


def counted(items: int) -> Popularity:
    popularity = Popularity()
    popularity.grow(items, 0)
    return popularity


def replace_start(settings: LiveSettings, start: float) -> LiveSettings:
    return LiveSettings(**{name: getattr(settings, name) for name in settings.__struct_fields__} | {"start": start})




def test_part_of_the_rows_is_kept_up_with_rows_that_move_between_lists() -> None:
    table, state, log_prior = world(64)
    codes, none = RowCodes(64), (NOTHING, table)
    rows = np.sort(np.random.default_rng(1).permutation(N)[: N - 500]).astype(np.int32)
    others = np.sort(np.repeat(np.setdiff1d(np.arange(N, dtype=np.int32), rows), 3))
    for turn in range(3):
        codes.keep_up(table, none, N)
        found = codes.best(state[None], none, rows, log_prior[rows], 40)[0]
        assert found is not None
        log_all, best = plain(table[rows], state, log_prior[rows], 40)
        assert found[0] == pytest.approx(log_all, abs=5e-4)
        np.testing.assert_array_equal(found[1], rows[best])
        np.testing.assert_allclose(codes.lifts(state, others), table[others] @ state, atol=0.05)
        moved = np.concatenate((rows[turn::97], others[:6], rows[turn::194]))
        codes.mark(moved)
        table[moved] *= np.float32(-1.5)


def test_of_rows_that_were_picked_before_only_the_others_are_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    table, state, _ = world(64)
    codes, rng, coded = RowCodes(64), np.random.default_rng(3), []
    code = live_codes.live_scan.code_rows

    def noted(table: Any, rows: I32, *rest: Any) -> None:
        coded.append(len(rows))
        code(table, rows, *rest)

    monkeypatch.setattr(live_codes.live_scan, "code_rows", noted)
    codes.keep_up(table, (NOTHING, table), N)
    rows = np.sort(rng.permutation(N)[:3_000]).astype(np.int32)
    for _ in range(12):
        np.testing.assert_allclose(codes.lifts(state, rows), table[rows] @ state, atol=0.05)
        others = np.setdiff1d(np.arange(N, dtype=np.int32), rows)
        rows = np.sort(np.concatenate((rng.permutation(rows)[:2_900], rng.permutation(others)[:100]))).astype(np.int32)
    assert coded[0] == 3_000
    assert max(coded[1:]) <= 100
    moved = rows[::10].copy()
    codes.mark(moved)
    table[moved] *= np.float32(-2.0)
    codes.keep_up(table, (NOTHING, table), N)
    np.testing.assert_allclose(codes.lifts(state, rows), table[rows] @ state, atol=0.1)
    codes.mark(None)
    table *= np.float32(-0.5)
    codes.keep_up(table, (NOTHING, table), N)
    np.testing.assert_allclose(codes.lifts(state, rows), table[rows] @ state, atol=0.1)


def test_a_table_that_only_became_longer_is_not_coded_anew() -> None:
    table, state, log_prior = world(64)
    codes, every, origin = RowCodes(64), np.arange(N, dtype=np.int32), object()
    codes.keep_up(table[: N // 2].copy(), (NOTHING, table), N // 2, origin)
    assert codes.best(state[None], (NOTHING, table), every[: N // 2], log_prior[: N // 2], 20)[0] is not None
    longer = table.copy()
    longer[7] = 0.0  # nobody said so: it must still be there as it was coded
    codes.keep_up(longer, (NOTHING, longer), N, origin)
    np.testing.assert_allclose(codes.lifts(state, every), table @ state, atol=0.05)
    codes.keep_up(longer.copy(), (NOTHING, longer), N, object())
    np.testing.assert_allclose(codes.lifts(state, every.copy()), longer @ state, atol=0.05)


def test_several_states_at_once_are_answered_as_each_alone() -> None:
    for width in (16, 100):
        table, _, log_prior = world(width)
        states = np.random.default_rng(2).normal(0.0, 1.0, (7, width)).astype(np.float32)
        codes, every, none = RowCodes(width), np.arange(N, dtype=np.int32), (NOTHING, table)
        codes.keep_up(table, none, N)
        together = codes.best(states, none, every, log_prior, 40)
        for state, found in zip(states, together, strict=True):
            alone = codes.best(state[None], none, every, log_prior, 40)[0]
            assert found is not None
            assert alone is not None
            assert found[0] == alone[0]
            np.testing.assert_array_equal(found[1], alone[1])


@pytest.mark.parametrize("stage", ["live", "shadow", "canary"])
def test_queries_that_are_foreseen_get_the_answers_that_they_get_alone(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, weights = 4_000, np.full(len(counted(1).names), 1.0 / len(counted(1).names))
    monkeypatch.setattr(live_expert, "LEAST_ROWS", 1)
    expert = LiveExpert(replace_start(LiveSettings(state_s=0.0), 0.2), counted(items))
    expert.grow(items, 0)
    rows = np.random.default_rng(3).permutation(items)[:300].astype(np.int32)
    values = np.random.default_rng(4).normal(0.0, 0.2, (300, 64)).astype(np.float32)
    expert.anchor.replace(rows, values, items)
    expert.changed(stage, 0.5, weights)
    queries, told = [asked(seed, items) for seed in range(9)], []
    for together in (False, True):
        expert.changed(stage, 0.5, weights)
        if together:
            expert.foresee(queries, 25)
        for query in queries:
            mass, rest = np.empty((items, 1), np.float32), np.empty(1, np.float32)
            best = expert.propose(query, 25)
            expert.score(query, np.arange(items, dtype=np.int32), mass, rest)
            told.append((best, mass))
    every, mass = np.tile(np.arange(items, dtype=np.int32), 9), np.empty((9 * items, 1), np.float32)
    expert.score_all(queries, every, [items * b for b in range(10)], mass, np.empty((9, 1), np.float32))
    np.testing.assert_allclose(mass, np.concatenate([one[1] for one in told[:9]]), rtol=1e-6)
    for one, other in zip(told[:9], told[9:], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_allclose(one[1], other[1], rtol=1e-6)


@pytest.mark.parametrize("least", [1, 10**9])
@pytest.mark.parametrize("stage", ["off", "live", "shadow", "canary", "moments"])
def test_a_portion_is_proposed_and_scored_as_each_alone(
    stage: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, limit = 4_000, 25
    monkeypatch.setattr(live_expert, "LEAST_ROWS", least)
    expert = LiveExpert(replace_start(LiveSettings(state_s=0.0, scored=3_900, sampled=64), 0.2), counted(items))
    expert.grow(items, 0)
    rows = np.random.default_rng(3).permutation(items)[:300].astype(np.int32)
    values = np.random.default_rng(4).normal(0.0, 0.2, (300, 64)).astype(np.float32)
    expert.anchor.replace(rows, values, items)
    weights = np.full(len(counted(1).names), 1.0 / len(counted(1).names))
    given = [asked(seed, items) for seed in range(11)]
    given[4] = replace(given[4], items=given[4].items[:0], times=given[4].times[:0], kinds=given[4].kinds[:0])
    if stage == "moments":
        given = [replace(query, now_ms=2_000_000 + b % 3) for b, query in enumerate(given)]
    expert.changed("live" if stage == "moments" else stage, 0.5, weights)
    own = [np.random.default_rng(b).integers(0, items, 7 * (b % 4)).astype(np.int32) for b in range(11)]
    starts = np.cumsum([0, *map(len, own)])
    found, kept = np.full((11, limit), -7, np.int32), np.full(11, -7)
    expert.propose_into(Portion(given), limit, found, kept)
    queries = Portion(given)  # the same ones in another list, as those who score have it
    whole, rest = np.full((3, starts[-1] + 5), 7.0, np.float32), np.full((11, 3), 7.0, np.float32)
    expert.score_all(queries, np.concatenate(own), starts.tolist(), whole[1:2, : starts[-1]].T, rest[:, 1:2])
    some, mass, left = [2, 7, 4], np.empty((21, 1), np.float32), np.empty((3, 1), np.float32)
    expert.score_all(Portion(given[b] for b in some), rows[:21], [0, 7, 14, 21], mass, left)
    assert (whole[[0, 2]] == 7.0).all()
    assert (whole[1, starts[-1] :] == 7.0).all()
    for b, query in enumerate(given):
        expert.changed(expert.stage, 0.5, weights)  # nothing is kept of before
        alone, of_rest = np.empty((len(own[b]), 1), np.float32), np.empty(1, np.float32)
        best = expert.propose(replace(query), limit)
        expert.score(replace(query), own[b], alone, of_rest)
        assert kept[b] == len(best) == (0 if stage == "off" or b == 4 else limit)
        np.testing.assert_array_equal(found[b, : kept[b]], best)
        np.testing.assert_allclose(whole[1, starts[b] : starts[b + 1]], alone[:, 0], rtol=1e-6)
        np.testing.assert_array_equal(rest[b, 1], of_rest[0])
        if b in some:
            at = some.index(b)
            alone = np.empty((7, 1), np.float32)
            expert.score(replace(query), rows[7 * at : 7 * at + 7], alone, of_rest)
            np.testing.assert_allclose(mass[7 * at : 7 * at + 7], alone, rtol=1e-6)
            np.testing.assert_array_equal(left[at], of_rest)


def test_what_a_list_found_serves_who_asks_for_the_same_weights_again(monkeypatch: pytest.MonkeyPatch) -> None:
    items, rows = 4_000, np.arange(50, dtype=np.int32)
    expert = LiveExpert(replace_start(LiveSettings(), 0.2), counted(items))
    expert.grow(items, 0)
    expert.changed("live", 0.0, np.full(len(counted(1).names), 1.0 / len(counted(1).names)))
    fresh, looks = [expert.under(asked(1, items), rows, anchor) for anchor in (False, True)], []
    found = expert._found
    monkeypatch.setattr(expert, "_found", lambda *given: looks.append(given) or found(*given))
    expert.propose(asked(1, items), 20)
    for anchor in (False, True):
        np.testing.assert_allclose(expert.under(asked(1, items), rows, anchor), fresh[anchor], rtol=1e-6)
    assert [given[3] for given in looks] == [None, True]  # the list itself, and the anchor
    expert.under(asked(2, items), rows, False)
    assert len(looks) == 3


def test_a_catalogue_that_grows_step_by_step_is_answered_whole() -> None:
    table, state, log_prior = world(16)
    codes = RowCodes(16)
    for count in (201, 389, 455, 1_000, 1_250):
        codes.keep_up(table[:count], (NOTHING, table), count, table)
        found = codes.best(state[None], (NOTHING, table), np.arange(count, dtype=np.int32), log_prior[:count], 1)[0]
        assert found is not None
        assert found[0] == pytest.approx(plain(table[:count], state, log_prior[:count], 1)[0], abs=5e-4)


def test_codes_that_nobody_asks_for_are_dropped_and_made_again_when_somebody_does() -> None:
    table, state, _ = world(16)
    rng = np.random.default_rng(9)
    codes, first, second = RowCodes(16), np.arange(0, N, 2, dtype=np.int32), np.arange(0, N, 3, dtype=np.int32)
    codes.keep_up(table, (NOTHING, table), N)
    codes.lifts(state, second)
    for turn in range(60):
        np.testing.assert_allclose(codes.lifts(state, first), table[first] @ state, atol=0.1)
        assert len(codes._picked) == (2 if turn < 20 else 1) or 20 <= turn < 40
        moved = rng.permutation(N)[:50].astype(np.int32)
        codes.mark(moved)
        table[moved] = rng.normal(0.0, 0.1, (50, 16)).astype(np.float32)
        codes.keep_up(table, (NOTHING, table), N)
    np.testing.assert_allclose(codes.lifts(state, second), table[second] @ state, atol=0.1)
    assert len(codes._picked) == 2


def test_rows_of_nothing_and_of_large_numbers_are_coded_within_their_slack() -> None:
    table, state, log_prior = world(64)
    table[:4] = [[0.0], [1e-35], [3e4], [1e25]]
    codes, every = RowCodes(64), np.arange(N, dtype=np.int32)
    codes.keep_up(table[:N], (NOTHING, table), N)
    np.testing.assert_allclose(codes.lifts(state, every[:3]), table[:3] @ state, rtol=0.02, atol=1e-6)
    found = codes.best(state[None], (NOTHING, table), every, log_prior, 60)[0]
    assert found is None or found[1][0] == plain(table, state, log_prior, 60)[1][0]
