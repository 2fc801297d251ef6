"""What each actor has met, beyond the history: against a plain dictionary, however events are cut in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from everbrook import Recommender
from everbrook.events.columns import EventColumns
from everbrook.events.records import Deletion, Event
from everbrook.settings import load_settings
from everbrook.settings.state import StateSettings
from everbrook.state import State

MOST = 6
SETTINGS = StateSettings(seen_items=MOST, history_events=3, positive_from={"rate": 3.0})
KINDS = ("view", "buy", "seen", "dislike", "rate")


class Slow:
    """The same by dictionaries: per actor (item, kind) -> (time, what it says), renewed ones last."""

    def __init__(self) -> None:
        self.met: dict[str, dict[tuple[str, str], tuple[int, int]]] = {}
        self.owner: dict[str, str] = {}  # of sessions

    def take(self, event: Event) -> None:
        guest = self.owner.get(event.session or "")
        who = f"u:{event.user}" if event.user is not None else guest or f"s:{event.session}"
        if event.user is not None and guest is not None and guest.startswith("s:"):
            theirs = self.met.pop(guest, {})
            own = self.met.setdefault(who, {})
            if not own and not any(owner == who for owner in self.owner.values()):
                self.met[who] = theirs  # the guest becomes the user
            else:
                for key, entry in theirs.items():
                    self._put(who, key, entry)
        if event.session is not None:
            self.owner[event.session] = who
        weight = SETTINGS.kinds.get(event.kind, SETTINGS.kind_default)
        if event.kind == "rate" and event.value is not None and event.value < 3.0:
            weight = -1.0
        self._put(who, (event.item, event.kind), (int(event.ts or 0), 0 if weight < 0 else 2 if weight > 0 else 1))

    def _put(self, who: str, key: tuple[str, str], entry: tuple[int, int]) -> None:
        own = self.met.setdefault(who, {})
        before = own.pop(key, None)
        own[key] = before if before is not None and before[0] > entry[0] else entry
        while len(own) > MOST:
            del own[next(iter(own))]


def _events(seed: int, n: int = 600) -> list[Event]:
    rng = np.random.default_rng(seed)
    events = []
    for at in range(n):
        user = f"u{rng.integers(4)}" if rng.random() < 0.6 else None
        session = f"s{rng.integers(8)}" if user is None or rng.random() < 0.5 else None
        kind = KINDS[rng.integers(len(KINDS))]
        events.append(Event(
            user=user, session=session, item=f"i{rng.integers(9)}", kind=kind,
            ts=1000 * at - int(rng.integers(5000)) + 10**6, value=float(rng.integers(1, 6)) if kind == "rate" else None,
        ))  # fmt: skip
    return events


def _told(state: State, who: str) -> list[tuple[str, str, int, int]]:
    what, _, name = who.partition(":")
    user = state.users.row(name) if what == "u" else -1
    session = state.sessions.row(name) if what == "s" else -1
    met = state.remembered.of(state.histories.actor_of(user, session, what == "u"))
    rows = zip(met.items.tolist(), met.kinds.tolist(), met.times.tolist(), met.says.tolist(), strict=True)
    return [(state.items.id(item), state.kinds.names.id(kind), ts_ms, says) for item, kind, ts_ms, says in rows]


@pytest.mark.parametrize("batch", [1, 7, 600])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_a_plain_dictionary_however_the_events_are_cut(seed: int, batch: int) -> None:
    events, slow, state = _events(seed), Slow(), State(SETTINGS)
    for event in events:
        slow.take(event)
    for start in range(0, len(events), batch):
        state.fold(EventColumns.from_records(events[start : start + batch]))
    assert len(slow.met) >= 4
    for who, entries in slow.met.items():
        assert _told(state, who) == [(*key, *entry) for key, entry in entries.items()], who
    again = State(SETTINGS)
    again.load(state.arrays())
    for who in slow.met:
        assert _told(again, who) == _told(state, who)
    more = _events(seed + 10, 50)
    for one in (state, again):
        one.fold(EventColumns.from_records(more))
    for name, array in state.arrays().items():
        assert np.array_equal(array, again.arrays()[name]), name


def test_who_is_forgotten_has_met_nothing() -> None:
    state = State(SETTINGS)
    state.fold(EventColumns.from_records(_events(3)))
    actor = state.histories.actor_of(state.users.row("u1"), -1, named=True)
    assert len(state.remembered.of(actor).items)
    state.forget(Deletion(what="user", id="u1", ts=0))
    assert len(state.remembered.of(actor).items) == 0
    assert len(state.remembered.of(10**6).items) == len(state.remembered.of(-1).items) == 0


def test_none_is_kept_where_the_setting_says_so() -> None:
    state = State(msgspec.structs.replace(SETTINGS, seen_items=0))
    state.fold(EventColumns.from_records(_events(3)))
    assert all(len(state.remembered.of(actor).items) == 0 for actor in range(state.n_actors))


def _shop(path: Path, *more: str) -> Recommender:
    given = ['mixture.experts=["popularity"]', "state.history_events=4", "rank.exclude_seen=true", *more]
    return Recommender.open(path, load_settings(environment={}, assignments=given).settings)


def _ids(shop: Recommender, **wish: Any) -> set[str]:
    return {item.id for item in shop.recommend(k=50, **wish).items}


def test_what_was_met_stays_out_of_lists_beyond_the_history_and_after_a_restart(tmp_path: Path) -> None:
    everything = {f"i{n}" for n in range(30)}
    with _shop(tmp_path / "data") as shop:
        shop.put_items([{"id": item} for item in sorted(everything)])
        for n in range(20):
            shop.ingest([{"user": "ann", "item": f"i{n}"}])
        for item, kind in (("i20", "seen"), ("i21", "impression")):
            shop.ingest([{"user": "ann", "item": item, "kind": kind}])
        assert _ids(shop, user="ann") == everything - {f"i{n}" for n in range(21)}
        assert _ids(shop, user="bob") == everything
        assert _ids(shop, user="ann", exclude_seen=False) == everything
    with _shop(tmp_path / "data", 'rank.seen_s={"view": 0, "impression": 0}') as shop:
        assert _ids(shop, user="ann") == everything - {"i20"}  # each kind for as long as the settings say
        assert shop.delete_user("ann")["removed"]["remembered"] == 22
        assert _ids(shop, user="ann") == everything


def test_a_low_rating_and_a_dislike_leave_the_next_list_and_a_good_word_brings_back(tmp_path: Path) -> None:
    with _shop(tmp_path / "data", 'state.positive_from={"rate": 3}', "rank.exclude_seen=false") as shop:
        shop.put_items([{"id": f"i{n}"} for n in range(4)])
        shop.ingest([{"user": "ann", "item": "i0", "kind": "rate", "value": 1.0}])
        assert _ids(shop, user="ann") == {"i1", "i2", "i3"}
        shop.ingest([{"user": "ann", "item": "i1", "kind": "rate", "value": 5.0}])
        shop.ingest([{"user": "ann", "item": "i2", "kind": "dislike"}, {"user": "ann", "item": "i2", "kind": "seen"}])
        assert _ids(shop, user="ann") == {"i1", "i3"}
        for _ in range(6):  # so many that the history has forgotten
            shop.ingest([{"user": "ann", "item": "i3"}] * 2)
        assert _ids(shop, user="ann") == {"i1", "i3"}
        assert any(one.kind == "disliked" for one in shop.explain("i0", "ann").hindrances)
        shop.ingest([{"user": "ann", "item": "i0", "kind": "rate", "value": 4.0}])
        assert _ids(shop, user="ann") == {"i0", "i1", "i3"}


def test_what_a_guest_saw_or_rated_low_holds_at_once_for_whom_they_log_in_as(tmp_path: Path) -> None:
    """From the first list that names both, not from the next event on, which joins them."""
    everything = {f"i{n}" for n in range(10)}
    with _shop(tmp_path / "data", 'state.positive_from={"rate": 3}') as shop:
        shop.put_items([{"id": item} for item in sorted(everything)])
        shop.ingest([{"user": "ann", "item": "i0"}, {"user": "bob", "item": "i0", "kind": "rate", "value": 1.0}])
        for item in ("i1", "i2", "i3"):
            shop.ingest([{"session": "s", "item": item, "kind": "seen"}])
        shop.ingest([{"session": "s", "item": "i4"}, {"session": "s", "item": "i5", "kind": "rate", "value": 1.0}])
        guest, ann = _ids(shop, session="s"), {"user": "ann", "session": "s"}
        assert guest == everything - {f"i{n}" for n in range(1, 6)}
        assert _ids(shop, **ann) == guest - {"i0"}
        assert _ids(shop, **ann, exclude_seen=False) == everything - {"i5"}
        assert _ids(shop, user="ann") == everything - {"i0"}
        held = {item: [one.kind for one in shop.explain(item, **ann).hindrances] for item in ("i1", "i5", "i6")}
        assert held == {"i1": ["seen"], "i5": ["disliked", "seen"], "i6": []}
        assert _ids(shop, user="bob", session="s", exclude_seen=False) == everything - {"i0", "i5"}
        shop.ingest([{**ann, "item": "i4"}])
        assert _ids(shop, **ann) == guest - {"i0"}
        assert _ids(shop, **ann, exclude_seen=False) == everything - {"i5"}
