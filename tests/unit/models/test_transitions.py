"""Transitions on small stories whose answer can be told by hand."""

from __future__ import annotations

import numpy as np

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
