import numpy as np
import pytest

from everbrook.models.neighbours import SessionNeighbours
from everbrook.settings.neighbours import NeighboursSettings
from everbrook.testing.contracts import EXPERT_CHECKS, Capabilities
from everbrook.testing.streams import START_MS, fold_step, plain_marks
from everbrook.types import NO_ROW, Query

MINUTE_MS = 60_000


def small(**given):
    return SessionNeighbours(NeighboursSettings(**{"sessions": 512, **given}))


def learned(actors, items, weights=None, **given):
    """Events a minute apart; an actor row is a session."""
    expert = small(**given)
    expert.grow(64, 64)
    marks = plain_marks(len(items))
    if weights is not None:
        marks.weight[:] = weights
    step = fold_step(START_MS + MINUTE_MS * np.arange(len(items)), np.array(actors, "i4"), np.array(items, "i4"), marks)
    expert.observe(step, np.empty((len(step), 2), np.float32), np.empty((len(step), 2), np.float32))
    return expert


def asked(*items, actor=NO_ROW, session_n=None):
    rows = np.array(items, np.int32)
    n = len(rows) if session_n is None else session_n
    return Query(START_MS, actor, NO_ROW, rows, np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int16), n)


def scores(expert, query):
    mass, rest = np.empty((64, 2), np.float32), np.empty(2, np.float32)
    expert.score(query, np.arange(64, dtype=np.int32), mass, rest)
    return mass, rest


@pytest.mark.parametrize("name", EXPERT_CHECKS)
def test_session_neighbours_keep_the_contract(name):
    EXPERT_CHECKS[name](small, Capabilities(learns=frozenset({"markov"}), observe_sleeps=True))


def test_an_event_is_in_the_next_list_of_others():
    expert = learned([0, 0], [1, 2])
    assert expert.propose(asked(1), 5).tolist() == [2, 1]


def test_the_own_session_is_no_neighbour():
    expert = learned([0, 0], [1, 2])
    assert len(expert.propose(asked(1, 2, actor=0), 5)) == 0
    assert np.isnan(scores(expert, asked(1, 2, actor=0))[1]).all()


def test_own_items_are_in_the_second_column_only():
    mass, _ = scores(learned([0, 0], [1, 2]), asked(1))
    assert mass[1, 0] == 0
    assert mass[1, 1] > 0


def test_a_pause_opens_a_new_session():
    expert = small()
    expert.grow(64, 64)
    step = fold_step(START_MS + np.array([0, 3_600_000]), np.zeros(2, "i4"), np.array([1, 2], "i4"))
    expert.observe(step, np.empty((2, 2), np.float32), np.empty((2, 2), np.float32))
    assert 2 not in expert.propose(asked(1), 5)


def test_only_the_current_session_asks():
    assert len(learned([0, 0], [1, 2]).propose(asked(1, session_n=0), 5)) == 0


def test_events_without_a_positive_weight_are_not_learned():
    assert learned([0, 0], [1, 2], weights=[1, -1]).propose(asked(1), 5).tolist() == [1]


def test_the_item_after_the_shared_one_weighs_more_than_the_one_before():
    mass, _ = scores(learned([0, 0, 0], [3, 1, 2]), asked(1))
    assert mass[2, 0] > mass[3, 0] > 0


def test_forgotten_sessions_have_no_say():
    actors = np.repeat(np.arange(20), 2)
    items = np.stack((np.full(20, 1), np.arange(20) + 10), axis=1).ravel()
    mass, _ = scores(learned(actors, items, sessions=16), asked(1))
    assert np.flatnonzero(mass[:, 0]).tolist() == list(range(14, 30))


def test_only_the_latest_sessions_of_an_item_are_looked_at():
    actors = np.repeat(np.arange(20), 2)
    items = np.stack((np.full(20, 1), np.arange(20) + 10), axis=1).ravel()
    mass, _ = scores(learned(actors, items, sample=3), asked(1))
    assert np.flatnonzero(mass[:, 0]).tolist() == [27, 28, 29]


def test_more_sessions_leave_less_to_the_base():
    few = scores(learned([0, 0], [1, 2]), asked(1))[1]
    many = scores(learned(np.repeat(np.arange(20), 2), [1, 2] * 20), asked(1))[1]
    assert (many < few).all()
    assert (many >= NeighboursSettings().least_rest).all()


def test_the_reason_is_the_item_that_the_neighbours_share():
    expert = learned([0, 0, 1, 1], [1, 2, 3, 4])
    assert expert.because(asked(1, 3), np.array([2, 4, 9], np.int32)).tolist() == [1, 3, NO_ROW]
