"""Items and people one by one: what is known of them, changing them, and forgetting a person everywhere.

A deletion is a record of the log, so that whatever follows the log forgets too; then the log itself is cleaned of the
person, and of that record's name, and every file that was written before is written anew. What was begun stands in a
file of its own, so that a deletion that a crash ended is done at the next start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from everbrook.engine.core import Core
from everbrook.engine.forgetting import Names, Retries
from everbrook.engine.fresh_lock import FreshLock
from everbrook.engine.keeping import FOLDER
from everbrook.engine.living import Living
from everbrook.engine.log_lines import say
from everbrook.engine.starting_over import NOTHING, start_over
from everbrook.engine.vector_widths import check_vectors
from everbrook.errors import EverbrookError, InputError, NotFoundError, RecordError, StorageError
from everbrook.events.erasing import Intents
from everbrook.events.log import Log
from everbrook.events.log_intake import check_items, check_users
from everbrook.events.records import Deletion, ItemChange, UserChange
from everbrook.events.sqlite_log import SqliteLog
from everbrook.learn.checkpoints import prune
from everbrook.state import State
from everbrook.types import NO_ROW, Clock

_log = logging.getLogger("everbrook.engine")
ChangeT = TypeVar("ChangeT", ItemChange, UserChange)
SHOWN_EVENTS = 1000  # of a person's history


class People:
    """The part of a recommender that knows single items and people."""

    path: Path
    log: Log
    clock: Clock
    live: Living
    _core: Core
    _forgotten: Names
    _lock: FreshLock

    def update(self, stop: int | None = None) -> int:
        """Learn what the log has; see `Recommender`."""
        raise NotImplementedError

    def checkpoint(self) -> Path:
        """Write everything learned; see `Recommender`."""
        raise NotImplementedError

    def item(self, item_id: str) -> ItemChange:
        """What is known of an item; see `Steering`."""
        raise NotImplementedError

    def _recount_experiments(self) -> None:
        """Count experiments anew; see `Experimenting`."""
        raise NotImplementedError

    def note_error(self, text: str) -> None:
        """Remember a background failure; see `Steering`."""
        raise NotImplementedError

    # -- seeing --------------------------------------------------------------------------------------------------

    def user(self, user_id: str) -> dict[str, Any]:
        """What is known of a user: properties, sessions, and the last events, newest first.

        Raises:
            NotFoundError: neither an event nor a record has named the user.
        """
        with self._lock:
            state = self._core.state
            row = state.users.row(user_id)
            if row == NO_ROW:
                raise NotFoundError("This user must have been told of before; nothing is known.")
            actor = state.histories.actor_of(row, NO_ROW, named=True)
            past = state.histories.past(actor).last(SHOWN_EVENTS)
            kinds = state.kinds.names
            events = [
                {"item": state.items.id(item), "kind": kinds.id(kind), "ts": ts_ms}
                for item, kind, ts_ms in zip(
                    past.items.tolist(), past.kinds.tolist(), past.times.tolist(), strict=True
                )
            ]
            sessions = state.histories.sessions_of(actor)
            return {
                "id": user_id, "properties": state.people.properties(row), "events": events[::-1],
                "sessions": [state.sessions.id(one) for one in sessions],
            }  # fmt: skip

    # -- changing ------------------------------------------------------------------------------------------------

    def _checked_items(self, items: Sequence[ItemChange | Mapping[str, Any]]) -> list[ItemChange]:
        """Changes of items that may be taken in: by the rules of records, and with vectors that fit.

        Raises:
            RecordError: one of them is wrong; its position is named.
        """
        checked = check_items(items)
        check_vectors(checked, self._core)
        return checked

    def change_item(self, item_id: str, fields: dict[str, Any]) -> ItemChange:
        """Change an item that is known: fields left out stay as they are, None removes.

        Raises:
            NotFoundError: the item is not known.
            InputError: a field is wrong.
        """
        self.item(item_id)
        stop = self.log.append(_checked(self._checked_items, item_id, fields)).stop
        self.update(stop)
        return self.item(item_id)

    def change_user(self, user_id: str, fields: dict[str, Any]) -> UserChange:
        """Change a user who is known: fields left out stay as they are, None removes.

        Raises:
            NotFoundError: the user is not known.
            InputError: a field is wrong.
        """
        self.user(user_id)
        stop = self.log.append(_checked(check_users, user_id, fields)).stop
        self.update(stop)
        with self._lock:
            return self._core.state.people.get(self._core.state.users.row(user_id)) or UserChange(id=user_id)

    def delete_item(self, item_id: str) -> dict[str, Any]:
        """Forget an item: its record is gone, and it is in no list from now on, whatever events name it.

        Only `put_items` brings it back.

        Raises:
            NotFoundError: the item is not known.
        """
        self.item(item_id)
        stop = self.log.append([Deletion(what="item", id=item_id, ts=self.clock.now_ms())]).stop
        self.update(stop)
        return {"removed": {"items": 1}}

    # -- forgetting a person -------------------------------------------------------------------------------------

    def delete_user(self, user_id: str) -> dict[str, Any]:
        """Forget a person everywhere: log, state, caches, what the learner keeps, checkpoints. It may take a while.

        Guests of sessions that led to the user are the same person. Sums over all people stay; nothing in them tells
        who it was. Whoever was not known has nothing removed, and that is told.

        Returns:
            How much was removed, by place.

        Raises:
            StorageError: a segment of the log is damaged, and nothing was changed; or the disk refused: then it is
                tried again by itself, also after a restart.
        """
        check_users([{"id": user_id}])
        self._check_segments()
        Intents(self.path).begin(user_id)
        try:
            return {"removed": self._erase(user_id, is_new=True)}
        except EverbrookError:
            self._retries.begin()
            raise

    @cached_property
    def _retries(self) -> Retries:
        return Retries(Intents(self.path).pending, self._erase, self.note_error)

    def _erase(self, user_id: str, is_new: bool = False) -> dict[str, int]:
        """Forget a person; of one who is not known, and was not begun with before, the learner has nothing."""
        with _one_at_a_time, self._forgotten.held():
            self._check_segments()  # before anything is changed
            deletion = Deletion(what="user", id=user_id, ts=self.clock.now_ms())
            self.update()
            with self._lock:
                known = _known(self._core.state, user_id)
                is_learned = not is_new or self._core.state.users.row(user_id) != NO_ROW
                rows = self._core.dropped_rows
            stop = self.log.append([deletion]).stop
            self._forgotten.note(stop - 1, user_id)
            self.update(stop)
            rows = self._core.dropped_rows - rows
            learner = start_over(self.live) if is_learned else dict(NOTHING)
            erased = self._sqlite_log().erase(user_id, stop)
            self._recount_experiments()
            self.checkpoint()
            checkpoints = prune(self.path / FOLDER, 1)
            Intents(self.path).end(user_id)
            say(_log, "A person was forgotten.", events=erased.events, segments=erased.segments)
            return {
                "events": erased.events, "impressions": erased.impressions, "records": erased.changes,
                "event_ids": erased.event_ids, "earlier_deletions": erased.deletions - 1, "segments": erased.segments,
                **known, "sessions": max(erased.sessions, known["sessions"]), "learned_rows": rows,
                "checkpoints": checkpoints, **learner,
            }  # fmt: skip

    def _check_segments(self) -> None:
        """See that all of the log can be read: what cannot may name the person, and could not be cleaned."""
        damaged = self._sqlite_log().check()
        if damaged:
            raise StorageError(
                f"All of the log must be readable before somebody can be forgotten; {len(damaged)} of its segments "
                f"cannot be read: {', '.join(sorted(damaged))}. Nothing was changed. Run `everbrook doctor`, put the "
                "files back from a backup, and ask again."
            )

    def _sqlite_log(self) -> SqliteLog:
        assert isinstance(self.log, SqliteLog)  # what a data directory has
        return self.log

    def _end_erasures(self) -> None:
        """Do what a crash left undone; what stands in the way of it does not stand in the way of a start."""
        try:
            for user_id in Intents(self.path).pending():
                self._erase(user_id)
        except EverbrookError as error:
            self.note_error(f"A person is not forgotten everywhere yet; it is tried again: {error.message}")
            self._retries.begin()


_one_at_a_time = threading.Lock()


def _known(state: State, user_id: str) -> dict[str, int]:
    """How much the state knows of a user."""
    row = state.users.row(user_id)
    actor = NO_ROW if row == NO_ROW else state.histories.actor_of(row, NO_ROW, named=True)
    return {
        "history": len(state.histories.past(actor)), "sessions": len(state.histories.sessions_of(actor)),
        "remembered": len(state.remembered.of(actor).items), "properties": int(state.people.get(row) is not None),
    }  # fmt: skip


def _checked(check: Callable[[list[dict[str, Any]]], list[ChangeT]], id_: str, fields: dict[str, Any]) -> list[ChangeT]:
    """A change of one thing by the rules of batches; what is wrong is told without a place in a batch."""
    try:
        return check([_named(id_, fields)])
    except RecordError as error:
        raise InputError(error.message.removeprefix(f"Record {error.position}: "), error.hint) from None


def _named(id_: str, fields: dict[str, Any]) -> dict[str, Any]:
    if fields.get("id", id_) != id_:
        raise InputError("The field 'id' must be that of the path, or left out; got another.")
    return {**fields, "id": id_}
