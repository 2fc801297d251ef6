"""What is known of several who ask together is what is known of each who asks alone."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.engine.wishes import disliked_of
from everbrook.events.columns import EventColumns
from everbrook.events.records import Deletion, Event
from everbrook.settings.state import StateSettings
from everbrook.state import State
from everbrook.state.asking import UNNAMED, queries_of
from everbrook.types import NO_ROW

T0 = 1_700_000_000_000
PEOPLE, VISITS, ITEMS = 8, 150, 15


def lived(seed: int, history_events: int, seen_items: int) -> State:
    """Guests, users, sessions that change hands, pauses, late events, items that are not wanted, somebody forgotten."""
    rng = np.random.default_rng(seed)
    state = State(StateSettings(
        history_events=history_events, seen_items=seen_items, kinds={"view": 1.0, "skip": -1.0, "impression": 0.0},
    ))  # fmt: skip
    now_ms = T0
    for _ in range(30):
        events = []
        for _ in range(10):
            now_ms += int(rng.choice([1_000, 60_000, 4_000_000]))
            user = f"u{rng.integers(PEOPLE)}" if rng.random() < 0.7 else None
            session = f"s{rng.integers(VISITS)}" if user is None or rng.random() < 0.4 else None
            kind = str(rng.choice(["view", "skip", "impression"], p=[0.85, 0.05, 0.1]))
            ts = now_ms - int(rng.integers(0, 10_000_000)) * (rng.random() < 0.1)
            events.append(Event(item=f"i{rng.integers(ITEMS)}", user=user, session=session, kind=kind, ts=int(ts)))
        state.fold(EventColumns.from_records(events))
    state.forget(Deletion(what="user", id="u0", ts=now_ms))
    return state


@pytest.mark.parametrize(("history_events", "seen_items"), [(1, 0), (5, 2), (64, 512)])
def test_several_who_ask_together_are_known_as_each_alone(history_events: int, seen_items: int) -> None:
    joined = told = unwanted = 0
    for seed in range(6):
        state, rng = lived(seed, history_events, seen_items), np.random.default_rng(seed)
        now_ms = int(max(state.histories.past(actor).times.max(initial=T0) for actor in range(state.n_actors)))
        now_ms += int(rng.integers(0, 4_000_000))
        wishes, askers, given = [], [], []
        for _ in range(60):
            user = f"u{rng.integers(PEOPLE + 1)}" if rng.random() < 0.7 else None
            session = f"s{rng.integers(VISITS + 2)}" if rng.random() < 0.5 else None
            named = [f"i{n}" for n in rng.integers(0, ITEMS, rng.choice([0, 0, 1, 3, 70])).tolist()]
            wishes.append((user, session, named))
            askers.append((
                UNNAMED if user is None else state.users.row(user),
                UNNAMED if session is None else state.sessions.row(session), len(named),
            ))  # fmt: skip
            given += state.items.rows(named).tolist()
        before = state.arrays()
        scenarios = rng.integers(-1, 3, len(wishes)).tolist()
        found = queries_of(state, now_ms, askers, scenarios, given)
        for (user, session, named), asker, scenario, one in zip(wishes, askers, scenarios, found, strict=True):
            alone = state.query(now_ms=now_ms, user=user, session=session, items=named)
            if one is None:
                assert state.histories.guest_beside(alone.actor, asker[1]) != NO_ROW
                joined += 1
                continue
            query, has_unwanted = one
            assert (query.now_ms, query.scenario, query.text) == (now_ms, scenario, None)
            assert (query.actor, query.session_n) == (alone.actor, alone.session_n)
            for name in ("items", "times", "kinds"):
                np.testing.assert_array_equal(getattr(query, name), getattr(alone, name))
                assert getattr(query, name).dtype == getattr(alone, name).dtype
            negative = state.kinds.negative()[alone.kinds].any()
            assert has_unwanted == bool(negative or state.remembered.has_unwanted(alone.actor))
            assert has_unwanted or not len(disliked_of(state, alone))
            told, unwanted = told + 1, unwanted + has_unwanted
        for name, array in state.arrays().items():
            np.testing.assert_array_equal(before[name], array)
    assert min(joined, unwanted, told - unwanted) > 0


def test_nobody_is_known_where_nothing_happened() -> None:
    ((query, unwanted),) = [one for one in queries_of(State(), T0, [(NO_ROW, UNNAMED, 0)], [NO_ROW], []) if one]
    assert (query.actor, len(query.items), query.session_n, unwanted) == (NO_ROW, 0, 0, False)
