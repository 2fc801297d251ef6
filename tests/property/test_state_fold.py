"""The fold against a slow one of dictionaries and lists, and against itself stopped and started."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.events.columns import Coded, EventColumns
from everbrook.events.records import ItemChange
from everbrook.settings.state import StateSettings
from everbrook.state.fold import State
from everbrook.types import Step

GAP_MS = 1000
WEIGHTS = {"view": 1.0, "seen": 0.0, "dislike": -1.0}
SLOW = StateSettings(history_events=5, session_gap_s=GAP_MS / 1000, kinds=WEIGHTS, positive_from={"rating": 3.0})


@dataclass(frozen=True)
class Happening:
    ts_ms: int
    user: str | None
    session: str | None
    item: str
    kind: str
    scenario: str | None
    value: float


@dataclass
class Actor:
    user: bool
    events: list[tuple[int, str, str, object]] = field(default_factory=list)  # time, item, kind, session


@dataclass(frozen=True)
class Known:
    actor: int
    weight: float
    history: list[tuple[int, str, str]]
    session_n: int


class SlowFold:
    """What the fold should do, in plain Python."""

    def __init__(self, history: int) -> None:
        self.history = history
        self.actors: list[Actor] = []
        self.of_user: dict[str, int] = {}
        self.of_session: dict[str, int] = {}

    def fold(self, event: Happening) -> Known:
        actor = self._whose(event)
        events = self.actors[actor].events
        before = [e for e in events if e[0] <= event.ts_ms]
        if event.session is not None:
            session: object = event.session
        elif before and event.ts_ms - before[-1][0] < GAP_MS:
            session = before[-1][3]
        else:
            session = object()
        session_n = 0
        while session_n < len(before) and before[-1 - session_n][3] == session:
            session_n += 1
        weight = self._weight(event)
        if weight != 0.0:
            events.insert(len(before), (event.ts_ms, event.item, event.kind, session))
            del events[: max(0, len(events) - self.history)]
        return Known(actor, weight, [e[:3] for e in before], session_n)

    def _whose(self, event: Happening) -> int:
        guest = self.of_session.get(event.session) if event.session is not None else None
        if event.user is None:
            assert event.session is not None
            return self.of_session.setdefault(event.session, self._new(False) if guest is None else guest)
        actor = self.of_user.get(event.user)
        if guest is not None and not self.actors[guest].user:
            if actor is None:
                actor = guest
                self.actors[guest].user = True
            else:
                both = [*self.actors[actor].events, *self.actors[guest].events]
                self.actors[actor].events = sorted(both, key=lambda e: e[0])[-self.history :]
                self.actors[guest] = Actor(user=True)
        if actor is None:
            actor = self._new(True)
        self.of_user[event.user] = actor
        if event.session is not None:
            self.of_session[event.session] = actor
        return actor

    def _new(self, user: bool) -> int:
        self.actors.append(Actor(user))
        return len(self.actors) - 1

    @staticmethod
    def _weight(event: Happening) -> float:
        if event.kind == "rating" and event.value < 3.0:
            return -1.0
        return WEIGHTS.get(event.kind, 1.0)


def happenings(most: int = 60) -> st.SearchStrategy[list[Happening]]:
    users = st.sampled_from([None, None, "ann", "bob", "ünal"])
    sessions = st.sampled_from([None, "s1", "s2", "s3", "s4"])
    who = st.tuples(users, sessions).filter(lambda pair: pair != (None, None))
    event = st.builds(
        lambda pause, who, item, kind, scenario, value: (pause, who, item, kind, scenario, value),
        st.sampled_from([0, 0, 1, 400, 999, 1000, 5000, -1, -700, -6000]), who, st.sampled_from("abcdefg"),
        st.sampled_from(["view", "view", "buy", "seen", "dislike", "rating"]), st.sampled_from([None, "home", "cart"]),
        st.sampled_from([float("nan"), 1.0, 4.0]),
    )

    def timed(drafts: list[tuple]) -> list[Happening]:
        now_ms, made = 1_700_000_000_000, []
        for pause, (user, session), item, kind, scenario, value in drafts:
            now_ms += pause
            made.append(Happening(now_ms, user, session, item, kind, scenario, value))
        return made

    return st.lists(event, min_size=1, max_size=most).map(timed)


def columns_of(events: list[Happening]) -> EventColumns:
    def coded(name: str) -> Coded:
        texts = [getattr(event, name) for event in events]
        names = sorted({text for text in texts if text is not None}, reverse=True)  # not the order of arrival
        return Coded(np.array([names.index(text) if text is not None else -1 for text in texts], np.int32), names)

    return EventColumns(
        np.array([event.ts_ms for event in events], np.int64), coded("user"), coded("session"), coded("item"),
        coded("kind"), coded("scenario"), np.array([event.value for event in events], np.float32),
    )


def in_words(state: State, step: Step) -> list[Known]:
    def history(b: int) -> list[tuple[int, str, str]]:
        n = step.n[b]
        items, kinds = state.items.ids(step.items[b, :n]), state.kinds.names.ids(step.kinds[b, :n])
        return list(zip(step.times[b, :n].tolist(), items, kinds, strict=True))

    return [
        Known(int(step.actor[b]), float(step.weight[b]), history(b), int(step.session_n[b])) for b in range(len(step))
    ]


def fold_all(state: State, events: list[Happening], cuts: list[int]) -> list[Known]:
    columns, known = columns_of(events), []
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for start, stop in pairwise(edges):
        known += in_words(state, state.fold(columns.slice(start, stop)))
    return known


def assert_same(left: State, right: State) -> None:
    mine, theirs = left.arrays(), right.arrays()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype, name
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@settings(max_examples=150, deadline=None)
@given(happenings(), st.sampled_from([1, 2, 4, 5, 9]))
def test_the_fold_knows_what_a_slow_fold_knows(events: list[Happening], history: int) -> None:
    state = State(msgspec.structs.replace(SLOW, history_events=history))
    slow = SlowFold(history)
    assert fold_all(state, events, []) == [slow.fold(event) for event in events]
    for row, actor in enumerate(slow.actors):
        past = state.histories.past(row)
        assert list(zip(past.times.tolist(), state.items.ids(past.items), strict=True)) == [e[:2] for e in actor.events]


@settings(max_examples=60, deadline=None)
@given(happenings(), st.lists(st.integers(0, 60), max_size=5))
def test_a_stream_folds_the_same_however_it_is_cut(events: list[Happening], cuts: list[int]) -> None:
    whole, cut = State(SLOW), State(SLOW)
    assert fold_all(whole, events, []) == fold_all(cut, events, cuts)
    assert_same(whole, cut)


@settings(max_examples=60, deadline=None)
@given(happenings(), st.integers(0, 60))
def test_a_checkpoint_and_the_tail_make_the_same_state(events: list[Happening], cut: int) -> None:
    whole, first, second = State(SLOW), State(SLOW), State(SLOW)
    known = fold_all(whole, events, [])
    before = fold_all(first, events[:cut], []) if events[:cut] else []
    second.load(first.arrays())
    assert_same(first, second)
    after = fold_all(second, events[cut:], []) if events[cut:] else []
    assert before + after == known
    assert_same(whole, second)


@settings(max_examples=60, deadline=None)
@given(happenings())
def test_a_question_is_what_the_next_event_finds(events: list[Happening]) -> None:
    state = State(SLOW)
    for event in events:
        scenario = event.scenario if event.scenario in state.scenarios else None
        query = state.query(now_ms=event.ts_ms, user=event.user, session=event.session, scenario=scenario)
        found = state.fold(columns_of([event])).query(0)
        if (query.times > event.ts_ms).any():
            continue  # a late event finds only what was before it
        np.testing.assert_array_equal(query.items, found.items)
        np.testing.assert_array_equal(query.times, found.times)
        np.testing.assert_array_equal(query.kinds, found.kinds)
        assert query.session_n == found.session_n


@settings(max_examples=40, deadline=None)
@given(happenings())
def test_a_fold_without_contexts_makes_the_same_state(events: list[Happening]) -> None:
    with_contexts, without = State(SLOW), State(SLOW)
    with_contexts.fold(columns_of(events))
    step = without.fold(columns_of(events), contexts=False)
    assert_same(with_contexts, without)
    assert not step.n.any()
    assert step.items.shape == (len(events), 0)


@settings(max_examples=40, deadline=None)
@given(happenings())
def test_counters_decay_as_their_formula_says(events: list[Happening]) -> None:
    state = State(SLOW)
    fold_all(state, events, [len(events) // 2])
    now_ms = max(event.ts_ms for event in events) + 2_000_000
    for half_life_s in (*SLOW.counter_half_lives_s, None):
        for scenario in (None, *state.scenarios):
            expected = np.zeros(state.n_items)
            for event in events:
                if scenario in (None, event.scenario):
                    age_s = (now_ms - event.ts_ms) / 1000
                    expected[state.items.row(event.item)] += 1 if half_life_s is None else 0.5 ** (age_s / half_life_s)
            totals = state.counters.totals(
                state.n_items, now_ms, half_life_s=half_life_s, scenario=state.scenario_row(scenario)
            )
            np.testing.assert_allclose(totals, expected, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    happenings(), st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.sampled_from("abcd")), max_size=8),
    st.integers(0, 60),
)
def test_a_deleted_item_is_not_shown_until_it_is_told_of_wherever_a_checkpoint_lies(
    events: list[Happening], turns: list[tuple[int, bool, str]], cut: int
) -> None:
    whole, stopped, deleted = State(SLOW), State(SLOW), set[str]()
    for n, event in enumerate(events):
        for state in (whole, stopped):
            state.fold(columns_of([event]))
            for place, told, item in turns:
                if place == n and told:
                    state.put_items([ItemChange(id=item)])
                elif place == n:
                    state.forget_item(item)
        for place, told, item in turns:
            if place == n:
                known = whole.items.names()
                deleted = deleted - {item} if told else deleted | ({item} & set(known))
        if n == cut:
            arrays = stopped.arrays()
            stopped = State(SLOW)
            stopped.load(arrays)
        names = whole.items.names()
        assert {name for name, seen in zip(names, whole.visible(0).tolist(), strict=True) if not seen} == deleted
        assert {name for name in names if whole.items.row(name) < 0} == deleted
    assert_same(whole, stopped)


@settings(max_examples=60, deadline=None)
@given(happenings(), st.integers(0, 60), st.sampled_from(["ann", "bob", "s1"]))
def test_forgetting_touches_nobody_else_and_survives_a_checkpoint(
    events: list[Happening], cut: int, who: str
) -> None:
    whole, second, untouched = State(SLOW), State(SLOW), State(SLOW)
    for state in (whole, untouched):
        fold_all(state, events[:cut], []) if events[:cut] else None
    removed = whole.forget_user(who)
    for row in range(whole.n_actors):
        if row != removed.actor:
            left, right = whole.histories.past(row), untouched.histories.past(row)
            np.testing.assert_array_equal(left.items, right.items)
            np.testing.assert_array_equal(left.times, right.times)
    second.load(whole.arrays())
    if events[cut:]:
        assert fold_all(whole, events[cut:], []) == fold_all(second, events[cut:], [])
    assert_same(whole, second)
