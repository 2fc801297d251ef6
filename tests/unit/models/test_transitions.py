"""Transitions on small stories whose answer can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from everbrook.models.transitions import Transitions
from everbrook.settings.transitions import TransitionsSettings
from everbrook.testing.streams import fold_step
from everbrook.types import NO_ROW, Query, Step

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def sessions(lists: list[list[int]], gap_ms: int = 1000, apart_ms: int = MINUTE_MS) -> Step:
    """One actor for each list; the lists follow one another."""
    ts, actors, items, now = [], [], [], START_MS
    for actor, session in enumerate(lists):
        for item in session:
            ts.append(now)
            actors.append(actor)
            items.append(item)
            now += gap_ms
        now += apart_ms
    return fold_step(np.array(ts, np.int64), np.array(actors, np.int32), np.array(items, np.int32))


def fed(step: Step, items: int, **chosen: object) -> Transitions:
    expert = Transitions(TransitionsSettings(**chosen))  # type: ignore[arg-type]
    expert.grow(items, int(step.actor.max()) + 1)
    K = len(expert.names)
    expert.observe(step, np.empty((len(step), K), np.float32), np.empty((len(step), K), np.float32))
    return expert


def asked(expert: Transitions, now_ms: int, items: list[int], among: int) -> tuple[dict[str, np.ndarray], Query]:
    query = Query(
        now_ms, NO_ROW, NO_ROW, np.array(items, np.int32), np.full(len(items), now_ms, np.int64),
        np.zeros(len(items), np.int16), len(items),
    )  # fmt: skip
    mass, rest = np.empty((among, len(expert.names)), np.float32), np.empty(len(expert.names), np.float32)
    expert.score(query, np.arange(among, dtype=np.int32), mass, rest)
    return {name: mass[:, k] / (1 - rest[k]) for k, name in enumerate(expert.names)}, query


def test_shares_of_the_last_item_are_relative_counts() -> None:
    step = sessions([[0, 1], [0, 1], [0, 1], [0, 2]])
    found, _ = asked(fed(step, 3), int(step.ts_ms[-1]), [0], 3)
    np.testing.assert_allclose(found["transitions/ever"], [0, 0.75, 0.25], rtol=1e-5)


def test_a_short_memory_follows_a_switch_that_a_long_one_misses() -> None:
    step = sessions([[0, 1]] * 60 + [[0, 2]] * 20, apart_ms=2 * MINUTE_MS)
    found, _ = asked(fed(step, 3), int(step.ts_ms[-1]), [0], 3)
    assert found["transitions/ever"][1] > 0.7
    assert found["transitions/20m"][2] > 0.7


def test_what_came_before_counts_less_than_what_came_after() -> None:
    step = sessions([[1, 0, 2]] * 5)
    found, _ = asked(fed(step, 3, backward=0.5), int(step.ts_ms[-1]), [0], 3)
    np.testing.assert_allclose(found["covisit/ever"], [0, 1 / 3, 2 / 3], rtol=1e-5)
    np.testing.assert_allclose(found["window/ever"], [0, 0, 1], rtol=1e-5)


def test_coming_back_to_an_item_is_not_a_transition() -> None:
    step = sessions([[0, 0, 0, 1]])
    found, _ = asked(fed(step, 2), int(step.ts_ms[-1]), [0], 2)
    np.testing.assert_allclose(found["transitions/ever"], [0, 1], rtol=1e-5)


def test_because_names_the_item_whose_followers_it_is_among() -> None:
    step = sessions([[0, 5]] * 4 + [[1, 6]] * 4)
    expert = fed(step, 8)
    _, query = asked(expert, int(step.ts_ms[-1]), [0, 1], 8)
    assert expert.because(query, np.array([5, 6, 7, 5], np.int32)).tolist() == [0, 1, NO_ROW, 0]


def test_the_best_followers_are_proposed_first() -> None:
    step = sessions([[0, 1]] * 5 + [[0, 2]] * 3 + [[0, 3]])
    expert = fed(step, 5)
    _, query = asked(expert, int(step.ts_ms[-1]), [0], 5)
    assert expert.propose(query, 10).tolist() == [1, 2, 3]
    assert expert.propose(query, 2).tolist() == [1, 2]


def test_a_row_at_its_limit_keeps_its_strongest_followers() -> None:
    noise = [[0, 10 + i] for i in range(40)]
    step = sessions([[0, 1]] * 8 + noise + [[0, 1]] * 2)
    found, _ = asked(fed(step, 60, row_limit=8, backward=0.0), int(step.ts_ms[-1]), [0], 60)
    assert int(np.argmax(found["transitions/ever"])) == 1


def test_a_column_without_evidence_sleeps() -> None:
    expert = fed(sessions([[0, 1]]), 3)
    query = asked(expert, START_MS, [0], 3)[1]
    rest = np.empty(len(expert.names), np.float32)
    stranger = Query(START_MS, NO_ROW, NO_ROW, query.items[:0], query.times[:0], query.kinds[:0], 0)
    expert.score(stranger, np.arange(3, dtype=np.int32), np.empty((3, len(rest)), np.float32), rest)
    assert np.isnan(rest).all()


def _slow(expert: Transitions, query: Query, rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(M, K) masses and (K,) rests as learning would have them told, one row after the other."""
    K = len(expert.names)
    mass, rest = np.empty((len(rows), K), np.float32), np.empty((1, K), np.float32)
    for m, row in enumerate(rows):
        step = Step(
            np.array([query.now_ms]), np.zeros(1, np.int32), np.array([row], np.int32), np.zeros(1, np.int16),
            np.full(1, NO_ROW, np.int16), np.full(1, np.nan, np.float32), np.zeros(1, np.float32),
            np.array([len(query.items)], np.int32), np.array([query.session_n], np.int32), query.items[None],
            query.times[None], query.kinds[None],
        )  # fmt: skip
        expert.observe(step, mass[m : m + 1], rest)
    return mass, rest[0]


@pytest.mark.parametrize("half_lives_s", [(0.0,), (1200.0, 0.0, 60.0), (1200.0, 21600.0, 604800.0, 0.0)])
def test_what_several_are_told_together_is_what_learning_would_tell_each(half_lives_s: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    step = sessions([rng.integers(0, 40, 7).tolist() for _ in range(80)], apart_ms=20 * MINUTE_MS)
    expert = fed(step, 40, half_lives_s=half_lives_s)
    K, now_ms = len(expert.names), START_MS + 40 * 60 * MINUTE_MS
    queries = []
    for length in (0, 1, 5, 12, 30):
        past = rng.integers(0, 40, length).astype(np.int32)
        times, kinds = np.full(length, now_ms, np.int64), np.zeros(length, np.int16)
        queries.append(Query(now_ms + length, NO_ROW, NO_ROW, past, times, kinds, length // 2))
    every = np.concatenate((np.arange(40), [3, 3])).astype(np.int32)
    told = [_slow(expert, query, every.tolist()) for query in queries]
    best, kept = np.empty((len(queries), 25), np.int32), np.empty(len(queries), np.int64)
    expert.propose_into(queries, 25, best, kept)
    proposed = [best[b, :count] for b, count in enumerate(kept.tolist())]
    starts = [b * len(every) for b in range(len(queries) + 1)]
    mass, rest = np.empty((starts[-1], K), np.float32), np.empty((len(queries), K), np.float32)
    expert.score_all(queries, np.tile(every, len(queries)), starts, mass, rest)
    assert [len(rows) for rows in proposed[:1]] == [0]
    for b, query in enumerate(queries):
        own = mass[starts[b] : starts[b + 1]]
        np.testing.assert_allclose(own, told[b][0], rtol=2e-5, atol=1e-9)
        np.testing.assert_allclose(rest[b], told[b][1], rtol=1e-6)
        sums = told[b][0].sum(axis=1)
        assert len(proposed[b]) == min(25, len(set(every[sums > 0].tolist())))
        np.testing.assert_allclose(sums[proposed[b]], np.sort(sums[:40])[::-1][: len(proposed[b])], rtol=1e-5)
        alone, left = np.empty((len(every), K), np.float32), np.empty(K, np.float32)
        fresh = replace(query)
        expert.score(fresh, every, alone, left)
        np.testing.assert_array_equal(alone, own)
        assert expert.propose(fresh, 25).tolist() == proposed[b].tolist()


def test_an_answer_is_not_kept_beyond_what_is_learned_or_forgotten() -> None:
    step = sessions([[0, 1]] * 3)
    expert = fed(step, 3)
    _, query = asked(expert, int(step.ts_ms[-1]), [0], 3)
    assert expert.propose(query, 5).tolist() == [1]
    K = len(expert.names)
    later = sessions([[0, 2]] * 9)
    expert.observe(later, np.empty((len(later), K), np.float32), np.empty((len(later), K), np.float32))
    assert expert.propose(query, 5).tolist() == [2, 1]
    assert expert._last.answer([query]) is not None
    assert expert.forget_actor(0) == 0
    assert expert._last.answer([query]) is None


def test_working_memory_is_kept_for_the_next_portion_but_not_of_who_is_forgotten() -> None:
    step = sessions([[0, 1, 2, 3]] * 3)
    expert = fed(step, 4)
    _, query = asked(expert, int(step.ts_ms[-1]), [0, 1, 2], 4)
    expert.propose(query, 5)
    kept = expert._room
    assert len(kept[2]) > 0
    expert.propose(query, 2)
    assert expert._room is kept
    expert.forget_actor(0)
    assert len(expert._room[2]) == 0
