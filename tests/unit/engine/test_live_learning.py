"""Learning live: tested before it learns, better for it, undone by rolling back, the same after a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everbrook import Recommender
from everbrook.engine.learning import LiveLearning
from everbrook.engine.publishing import apply, share
from everbrook.errors import InputError, UnknownNameError
from everbrook.events.columns import EventColumns
from everbrook.events.log import Run
from everbrook.events.records import Deletion, Event
from everbrook.learn.deltas import decode, encode
from everbrook.models.live_expert import LiveExpert
from everbrook.settings import Settings, load_settings
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World
from everbrook.types import Query

FEW = 64


def settings(*more: str) -> Settings:
    given = ("live.width=16", "live.negatives=64", "live.reservoir=512", "live.tested=1.0", "learner.ring_point_s=60")
    return load_settings(assignments=(*given, *more)).settings


@pytest.fixture(scope="module")
def events() -> EventColumns:
    return World(preset("shop")).all_events().slice(0, 6400)


def learned(events: EventColumns, start: int, stop: int, learning: LiveLearning) -> np.ndarray:
    """Log-probabilities of what came, portion by portion."""
    parts = []
    for first in range(start, stop, FEW):
        last = min(first + FEW, stop)
        parts.append(learning.take(events.slice(first, last), last).live)
    return np.concatenate(parts)


def arrays_of(learning: LiveLearning) -> dict[str, np.ndarray]:
    return {f"{part}/{name}": np.array(a) for part, arrays in learning.parts().items() for name, a in arrays.items()}


def assert_same(one: LiveLearning, two: LiveLearning) -> None:
    assert_same_arrays(arrays_of(one), arrays_of(two))


def test_learning_makes_what_comes_next_more_probable_than_popularity_does(events: EventColumns) -> None:
    learning, idle = LiveLearning(settings()), LiveLearning(settings("live.row_rate=1e-9", "live.network_rate=1e-9"))
    last = slice(-1500, None)
    gained = learned(events, 0, 6400, learning)[last].mean() - learned(events, 0, 6400, idle)[last].mean()
    assert gained > 0.1


def test_a_portion_is_tested_before_anything_learns_it(events: EventColumns) -> None:
    """What is said of a portion does not depend on what its own events would have taught."""
    one, two = LiveLearning(settings()), LiveLearning(settings())
    learned(events, 0, 1280, one)
    two.load(one.parts())
    two.settings = one.settings
    resting = two.learner.take
    two.learner.take = lambda *a, **k: resting(*a, **(k | {"learn": False}))  # type: ignore[method-assign]
    told = [each.take(events.slice(1280, 1344), 1344).live for each in (one, two)]
    np.testing.assert_array_equal(*told)


def test_what_was_kept_and_loaded_goes_on_as_if_nothing_had_happened(events: EventColumns) -> None:
    whole, cut = LiveLearning(settings()), LiveLearning(settings())
    learned(events, 0, 3200, whole)
    learned(events, 0, 1600, cut)
    again = LiveLearning(settings())
    again.load({part: {name: np.array(a) for name, a in arrays.items()} for part, arrays in cut.parts().items()})
    learned(events, 1600, 3200, again)
    assert_same(whole, again)


def test_files_keep_everything(events: EventColumns, tmp_path) -> None:  # type: ignore[no-untyped-def]
    one, two = LiveLearning(settings()), LiveLearning(settings())
    learned(events, 0, 1280, one)
    one.snapshot_to(tmp_path)
    two.load_from(tmp_path)
    assert_same(one, two)


def test_going_back_to_a_version_makes_the_weights_what_they_were(events: EventColumns) -> None:
    learning = LiveLearning(settings("learner.ring_point_s=1e7"))
    learned(events, 0, 1920, learning)
    weights = learning.learner.weights
    learning.ring.point("here", 1920, int(learning.command("standing", {})["clock_ms"]), weights.network.arrays())
    before = [table[: weights.rows.count].copy() for table in weights.tables]
    network = weights.network.arrays()
    learned(events, 1920, 2560, learning)
    count = len(before[0])
    assert not np.array_equal(weights.rows.table[:count], before[0])
    told = learning.command("rollback", {"to": "here"})
    assert told["rows"] > 0
    for now, then in zip(weights.tables, before, strict=True):
        np.testing.assert_array_equal(now[:count], then)
    for name, array in weights.network.arrays().items():
        np.testing.assert_array_equal(array, network[name])
    assert learning.command("standing", {})["versions"][0]["version"] == "here"


def test_a_version_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownNameError, match="live-7"):
        LiveLearning(settings()).command("rollback", {"to": "live-7"})
    with pytest.raises(InputError, match="'to' must be the name of a version"):
        LiveLearning(settings()).command("rollback", {})


@pytest.mark.parametrize("stage", ["shadow", "canary", "live"])
def test_a_server_that_is_sent_deltas_answers_as_one_that_shares_the_weights(events: EventColumns, stage: str) -> None:
    learning = LiveLearning(settings())
    here, there = (LiveExpert(learning.settings.live, learning.learner.asker.popularity) for _ in range(2))
    for start in range(0, 2560, 640):
        learned(events, start, start + 640, learning)
        if start == 640:
            learning.command("override", {"stage": stage})
        delta = learning.delta()
        assert delta is not None
        apply(decode(encode(delta)), there)
    share(learning, here)
    here.grow(learning.state.n_items, 0)
    there.grow(learning.state.n_items, 0)
    assert there.stage == here.stage == learning.gate.stage
    rows = np.arange(learning.state.n_items, dtype=np.int32)
    for query in queries(learning):
        told = []
        for expert in (here, there):
            mass, rest = np.empty((len(rows), 1), np.float32), np.empty(1, np.float32)
            expert.score(query, rows, mass, rest)
            told.append(np.append(mass[:, 0], rest))
        np.testing.assert_allclose(told[0], told[1], rtol=1e-5, atol=1e-8)
        np.testing.assert_array_equal(here.propose(query, 20), there.propose(query, 20))


def test_items_that_only_the_learner_knows_yet_are_in_no_list(tmp_path: Path, events: EventColumns) -> None:
    """Its process reads what is durable; who makes lists may take that in a moment later."""
    given, few = settings("learner.mode=off", "live.scored=100000"), events.slice(0, 40)
    learning = LiveLearning(given)
    learned(events, 0, 2560, learning)
    learning.command("override", {"stage": "live"})
    delta = learning.delta()
    assert delta is not None
    with Recommender.open(tmp_path / "data", given) as shop:
        shop.import_columns(few)
        known = {few.item.names[code] for code in few.item.codes.tolist()}
        expert = shop._core.family(LiveExpert)
        assert expert is not None
        apply(delta, expert)
        assert learning.state.n_items > 2 * len(known)
        people = [few.user.names[code] for code in few.user.codes.tolist() if code >= 0]
        for name in people:
            shown = shop.recommend(user=name, k=100, exclude_seen=False)
            assert {one.id for one in shown.items} <= known
        query = shop._core.state.query(now_ms=int(few.ts_ms[-1]), user=people[-1])
        assert len(expert.propose(query, 10_000)) == len(known)
        shop.import_columns(events.slice(40, 2560))
        assert len(expert.propose(query, 10_000)) == learning.state.n_items


def queries(learning: LiveLearning) -> list[Query]:
    state, found = learning.state, []
    for name in list(state.users.names())[:12]:
        query = state.query(now_ms=int(learning.command("standing", {})["clock_ms"]) + 60_000, user=name)
        if len(query.items):
            found.append(query)
    assert found
    return found


def test_the_probabilities_of_all_items_sum_to_one(events: EventColumns) -> None:
    learning = LiveLearning(settings("gate.start=live"))
    learned(events, 0, 2560, learning)
    expert = LiveExpert(learning.settings.live, learning.learner.asker.popularity)
    share(learning, expert)
    expert.grow(learning.state.n_items, 0)
    rows = np.arange(learning.state.n_items, dtype=np.int32)
    for query in queries(learning):
        mass, rest = np.empty((len(rows), 1), np.float32), np.empty(1, np.float32)
        expert.score(query, rows, mass, rest)
        assert float(mass.sum() + rest[0]) == pytest.approx(1.0, abs=1e-3)


def test_asking_changes_nothing_that_is_learned(events: EventColumns) -> None:
    learning = LiveLearning(settings())
    learned(events, 0, 1280, learning)
    expert = LiveExpert(learning.settings.live, learning.learner.asker.popularity)
    share(learning, expert)
    before = arrays_of(learning)
    for query in queries(learning):
        expert.propose(query, 10)
        expert.because(query, np.arange(5, dtype=np.int32))
    learning.delta()
    assert_same_arrays(before, arrays_of(learning))


def assert_same_arrays(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    assert one.keys() == two.keys()
    floats = {name for name, array in one.items() if array.dtype.kind == "f"}
    assert [name for name in one if not np.array_equal(one[name], two[name], equal_nan=name in floats)] == []


def test_rows_that_nothing_used_for_long_begin_again(events: EventColumns) -> None:
    learning = LiveLearning(settings("live.expire_s=86400"))
    learned(events, 0, 6400, learning)
    assert learning.learner.counts["rows_expired"] > 0
    fresh = LiveLearning(settings())
    fresh.learner.grow(learning.learner.items, 0)
    weights = learning.learner.weights
    idle = np.flatnonzero(weights.updates[: weights.rows.count] == 0)
    np.testing.assert_array_equal(weights.rows.table[idle][:5], fresh.learner.weights.rows.table[idle][:5])


def test_an_item_is_admitted_after_so_many_events(events: EventColumns) -> None:
    learning = LiveLearning(settings("live.admission_events=5", "live.place=0"))
    learned(events, 0, 1280, learning)
    weights = learning.learner.weights
    n = weights.rows.count
    assert (weights.updates[:n][weights.seen[:n] < 5] == 0).all()
    assert (weights.updates[:n][weights.seen[:n] >= 8] > 0).any()


def held(learning: LiveLearning, actor: int) -> int:
    """How many positions of an actor are kept for learning again."""
    return int(np.count_nonzero(learning.learner.reservoir.state()["actors"] == actor))


def test_what_a_person_did_as_a_guest_before_logging_in_is_forgotten_too() -> None:
    learning = LiveLearning(settings("guard.enabled=true"))
    start_ms, offset = 1_767_225_600_000, 0

    def take(after_s: int, *events: dict[str, str]) -> None:
        nonlocal offset
        told = [Event(**one, ts=start_ms + 1000 * (after_s + n)) for n, one in enumerate(events)]
        learning.absorb(Run("event", np.arange(offset, offset + len(told)), EventColumns.from_records(told)))
        offset += len(told)

    take(0, *({"user": f"o{n % 7}", "item": f"i{n * 5 % 11}"} for n in range(60)))
    take(100, *({"user": "ann", "item": f"i{n}"} for n in range(4)))
    take(200, *({"session": "s", "item": f"i{n}"} for n in range(3, 9)))
    state = learning.state
    guest = state.histories.actor_of(-1, state.sessions.row("s"), named=False)
    take(300, {"user": "ann", "session": "s", "item": "i2"})
    ann, other = (state.histories.actor_of(state.users.row(name), -1, named=True) for name in ("ann", "o1"))
    kept = held(learning, other)
    assert min(held(learning, guest), held(learning, ann), kept) > 0
    assert learning.guard is not None
    assert learning.guard.state()["actors"][[guest, ann, other]].any(axis=1).all()
    deletion = Deletion(what="user", id="ann", ts=start_ms + 400_000)
    learning.absorb(Run("deletion", np.array([offset]), records=(deletion,)))
    assert (held(learning, guest), held(learning, ann), held(learning, other)) == (0, 0, kept)
    assert learning.guard.state()["actors"][[guest, ann, other]].any(axis=1).tolist() == [False, False, True]
