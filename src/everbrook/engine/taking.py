"""Records in, from an event loop too; and learning what the log has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from everbrook.engine.admission import check_names
from everbrook.engine.allowance import Allowance
from everbrook.engine.fitting import catch_up
from everbrook.engine.steering import Steering
from everbrook.events.log import Appended
from everbrook.events.records import Event
from everbrook.events.sqlite_log import SqliteLog
from everbrook.rank.mixture import Judgement
from everbrook.types import Step

AT_ONCE = 2000  # more records than this are learned on another thread, so that an event loop goes on


class Receipt(msgspec.Struct, frozen=True):
    """That records are durable and in the next list."""

    accepted: int
    duplicates: int
    offset: int  # the log's end after them


class Taking(Steering):
    """The part of a recommender that takes in what happens."""

    _allowance: Allowance

    def _judged(self, step: Step, b: int, found: Judgement) -> None:
        raise NotImplementedError

    def _taken(self, appended: Appended) -> Receipt:
        raise NotImplementedError

    async def ingest_soon(self, events: Sequence[Event]) -> Receipt:
        """Take in a batch of checked events from an event loop, which goes on until they are durable; see `ingest`."""
        if self.settings.state.closed:
            check_names(events, self.settings.state)
        assert isinstance(self.log, SqliteLog)  # what a data directory has
        appended = await self.log.append_async(events)
        if appended.stop - self._core.offset > AT_ONCE:
            return await asyncio.get_running_loop().run_in_executor(None, self._taken, appended)
        _, is_due = self._advance(appended.stop)  # the first of those that shared a commit learns for all
        if is_due:
            asyncio.get_running_loop().run_in_executor(None, self._keep_or_note)
        return Receipt(appended.accepted, len(appended.duplicates), appended.stop)

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
                catch_up(self._core, self.log, self.log.end, self.settings, self._judged, self._allowance)
                self.live.follow(self._core.offset, most=self.settings.engine.live_events)
            return self._core.offset, self._is_checkpoint_due()
