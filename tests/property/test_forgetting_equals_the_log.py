"""Whoever shares sessions with whomever: after people were forgotten, state and cleaned log know the same."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from everbrook.events.columns import EventColumns
from everbrook.events.records import Deletion, Event, Impression
from everbrook.events.sqlite_log import SqliteLog
from everbrook.settings.log import LogSettings
from everbrook.state import State

USERS, SESSIONS = ("ann", "bob", "cid"), ("s-1", "s-2", "s-3", "s-4")


def _follow(state: State, log: SqliteLog, start: int) -> int:
    for run in log.runs(start):
        if run.events is not None:
            state.fold(run.events)
        for record in run.records:
            if isinstance(record, Deletion):
                state.forget(record)
    return log.end


def _known(state: State) -> dict[str, Any]:
    """Histories, what was met and sessions of every user, and every guest's history."""
    told: dict[str, Any] = {}
    for user in USERS:
        row = state.users.row(user)
        actor = state.histories.actor_of(row, -1, named=True)
        sessions = sorted(state.sessions.id(one) for one in state.histories.sessions_of(actor))
        met = state.remembered.of(actor)
        told[user] = (_past(state, actor), sorted(map(state.items.id, met.items.tolist())), sessions)
    for session in SESSIONS:
        row = state.sessions.row(session)
        told[session] = _past(state, state.histories.actor_of(-1, row, named=False))
    return told


def _past(state: State, actor: int) -> list[tuple[str, int]]:
    past = state.histories.past(actor)
    return [(state.items.id(item), ts_ms) for item, ts_ms in zip(past.items.tolist(), past.times.tolist(), strict=True)]


def _some(rng: random.Random, first: int) -> list[Event]:
    """Events of users in and out of sessions, and of sessions alone."""
    events = []
    for n in range(first, first + rng.randrange(1, 12)):
        user, session = rng.choice((*USERS, None, None)), rng.choice((*SESSIONS, None))
        if user or session:
            events.append(Event(user=user, session=session, item=f"i{rng.randrange(9)}", ts=1000 * n, id=f"e{n}"))
    return events


@pytest.mark.parametrize("seed", range(12))
def test_what_the_state_knows_is_what_the_cleaned_log_says(seed: int, tmp_path: Path) -> None:
    rng, state, at, gone = random.Random(seed), State(), 0, 0
    with SqliteLog.open(tmp_path / "log", LogSettings(seal_events=0)) as log:
        for turn in range(25):
            if events := _some(rng, 100 * turn):
                log.append_columns(EventColumns.from_records(events)) if rng.random() < 0.2 else log.append(events)
            log.append([Impression(request=f"r{turn}", items=(), ts=turn, session=rng.choice(SESSIONS))])
            if rng.random() < 0.15:
                log.seal()
            at = _follow(state, log, at)
            if rng.random() < 0.2:
                user = rng.choice(USERS)
                stop = log.append([Deletion(what="user", id=user, ts=turn)]).stop
                at = _follow(state, log, at)
                log.erase(user, stop)
                gone += 1
                fresh = State()
                _follow(fresh, log, 0)
                assert _known(state) == _known(fresh)
                assert _past(state, state.histories.actor_of(state.users.row(user), -1, named=True)) == []
    assert gone


def test_what_others_did_in_a_session_that_ends_stays_theirs(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "log", LogSettings(seal_events=0)) as log:
        for n, user in enumerate((None, "ann", None, "bob", None)):
            log.append([Event(user=user, session="s-1", item=f"i{n}", ts=n)])
        log.append([Impression(request=f"r{n}", items=(), ts=n, session="s-1") for n in range(2)])
        stop = log.append([Deletion(what="user", id="bob", ts=9)]).stop
        assert log.erase("bob", stop).events == 2
        kept = [record for run in log.runs(0) if run.events is not None for record in run.events.records()]
        assert [(one.user, one.session, one.item) for one in kept] == [("ann", None, f"i{n}") for n in range(3)]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"s-1" in path.read_bytes() or b"bob" in path.read_bytes()]


def test_a_session_that_led_elsewhere_later_goes_on(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path / "log", LogSettings(seal_events=0)) as log:
        for n, user in enumerate((None, "ann", None, "bob", None)):
            log.append([Event(user=user, session="s-1", item=f"i{n}", ts=n)])
        stop = log.append([Deletion(what="user", id="ann", ts=9)]).stop
        assert log.erase("ann", stop).events == 3
        kept = [record for run in log.runs(0) if run.events is not None for record in run.events.records()]
        assert [(one.user, one.session, one.item) for one in kept] == [("bob", "s-1", "i3"), (None, "s-1", "i4")]
