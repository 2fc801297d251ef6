"""The coded copy that lists scan follows every way in which live weights change."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.engine.learning import LiveLearning
from everbrook.engine.publishing import apply, share, take_over
from everbrook.events.columns import EventColumns
from everbrook.models import live_expert, live_scan
from everbrook.models.live_codes import RowCodes
from everbrook.models.live_expert import LiveExpert
from everbrook.settings import load_settings
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World
from everbrook.types import F32, I32, Query

PORTION, LIMIT = 320, 3


@pytest.fixture(scope="module")
def events() -> EventColumns:
    return World(preset("shop")).all_events().slice(0, 3200)


def new_learning() -> LiveLearning:
    given = ("live.width=16", "live.negatives=64", "live.reservoir=512", "learner.ring_point_s=1e7", "live.state_s=0")
    return LiveLearning(load_settings(assignments=given).settings)


def asked(learning: LiveLearning) -> list[Query]:
    now_ms = int(learning.command("standing", {})["clock_ms"]) + 60_000
    found = [learning.state.query(now_ms=now_ms, user=name) for name in list(learning.state.users.names())[:6]]
    return [query for query in found if len(query.items)]


def said(expert: LiveExpert, learning: LiveLearning, monkeypatch: pytest.MonkeyPatch, least: int) -> list[F32 | I32]:
    monkeypatch.setattr(live_expert, "LEAST_ROWS", least)
    rows, told = np.arange(expert.items, dtype=np.int32), []
    expert.changed(expert.stage, expert.canary_share, learning.learner.asker.prior.weights)  # nothing is kept of before
    for query in asked(learning):
        mass, rest = np.empty((len(rows), 1), np.float32), np.empty(1, np.float32)
        told += [expert.propose(query, LIMIT)]
        expert.score(query, rows, mass, rest)
        told += [mass[:, 0]] + [given for a in (False, True) if (given := expert.under(query, rows, a)) is not None]
    return told


def assert_codes_follow(expert: LiveExpert, learning: LiveLearning, monkeypatch: pytest.MonkeyPatch) -> None:
    coded, plain = (said(expert, learning, monkeypatch, least) for least in (1, 10**9))
    assert len(coded) > 3
    for one, other in zip(coded, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-9)
    rows, table = np.arange(expert.items, dtype=np.int32), expert.rows.table
    state = np.random.default_rng(0).normal(size=table.shape[1]).astype(np.float32)
    none = (rows[:0], table)
    for codes, kept in ((expert.codes.live, none), (expert.codes.anchor, (expert.anchor.place, expert.anchor.values))):
        codes.keep_up(table, kept, expert.items, expert.rows.origin)
        fresh = RowCodes(table.shape[1])
        fresh.keep_up(table, kept, expert.items)
        np.testing.assert_array_equal(codes.lifts(state, rows), fresh.lifts(state, rows))


def test_codes_follow_learning_stages_and_going_back(events: EventColumns, monkeypatch: pytest.MonkeyPatch) -> None:
    learning = new_learning()
    here, there = (LiveExpert(learning.settings.live, learning.learner.asker.popularity) for _ in range(2))

    def both_follow() -> None:
        delta = learning.delta()
        if delta is not None:
            apply(delta, there)
        share(learning, here)
        for expert in (here, there):
            expert.grow(learning.state.n_items, 0)
            assert_codes_follow(expert, learning, monkeypatch)

    stages = {4: "shadow", 6: "live", 8: "shadow"}
    for turn, start in enumerate(range(0, 3200, PORTION)):
        learning.take(events.slice(start, start + PORTION), start + PORTION)
        if turn == 5:
            clock_ms = int(learning.command("standing", {})["clock_ms"])
            learning.ring.point("here", start, clock_ms, learning.learner.weights.network.arrays())
        if turn in stages:
            learning.command("override", {"stage": stages[turn]})
        both_follow()
    learning.command("rollback", {"to": "here"})
    both_follow()
    learning.learner.weights.anchor_here(int(learning.command("standing", {})["clock_ms"]))
    both_follow()
    later = LiveExpert(learning.settings.live, learning.learner.asker.popularity)
    take_over(there, later)
    assert_codes_follow(later, learning, monkeypatch)


def test_a_checkpoint_that_is_loaded_is_coded_anew(events: EventColumns, monkeypatch: pytest.MonkeyPatch) -> None:
    learning, other = new_learning(), new_learning()
    expert = LiveExpert(learning.settings.live, learning.learner.asker.popularity)
    learning.take(events.slice(0, 640), 640)
    other.take(events.slice(640, 1280), 640)
    share(learning, expert)
    expert.grow(learning.state.n_items, 0)
    assert_codes_follow(expert, learning, monkeypatch)
    learning.load({part: {name: np.array(a) for name, a in arrays.items()} for part, arrays in other.parts().items()})
    share(learning, expert)
    expert.stand_on(learning.learner.asker.popularity)
    expert.grow(learning.state.n_items, 0)
    assert_codes_follow(expert, learning, monkeypatch)


def test_only_the_expert_that_answers_hears_of_changes(events: EventColumns) -> None:
    learning = new_learning()
    watchers = len(learning.learner.weights.watchers)
    for _ in range(3):
        share(learning, LiveExpert(learning.settings.live, learning.learner.asker.popularity))
    assert len(learning.learner.weights.watchers) == watchers + 1


def test_what_was_coded_of_the_anchor_stands_while_rows_move(
    events: EventColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning, coded = new_learning(), []
    expert = LiveExpert(learning.settings.live, learning.learner.asker.popularity)
    code_rows = live_scan.code_rows
    for start, stop in ((0, 640), (640, 650)):
        learning.take(events.slice(start, stop), stop)
        delta = learning.delta()
        assert delta is not None
        apply(delta, expert)
        expert.grow(learning.state.n_items, 0)
        if not start:
            learning.command("override", {"stage": "live"})
            assert_codes_follow(expert, learning, monkeypatch)
    monkeypatch.setattr(live_scan, "code_rows", lambda *given: coded.append(len(given[1])) or code_rows(*given))
    none, theirs = (np.empty(0, np.int32), expert.rows.table), (expert.anchor.place, expert.anchor.values)
    for codes, kept in ((expert.codes.anchor, theirs), (expert.codes.live, none)):
        coded.clear()
        codes.keep_up(expert.rows.table, kept, expert.items, expert.rows.origin)
        assert bool(coded) == (codes is expert.codes.live)
    assert_codes_follow(expert, learning, monkeypatch)
