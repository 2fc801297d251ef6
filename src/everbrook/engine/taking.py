"""Records in, from an event loop too; and learning what the log has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property, partial
from weakref import WeakKeyDictionary

from everbrook.engine.admission import check_names, check_room
from everbrook.engine.allowance import Allowance
from everbrook.engine.fitting import Most, catch_up
from everbrook.engine.steering import Steering
from everbrook.engine.turns import Receipt, Then, Turns
from everbrook.events.log import Appended
from everbrook.events.records import Event
from everbrook.events.sqlite_log import SqliteLog
from everbrook.rank.mixture import Judgement
from everbrook.types import Step

TURN_RECORDS, TURN_LISTS = 400, 1  # taken in by one turn: some milliseconds
OWED_LISTS = 1  # made to learn from, on average, of what is taken in while somebody waits for a list


class Taking(Steering):
    """The part of a recommender that takes in what happens."""

    _allowance: Allowance

    def _judged(self, step: Step, b: int, found: Judgement) -> None:
        raise NotImplementedError

    def _taken(self, appended: Appended) -> Receipt:
        raise NotImplementedError

    def ingest_then(self, events: Sequence[Event], then: Then) -> None:
        """Take in a batch of checked events from an event loop, which goes on until they are durable; see `ingest`.

        Args:
            events: the batch.
            then: called in the running loop, with the receipt or with what went wrong.

        Raises:
            EverbrookError: they are not taken at all; `then` is not called.
        """
        self._admit(events)
        assert isinstance(self.log, SqliteLog)  # what a data directory has
        loop = asyncio.get_running_loop()
        self.log.append_then(events, partial(self._turns_in(loop).hear, then), loop)

    def _admit(self, events: Sequence[Event]) -> None:
        """Refuse a batch with names that may not be, before it is in the log."""
        if self.settings.state.closed:
            check_names(events, self.settings.state)
        check_room(events, self._core.state)

    async def ingest_soon(self, events: Sequence[Event]) -> Receipt:
        """The same, for who awaits it."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def told(found: Receipt | Exception) -> None:
            if future.done():  # whoever waited has gone
                return
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)

        self.ingest_then(events, told)
        return await future

    def update(self, stop: int | None = None) -> int:
        """Learn what the log has up to an offset, in its order; whoever comes first learns for all who wait.

        Args:
            stop: the offset to reach; the log's end where None.

        Returns:
            The offset reached.
        """
        reached, is_due = self._advance(stop)
        if is_due:
            self._keep_or_note()
        return reached

    def _advance(self, stop: int | None) -> tuple[int, bool]:
        with self._lock:
            end = self.log.end if stop is None else stop
            if self._core.offset < end:
                self._catch_up(self.log.end)
            return self._core.offset, self._is_checkpoint_due()

    def _catch_up(self, stop: int, most: Most | None = None, lists: int | None = None) -> None:
        catch_up(self._core, self.log, stop, self.settings, self._judged, self._allowance, most, lists)
        self.live.follow(self._core.offset, most=self.settings.engine.live_events)

    # -- in an event loop ----------------------------------------------------------------------------------------

    @cached_property
    def _turn(self) -> Most:
        return Most(TURN_RECORDS, TURN_LISTS)

    @cached_property
    def _all_turns(self) -> WeakKeyDictionary[asyncio.AbstractEventLoop, Turns]:
        return WeakKeyDictionary()

    def _turns_in(self, loop: asyncio.AbstractEventLoop) -> Turns:
        turns = self._all_turns.get(loop)
        if turns is None:
            turns = self._all_turns[loop] = Turns(
                self._behind, self._take_turn, self.update, self._owe, self._note_fault, self.live.tell_end
            )
        return turns

    def _owe(self, offset: int) -> bool:
        if self.live.learning is not None or offset - self._core.offset > self.settings.engine.live_events:
            return False  # the first: see `_learns_inside`
        self._lock.owe(offset)
        return True

    @property
    def _learns_inside(self) -> bool:
        """Whether each portion of records moves weights in here: what is taken in together then makes a difference."""
        return self.live.learning is not None

    def _take_in_owed(self, offset: int) -> None:
        """For who takes the lock. A fault inside is told, and lists go on with what is known."""
        try:
            if self._core.offset < offset:
                self._catch_up(offset, None, OWED_LISTS)
        except Exception as error:  # noqa: BLE001  who wants to look must not hear of what somebody else sent
            self._note_fault(error)

    def _note_fault(self, error: Exception) -> None:
        self.note_error(f"Records could not be taken in: {error}")

    def _behind(self) -> int:
        return self.log.end - self._core.offset

    def _next_stop(self) -> int:
        """How far to take in now: what waits because it may is no backlog for what comes after it."""
        owed, end = self._lock.owed, self.log.end
        return owed if self._core.offset < owed and end - self._core.offset > self.settings.engine.live_events else end

    def _take_turn(self) -> int:
        """Take in the next records of the log, as many as one turn may; the offset reached."""
        with self._lock.bare:
            if self._core.offset < self.log.end:
                self._catch_up(self._next_stop(), None if self._learns_inside else self._turn)
            reached, is_due = self._core.offset, self._is_checkpoint_due()
        if is_due:
            asyncio.get_running_loop().run_in_executor(None, self._keep_or_note)
        return reached


__all__ = ["Receipt", "Taking", "Then"]
