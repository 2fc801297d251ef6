"""The state: everything that happened, folded. Reading never creates; what it is made of is the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np

from everbrook.errors import DataError, UnknownNameError
from everbrook.events.columns import EventColumns
from everbrook.events.late_moments import decode_stored
from everbrook.events.records import MAX_NAMES, Deletion, ItemChange, UserChange
from everbrook.settings.state import StateSettings
from everbrook.state.births import Births
from everbrook.state.catalogue import Catalogue
from everbrook.state.counters import Counters
from everbrook.state.histories import Histories, Past, Rows
from everbrook.state.ids import IdMap
from everbrook.state.kinds import Kinds
from everbrook.state.people import People
from everbrook.state.refusals import refuse
from everbrook.state.remembered import Remembered
from everbrook.state.texts import pack, under, unpack, within
from everbrook.types import F32, I32, I64, NO_ROW, Arrays, Bool, Query, Step

_FORMAT = 3

ColumnT = TypeVar("ColumnT", F32, I64)


@dataclass(frozen=True, slots=True)
class Removed:
    """What was forgotten."""

    row: int  # of the user or item; NO_ROW where it was not known
    actor: int = NO_ROW  # the user's, whose learned values are to be dropped; NO_ROW where the user had done nothing
    events: int = 0  # events that were at hand
    sessions: tuple[str, ...] = ()
    record: bool = False  # whether there were properties of the user


class State:
    """Who did what, and which items there are."""

    def __init__(self, settings: StateSettings | None = None) -> None:
        self.settings = settings or StateSettings()
        self.users = IdMap()
        self.sessions = IdMap()
        self.items = IdMap()
        self.scenarios = IdMap(self.settings.scenarios, MAX_NAMES)
        self.kinds = Kinds(self.settings)
        self.histories = Histories(self.settings.history_events, round(1000 * self.settings.session_gap_s))
        self.remembered = Remembered(self.settings.seen_items)
        self.counters = Counters(self.settings.counter_half_lives_s)
        self.catalogue = Catalogue()
        self.people = People()
        self.births = Births()

    @property
    def n_items(self) -> int:
        """How many item rows there are."""
        return len(self.items)

    @property
    def n_actors(self) -> int:
        """How many actor rows there are."""
        return self.histories.n_actors

    def fold(self, columns: EventColumns, contexts: bool = True) -> Step:
        """Take in events, in log order.

        A scenario or kind that comes when there are as many as there may be counts as none, whatever the log holds.

        Args:
            columns: the events; the log has checked them.
            contexts: whether the step shall hold what was known of each actor; without it `n` is 0 throughout.

        Raises:
            RecordError: an event has no item, neither user nor session, or an impossible time; nothing is kept.
        """
        refuse(columns)
        ts_ms, value = _own(columns.ts_ms), _own(columns.value)
        user, session = self.users.coded_rows(columns.user), self.sessions.coded_rows(columns.session)
        item = self.items.coded_rows(columns.item)
        kind = self.kinds.rows(columns.kind)
        scenario = self.scenarios.coded_rows(columns.scenario).astype(np.int16)
        weight = self.kinds.weigh(kind, value)
        rows = Rows(ts_ms, user, session, item, kind, weight)
        known = self.histories.remember(rows, contexts, len(self.users), len(self.sessions))
        self.remembered.note(rows, known.actor, self.histories, len(self.sessions))
        self.kinds.note(kind)
        self.births.note(ts_ms, item, len(self.items))
        self.counters.add(ts_ms, item, kind, scenario, weight)
        return Step(
            ts_ms=ts_ms, actor=known.actor, item=item, kind=kind, scenario=scenario, value=value, weight=weight,
            n=known.n, session_n=known.session_n, items=known.items, times=known.times, kinds=known.kinds,
        )

    def steps(self, columns: EventColumns, batch_events: int = 4096) -> Iterator[Step]:
        """Take in many events, a batch at a time, so that the contexts of all never lie in memory at once."""
        for start in range(0, len(columns), batch_events):
            yield self.fold(columns.slice(start, min(len(columns), start + batch_events)))

    def put_items(self, changes: Sequence[ItemChange]) -> I32:
        """Take in new or changed items, in log order.

        Returns:
            The row of each; a deleted item is back, in its own.
        """
        self.items.unbury(change.id for change in changes)
        rows = self.items.rows([change.id for change in changes], create=True)
        for row, change in zip(rows.tolist(), changes, strict=True):
            self.catalogue.put(row, change)
        return rows

    def put_users(self, changes: Sequence[UserChange]) -> I32:
        """Take in new or changed users, in log order.

        Returns:
            The user row (not the actor row) of each.
        """
        rows = self.users.rows([change.id for change in changes], create=True)
        for row, change in zip(rows.tolist(), changes, strict=True):
            self.people.put(row, change)
        return rows

    def forget(self, deletion: Deletion) -> Removed:
        """Take in that an item or a user is to be forgotten."""
        return self.forget_user(deletion.id) if deletion.what == "user" else Removed(self.forget_item(deletion.id))

    def forget_item(self, item_id: str) -> int:
        """Forget an item's record, and neither show nor know it until `put_items` names it; events count in its row.

        Returns:
            That row; NO_ROW where it was not known.
        """
        row = self.items.bury(item_id)
        if row != NO_ROW:
            self.catalogue.remove(row)
        return row

    def forget_user(self, user_id: str) -> Removed:
        """Forget a user: id, history, properties, and the sessions that led there; the rows are never given again.

        Sums over all users (counters) stay as they are: nothing in them tells who it was.
        """
        row = self.users.forget(user_id)
        if row == NO_ROW:
            return Removed(NO_ROW)
        actor = self.histories.actor_of(row, NO_ROW, named=True)
        events, session_rows = self.histories.forget(row)
        self.remembered.forget(actor, session_rows)
        sessions = tuple(self.sessions.id(session_row) for session_row in session_rows)
        for session in sessions:
            self.sessions.forget(session)
        return Removed(row, actor, events, sessions, self.people.forget(row))

    def query(
        self,
        *,
        now_ms: int,
        user: str | None = None,
        session: str | None = None,
        item: str | None = None,
        items: Sequence[str] = (),
        scenario: str | None = None,
        text: F32 | None = None,
    ) -> Query:
        """What is known of those who ask; changes nothing, and takes strangers as they are.

        Args:
            now_ms: the moment the list is for.
            user: id of the user; a stranger has an empty history.
            session: id of the session.
            item: id of the item looked at; like `items` it counts as the session's latest.
            items: ids of the cart's or playlist's contents, oldest first; unknown ones are left out.
            scenario: where the list is shown.
            text: features of a typed query.

        Raises:
            UnknownNameError: no event and no setting has named the scenario.
        """
        scenario_row = self.scenario_row(scenario)
        session_row = NO_ROW if session is None else self.sessions.row(session)
        actor = self.histories.actor_of(NO_ROW if user is None else self.users.row(user), session_row, user is not None)
        past = self._past(actor, session_row)
        opens = session is not None and session_row == NO_ROW  # a session that nobody heard of: nothing goes on
        session_n = 0 if opens else past.session_n(session_row, now_ms, self.histories.gap_ms)
        given = [*items, item] if item is not None else items
        if given:
            past, n = self._with_given(past, given, now_ms)
            session_n = min(session_n + n, len(past))
        return Query(now_ms, actor, scenario_row, past.items, past.times, past.kinds, session_n, text)

    def guest_beside(self, actor: int, session: str | None) -> int:
        """The guest of a session whom the next event would join to an actor; NO_ROW where none."""
        return NO_ROW if session is None else self.histories.guest_beside(actor, self.sessions.row(session))

    def _past(self, actor: int, session_row: int) -> Past:
        """The history, with that of a guest whom the next event would join to it."""
        past = self.histories.past(actor)
        guest = self.histories.guest_beside(actor, session_row)
        if guest != NO_ROW:
            past = past.joined(self.histories.past(guest)).last(self.settings.history_events)
        return past

    def _with_given(self, past: Past, given: Sequence[str], now_ms: int) -> tuple[Past, int]:
        """The history with items at its end that were named in the question, and how many those are."""
        rows = self.items.rows(list(given))
        rows = rows[rows != NO_ROW]
        n = len(rows)
        kind = np.full(n, self.kinds.common(), np.int16)
        named = Past(rows, np.full(n, now_ms, np.int64), kind, np.full(n, NO_ROW, np.int32))
        return past.followed_by(named).last(self.settings.history_events), n

    def scenario_row(self, scenario: str | None) -> int:
        """The row of a scenario; NO_ROW for none.

        Raises:
            UnknownNameError: no event and no setting has named it.
        """
        if scenario is None:
            return NO_ROW
        row = self.scenarios.row(scenario)
        if row == NO_ROW:
            raise UnknownNameError("scenario", scenario, self.scenarios)
        return row

    def seen(self, actor: int, kinds: Iterable[str] | None = None) -> I32:
        """The different items of an actor's history, sorted.

        Args:
            actor: row of the actor; NO_ROW has seen nothing.
            kinds: names of the kinds that count; all where it is None.
        """
        past = self.histories.past(actor)
        if kinds is None:
            return np.unique(past.items)
        return np.unique(past.items[np.isin(past.kinds, self.kinds.names.rows(list(kinds)))])

    def visible(self, now_ms: int) -> Bool:
        """(N,) which items may be shown at a moment; the caller must not write into it."""
        return self.catalogue.visible(now_ms, len(self.items))

    def in_categories(self, names: Iterable[str]) -> Bool:
        """(N,) which items are in one of the categories; the caller must not write into it.

        Raises:
            UnknownNameError: no item ever was in one of them.
        """
        return self.catalogue.in_categories(names, len(self.items))

    def born_ms(self) -> I64:
        """(N,) since when each item exists: as its record says, else since its first event."""
        n = len(self.items)
        return self.catalogue.born_ms(n, self.births.first_ms(n))

    def arrays(self) -> Arrays:
        """Everything that is known, as named arrays without pickles."""
        meta = msgspec.json.encode({"format": _FORMAT, **self.counters.layout})
        arrays: Arrays = {
            "meta": np.frombuffer(bytearray(meta), np.uint8),
            "first_ms": self.births.first_ms(len(self.items)).copy(),
        }
        for name, part in self._parts().items():
            arrays |= under(name, part.arrays())
        return arrays

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave.

        Raises:
            DataError: another version, or one with other half-lives of the counters, wrote it; nothing is changed.
        """
        meta = msgspec.json.decode(arrays["meta"].tobytes())
        wanted = {"format": _FORMAT, **self.counters.layout}
        if meta != wanted:
            raise DataError(f"A stored state must have {wanted}; got {meta}. Replay the log to make it anew.")
        for name, part in self._parts().items():
            if name != "catalogue":
                part.load(within(arrays, name))
        _load_catalogue(self.catalogue, within(arrays, "catalogue"))
        self.births.load(arrays["first_ms"])
        self.items.bury_rows(self.catalogue.gone)
        self.remembered.follow(self.histories.session_actors)

    def _parts(self) -> dict[str, IdMap | Kinds | Histories | Remembered | Counters | Catalogue | People]:
        return {
            "users": self.users, "sessions": self.sessions, "items": self.items, "scenarios": self.scenarios,
            "kinds": self.kinds, "histories": self.histories, "remembered": self.remembered,
            "counters": self.counters, "catalogue": self.catalogue, "people": self.people,
        }


def _load_catalogue(catalogue: Catalogue, arrays: Arrays) -> None:
    """Let a catalogue take over what it gave, also where a moment in it is later than records may have."""
    try:
        catalogue.load(arrays)
    except msgspec.ValidationError:
        whole = decode_stored(msgspec.json.Decoder(list[ItemChange]), b"[%b]" % b",".join(unpack(arrays)))
        catalogue.load(arrays | pack(msgspec.json.encode(one) for one in whole))


def _own(column: ColumnT) -> ColumnT:
    """The column itself, or a copy where it must not be written (numba compiles a second time for such)."""
    return column if column.flags.writeable else column.copy()
