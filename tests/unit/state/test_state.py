"""What the state keeps, forgets and answers."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.errors import DataError, RecordError, UnknownNameError
from everbrook.events.columns import EventColumns
from everbrook.events.records import Deletion, Event, ItemChange, UserChange
from everbrook.settings.state import StateSettings
from everbrook.state import State

T0 = 1_700_000_000_000


def event(item: str, user: str | None = "ann", at_s: float = 0, **fields: object) -> Event:
    return Event(item=item, user=user, ts=T0 + int(1000 * at_s), **fields)  # type: ignore[arg-type]


def folded(*events: Event, settings: StateSettings | None = None) -> State:
    state = State(settings)
    if events:
        state.fold(EventColumns.from_records(events))
    return state


def history(state: State, **who: object) -> list[str]:
    return state.items.ids(state.query(now_ms=T0 + 10**6, **who).items)  # type: ignore[arg-type]


def test_a_read_never_adds_anything() -> None:
    state = folded(event("a", session="s", scenario="home"), event("b", at_s=5))
    state.put_items([ItemChange(id="a", categories=["shoes"])])
    before = state.arrays()
    for n in range(1000):
        unknown = {"user": f"stranger {n}", "session": f"visit {n}", "item": f"item {n}"}
        state.query(now_ms=T0, items=[f"x{n}", "a"], scenario="home", **unknown)
        state.seen(n)
        state.visible(T0 + n)
        state.in_categories(["shoes"])
        state.histories.past(n)
        state.people.properties(n)
        state.counters.totals(state.n_items, T0 + n, half_life_s=3600.0)
        assert state.counters.windows is not None
        state.counters.windows.totals(state.n_items, T0 + n, 3600)
        state.born_ms()
    after = state.arrays()
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


def test_a_stranger_has_an_empty_history() -> None:
    query = folded(event("a")).query(now_ms=T0, user="nobody", session="none")
    assert (query.actor, query.scenario, len(query.items), query.session_n) == (-1, -1, 0, 0)


def test_items_named_in_the_question_count_as_the_sessions_latest() -> None:
    state = folded(event("a", at_s=0), event("b", at_s=5000), event("c", at_s=5001))
    query = state.query(now_ms=T0 + 5_010_000, user="ann", item="a", items=["unknown", "b"])
    assert state.items.ids(query.items) == ["a", "b", "c", "b", "a"]
    assert query.session_n == 4
    assert query.times[-2:].tolist() == [T0 + 5_010_000] * 2
    assert state.query(now_ms=T0, item="a").session_n == 1


def test_a_session_goes_on_by_its_id_or_by_a_short_pause() -> None:
    state = folded(event("a", at_s=0), event("b", at_s=10, session="s1"), event("c", at_s=20, session="s1"))
    late_ms = T0 + 10**9
    assert state.query(now_ms=late_ms, user="ann", session="s1").session_n == 2
    assert state.query(now_ms=late_ms, user="ann").session_n == 0
    assert state.query(now_ms=T0 + 30_000, user="ann").session_n == 2
    assert state.query(now_ms=T0 + 30_000, user="ann", session="new").session_n == 0


def test_a_guest_who_signs_in_brings_the_history_along() -> None:
    state = folded(event("a", at_s=0), event("b", None, 10, session="s"), event("c", None, 20, session="s"))
    assert history(state, session="s") == ["b", "c"]
    assert history(state, user="ann", session="s") == ["a", "b", "c"]
    state.fold(EventColumns.from_records([event("d", "ann", 30, session="s"), event("e", None, 40, session="s")]))
    assert history(state, user="ann") == ["a", "b", "c", "d", "e"]
    assert state.query(now_ms=T0, session="s").actor == state.query(now_ms=T0, user="ann").actor


def test_a_user_never_gets_what_another_did_in_the_same_session() -> None:
    state = folded(event("a", "ann", session="shared"))
    assert history(state, user="bob", session="shared") == []
    assert history(state, user="ann", session="shared") == ["a"]


def test_events_that_come_late_take_their_place_in_time() -> None:
    state = folded(event("c", at_s=30), event("a", at_s=10), event("b", at_s=20))
    assert history(state, user="ann") == ["a", "b", "c"]


def test_only_seen_events_stay_out_of_histories_and_dislikes_do_not() -> None:
    state = folded(event("a", kind="seen"), event("b", kind="dislike"), event("c"))
    assert history(state, user="ann") == ["b", "c"]
    actor = state.query(now_ms=T0, user="ann").actor
    assert state.items.ids(state.seen(actor)) == ["b", "c"]
    assert state.items.ids(state.seen(actor, ["dislike"])) == ["b"]
    assert len(state.seen(-1)) == 0


def test_weights_come_from_the_kind_and_where_asked_from_the_value() -> None:
    state = State(StateSettings(kinds={"view": 0.5}, kind_default=2.0, positive_from={"rating": 3.5}))
    step = state.fold(EventColumns.from_records([
        event("a"), event("a", kind="buy"), event("a", kind="rating", value=4.0), event("a", kind="rating", value=1.0),
        event("a", kind="rating"),
    ]))
    assert step.weight.tolist() == [0.5, 2.0, 2.0, -1.0, 2.0]


def test_an_unknown_scenario_names_the_known_ones() -> None:
    state = folded(event("a", scenario="home"), settings=StateSettings(scenarios=("cart",)))
    assert state.query(now_ms=T0, scenario="cart").scenario == 0
    with pytest.raises(UnknownNameError) as caught:
        state.query(now_ms=T0, scenario="hom")
    assert str(caught.value) == "Unknown scenario 'hom'. Did you mean 'home'? Known: cart, home."
    assert caught.value.type == "unknown_scenario"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("item", "Record 1: An event must have an item; got none."),
        ("user", "Record 1: An event must have a user or a session; got neither."),
    ],
)
def test_a_batch_with_a_wrong_event_leaves_no_trace(column: str, message: str) -> None:
    columns = EventColumns.from_records([event("a"), event("b", "bob")])
    getattr(columns, column).codes[1] = -1
    state = State()
    with pytest.raises(RecordError) as caught:
        state.fold(columns)
    assert str(caught.value) == message
    assert (state.n_items, state.n_actors, len(state.users)) == (0, 0, 0)


def test_a_time_that_no_history_can_hold_is_refused() -> None:
    columns = EventColumns.from_records([event("a")])
    columns.ts_ms[0] = 2**60
    with pytest.raises(RecordError) as caught:
        State().fold(columns)
    assert str(caught.value) == (
        f"Record 0: A time must be milliseconds since 1970, within 4,400 years of it; got {2**60}."
    )


def test_forgetting_a_user_leaves_nothing_of_them() -> None:
    state = folded(event("a", session="s1"), event("b", session="s2"), event("c", "bob"))
    state.put_users([UserChange(id="ann", properties={"country": "DE"})])
    removed = state.forget(Deletion(what="user", id="ann", ts=T0))
    assert (removed.events, set(removed.sessions), removed.record, removed.actor) == (2, {"s1", "s2"}, True, 0)
    assert history(state, user="ann", session="s1") == []
    stored = b"".join(array.tobytes() for array in state.arrays().values())
    assert not any(word in stored for word in (b"ann", b"s1", b"s2", b"DE"))
    state.fold(EventColumns.from_records([event("d", "ann"), event("e", None, session="s1")]))
    assert state.users.row("ann") == 2
    assert state.query(now_ms=T0, user="ann").actor not in (-1, removed.actor)
    assert history(state, user="ann") == ["d"]
    assert state.forget_user("nobody").row == -1


@pytest.mark.parametrize("stored", [False, True])
def test_a_forgotten_item_counts_but_is_not_shown_until_it_is_told_of_again(stored: bool) -> None:
    state = folded(event("a"), event("b"))
    assert state.forget(Deletion(what="item", id="a", ts=T0)).row == 0
    if stored:
        state, before = State(), state
        state.load(before.arrays())
    many = [event("a", "bob"), event("c", "bob")] * 40  # as columns, and one by one
    for records in (many, [event("a", "bob")]):
        state.fold(EventColumns.from_records(records))
        assert (state.items.row("a"), state.visible(T0).tolist()) == (-1, [False, True, True])
    assert state.forget_item("a") == -1
    state.put_items([ItemChange(id="a", title="again")])
    assert (state.items.row("a"), state.visible(T0).tolist()) == (0, [True, True, True])
    assert state.counters.totals(3, T0, half_life_s=None).tolist() == [42.0, 1.0, 40.0]
    assert (state.catalogue.gone, state.forget_item("unknown")) == ([], -1)


def test_a_state_comes_back_from_its_arrays() -> None:
    state = folded(*(event(f"i{n % 7}", f"u{n % 3}", n, session=f"s{n % 5}", kind="buy") for n in range(200)))
    state.put_items([ItemChange(id="i1", title="One", categories=["x"], expires=T0 + 5)])
    state.put_items([ItemChange(id="i9", hidden=True)])
    state.put_users([UserChange(id="u1", properties={"age": 3})])
    state.forget_item("i2")
    state.forget_user("u2")
    other = State()
    other.load(state.arrays())
    assert {name: array.tolist() for name, array in other.arrays().items()} == {
        name: array.tolist() for name, array in state.arrays().items()
    }
    assert other.visible(T0 + 6).tolist() == state.visible(T0 + 6).tolist()
    assert other.catalogue.title(other.items.row("i1")) == "One"
    assert other.people.properties(other.users.row("u1")) == {"age": 3}


def test_a_state_of_other_half_lives_is_refused() -> None:
    with pytest.raises(DataError, match=r"^A stored state must have .*; got .*\. Replay the log to make it anew\.$"):
        State(StateSettings(counter_half_lives_s=(60.0,))).load(State().arrays())


def test_shorter_histories_take_the_last_events_of_longer_ones() -> None:
    state = folded(*(event(f"i{n}", at_s=n) for n in range(10)))
    other = State(StateSettings(history_events=3))
    other.load(state.arrays())
    assert history(other, user="ann") == ["i7", "i8", "i9"]


def test_steps_cut_a_long_stream_without_changing_it() -> None:
    columns = EventColumns.from_records([event(f"i{n % 5}", f"u{n % 3}", n) for n in range(100)])
    whole, cut = State().fold(columns), list(State().steps(columns, batch_events=7))
    assert [len(step) for step in cut] == [7] * 14 + [2]
    assert [n for step in cut for n in step.n.tolist()] == whole.n.tolist()


def test_an_item_is_born_when_its_record_says_or_else_at_its_first_event() -> None:
    state = folded(event("a", at_s=5), event("a", at_s=3), event("b", at_s=9))
    state.put_items([ItemChange(id="b", ts=T0 - 7)])
    assert state.born_ms().tolist() == [T0 + 3000, T0 - 7]


def test_an_empty_batch_changes_nothing() -> None:
    state = folded(event("a"))
    assert len(state.fold(EventColumns.empty())) == 0
    assert state.n_actors == 1


def test_events_of_many_kinds_are_counted_kind_by_kind() -> None:
    state = State(StateSettings(kinds={"view": 1.0}))
    for size in (1, 30, 200):
        state.fold(EventColumns.from_records([event("a", kind=f"k{n % 100}") for n in range(size)]))
    rows = state.kinds.names.rows([f"k{n}" for n in range(100)])
    expected = [2 + (n < 30) + (n == 0) for n in range(100)]
    assert state.kinds.events()[rows].tolist() == expected


def test_items_named_in_a_question_are_of_the_commonest_kind_that_speaks_for_items() -> None:
    def named(state: State) -> list[str]:
        return state.kinds.names.ids(state.query(now_ms=T0, items=["a"]).kinds)

    state = State(StateSettings(kinds={"seen": 0.0, "dislike": -1.0, "view": 1.0, "buy": 2.0}))
    state.put_items([ItemChange(id="a")])
    assert named(state) == ["view"]
    for kind, size in (("dislike", 9), ("seen", 8), ("buy", 2), ("view", 1)):
        state.fold(EventColumns.from_records([event("a", f"u{n}", n, kind=kind) for n in range(size)]))
    assert named(state) == ["buy"]
    again = State(StateSettings(kinds={"seen": 0.0, "dislike": -1.0, "view": 1.0, "buy": 2.0}))
    again.load(state.arrays())
    assert named(again) == ["buy"]
    state.fold(EventColumns.from_records([event("a", kind="share")] * 3))  # of a kind that the settings do not name
    assert named(state) == ["share"]
