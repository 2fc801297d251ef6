"""Group commit: one thread that writes to the log's database, committing at once whatever has been queued meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

import msgspec

from everbrook.errors import NotReadyError, OverloadedError
from everbrook.events.log import Appended
from everbrook.events.log_database import Batch, commit, count_live_events, known_ids, read_end
from everbrook.events.log_files import disk_errors
from everbrook.events.log_health import Health
from everbrook.events.log_tail import Tail
from everbrook.events.records import RECORD_TYPES, Event, Record
from everbrook.events.segments import Segment, ids_in_segments
from everbrook.settings.log import LogSettings

RECORD_BYTES = 300  # of memory, about, beside a record's JSON
_encode = msgspec.json.Encoder().encode
_NAMES = {record: name for name, record in RECORD_TYPES.items()}

Then: TypeAlias = Callable[[Appended | Exception], None]
"""Told what became of records; it raises nothing."""


class Waiter:
    """Somebody in an event loop who is told there, without a future of his own.

    Args:
        loop: where he waits.
        then: told what became of his records.
    """

    __slots__ = ("loop", "then")

    def __init__(self, loop: asyncio.AbstractEventLoop, then: Then) -> None:
        self.loop, self.then = loop, then


AppendFuture: TypeAlias = "Future[Appended] | asyncio.Future[Appended] | Waiter"


class Write(msgspec.Struct):
    """Records of one caller, encoded in the caller's thread so that the writer can only fail on the disk."""

    types: list[str] | str  # one where all are the same
    records: Sequence[Record]
    bodies: list[bytes]
    ids: list[str | None] | None  # of the events; None where none has one
    future: AppendFuture
    size_bytes: int = 0


@dataclass(slots=True)
class Job:
    """Something else to do in the writer's thread, in a transaction of its own."""

    work: Callable[[sqlite3.Connection, int], Any]  # gets the database and the end
    then: Callable[[Any], None]  # gets the answer, after the commit and before anything else is written
    future: Future[Any]


@dataclass(slots=True)
class _Group:
    """Writes that share a commit, laid out at their offsets."""

    stop: int
    batches: list[tuple[int, str, list[bytes], list[Record]]] = field(default_factory=list)
    ids: dict[str, None] = field(default_factory=dict)
    results: list[tuple[AppendFuture, Appended]] = field(default_factory=list)

    def add(self, kind: str, bodies: Sequence[bytes], records: Sequence[Record]) -> None:
        """Lay records of one type behind the others."""
        if not self.batches or self.batches[-1][1] != kind:
            self.batches.append((self.stop, kind, [], []))
        self.batches[-1][2].extend(bodies)
        self.batches[-1][3].extend(records)
        self.stop += len(bodies)

    def add_new(self, writes: Sequence[Write]) -> None:
        """Lay writes of one type behind the others, of which none has an id that is there."""
        bodies = [body for write in writes for body in write.bodies]
        if bodies:
            kind = writes[0].types
            assert isinstance(kind, str)
            self.batches.append((self.stop, kind, bodies, [record for write in writes for record in write.records]))
        for write in writes:
            first, self.stop = self.stop, self.stop + len(write.bodies)
            self.results.append((write.future, Appended(first, self.stop)))

    def rows(self) -> list[Batch]:
        return [(first, first + len(rows), kind, b"[%b]" % b",".join(rows)) for first, kind, rows, _ in self.batches]


def encode_write(records: Sequence[Record], future: AppendFuture) -> Write:
    """Make a write of checked records."""
    if len(records) == 1 and records[0].__class__ is Event:  # the hot path of events that come singly
        event = records[0]
        return Write("event", records, [_encode(event)], [event.id] if event.id is not None else None, future)
    bodies = [_encode(record) for record in records]
    if all(record.__class__ is Event for record in records):
        ids: list[str | None] = [record.id for record in records]  # type: ignore[union-attr]
        return Write("event", records, bodies, ids if any(ids) else None, future)
    ids = [record.id if isinstance(record, Event) else None for record in records]
    types = [_NAMES[record.__class__] for record in records]
    return Write(types, records, bodies, ids if any(ids) else None, future)


class LogWriter:
    """The only one who writes to the database, and who knows where the log ends."""

    def __init__(
        self, path: Path, database: sqlite3.Connection, settings: LogSettings, id_segments: list[Segment],
        health: Health,
    ) -> None:  # fmt: skip
        self._path, self._database, self._group_events = path, database, settings.group_events
        self._most_bytes, self.health = settings.waiting_mb << 20, health
        self.id_segments = id_segments
        self._queue: SimpleQueue[list[Write] | Job | None] = SimpleQueue()
        self._soon: list[Write] = []  # of one turn of an event loop, not in the queue yet
        self._gate = threading.Lock()
        self._closed = False
        self._changed = threading.Condition()
        self.tail = Tail()
        self.end = read_end(database)
        self.live_events = count_live_events(database)
        self.many_events = sys.maxsize  # from so many live events on, `many` is set
        self.many = threading.Event()
        self._thread = threading.Thread(target=self._run, name="everbrook-log", daemon=True)

    def start(self) -> None:
        """Begin to take from the queue."""
        self._thread.start()

    def put(self, entry: Write | Job) -> None:
        """Queue a write or a job; the order of calls is the order of offsets.

        Raises:
            NotReadyError: the log is closed.
            OverloadedError: too much waits already.
        """
        with self._gate:
            self._check_open()
            if isinstance(entry, Write):
                self._let_wait(entry)
            self._hand_over()
            self._queue.put([entry] if isinstance(entry, Write) else entry)

    def put_soon(self, write: Write, loop: asyncio.AbstractEventLoop) -> None:
        """The same from a running event loop: what comes in one turn of it is committed together.

        Raises:
            NotReadyError: the log is closed.
            OverloadedError: too much waits already.
        """
        with self._gate:
            if self._closed:
                self._check_open()
            self._let_wait(write)
            soon = self._soon
            if not soon:
                loop.call_soon(self._turn_ends)
            soon.append(write)

    def _check_open(self) -> None:
        if self._closed:
            raise NotReadyError("The log must be open to be written to; it is closed.")

    def _turn_ends(self) -> None:
        with self._gate:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._soon:
            self._queue.put(self._soon)
            self._soon = []

    def _let_wait(self, write: Write) -> None:
        """Count a write among those that wait; a single one always may."""
        bodies = write.bodies
        size_bytes = len(bodies[0]) if len(bodies) == 1 else sum(map(len, bodies))
        write.size_bytes = size_bytes + RECORD_BYTES * len(bodies)
        waiting = self.health.waiting_bytes
        if waiting and waiting + write.size_bytes > self._most_bytes:
            self.health.shed(waiting)
            raise OverloadedError(
                f"At most {self._most_bytes} bytes of records may wait for the disk; {waiting} do.",
                "Send it again in a second.",
            )
        self.health.waiting_bytes = waiting + write.size_bytes

    def _done_waiting(self, writes: list[Write]) -> None:
        with self._gate:
            self.health.waiting_bytes -= sum([write.size_bytes for write in writes])
            is_low = self.health.waiting_bytes < self._most_bytes // 2
        if is_low:
            self.health.has_room()

    def do(self, work: Callable[[sqlite3.Connection, int], Any], then: Callable[[Any], None] = lambda _: None) -> Any:
        """Run `work` in a transaction in the writer's thread, and wait for its answer.

        Args:
            work: gets the database and the end.
            then: gets the answer, after the commit and before anything else is written.
        """
        future: Future[Any] = Future()
        self.put(Job(work, then, future))
        return future.result()

    def wait(self, offset: int, timeout_s: float) -> int:
        """Wait until the end is past `offset`, or the time is over; returns the end."""
        with self._changed:
            self._changed.wait_for(lambda: self.end > offset or self._closed, timeout_s)
        return self.end

    def close(self) -> None:
        """Finish what is queued and stop the thread."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._hand_over()
                self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        waiting: list[Write] | Job | None = None
        while (entry := waiting or self._queue.get()) is not None:
            waiting = None
            if isinstance(entry, Job):
                self._do(entry)
                continue
            writes, is_last, waiting = self._gather(entry)
            self._commit(writes)
            if is_last:
                return

    def _gather(self, first: list[Write]) -> tuple[list[Write], bool, Job | None]:
        """Take what is queued.

        Returns:
            The writes to commit together; whether the log is being closed; the job that comes next, if one does.
        """
        writes, records = first, sum([len(write.bodies) for write in first])
        with contextlib.suppress(Empty):
            while records < self._group_events:
                entry = self._queue.get_nowait()
                if not isinstance(entry, list):
                    return writes, entry is None, entry
                writes.extend(entry)
                records += sum([len(write.bodies) for write in entry])
        return writes, False, None

    def _commit(self, writes: list[Write]) -> None:
        taken = writes
        writes = [write for write in writes if write.future.__class__ is Waiter or not _is_cancelled(write.future)]
        try:
            with disk_errors(self._path):
                group = self._store(writes)
        except Exception as error:  # noqa: BLE001  whatever failed, those who wait must hear of it
            self._recover()
            self._done_waiting(taken)
            self.health.refused(str(error))
            _settle([(write.future, error) for write in writes])
            return
        self.health.took()
        self._done_waiting(taken)
        self.tail.add([(first, kind, records) for first, kind, _, records in group.batches])
        self._advance(group.stop, sum(len(rows) for _, kind, rows, _ in group.batches if kind == "event"))
        if self.live_events >= self.many_events:
            self.many.set()
        _settle(group.results)

    def _store(self, writes: list[Write]) -> _Group:
        ids = [id_ for write in writes if write.ids for id_ in write.ids if id_]
        known = ids_in_segments(self.id_segments, ids)
        group = self._lay_out(writes, ids, known)
        if not group.batches:
            return group
        try:
            commit(self._database, group.rows(), group.ids)
        except sqlite3.IntegrityError:  # hardly ever: a client sends an event again
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            group = self._lay_out(writes, ids, known | known_ids(self._database, ids))
            if group.batches:
                commit(self._database, group.rows(), group.ids)
        return group

    def _lay_out(self, writes: list[Write], ids: list[str], known: set[str]) -> _Group:
        """Give each new record its offset; neighbours of one type share a row.

        Args:
            writes: what is to be written.
            ids: of the events in it.
            known: those of them that are there already.
        """
        group = _Group(self.end, ids=dict.fromkeys(ids))
        is_new, kind = not known and len(group.ids) == len(ids), writes[0].types if writes else None
        if is_new and kind.__class__ is str and all(write.types == kind for write in writes):
            group.add_new(writes)  # nearly always
            return group
        group.ids = group.ids if is_new else {}  # each is looked at
        for write in writes:
            first = group.stop
            duplicates = () if is_new or not write.ids else tuple(_repeated(write.ids, known, group.ids))
            _extend(group, write, duplicates)
            group.results.append((write.future, Appended(first, group.stop, duplicates)))
        return group

    def _do(self, job: Job) -> None:
        try:
            with disk_errors(self._path):
                self._database.execute("BEGIN IMMEDIATE")
                answer = job.work(self._database, self.end)
                self._database.execute("COMMIT")
                self._advance(read_end(self._database), 0)
                job.then(answer)
        except Exception as error:  # noqa: BLE001  whatever failed, the one who waits must hear of it
            self._recover()
            _settle([(job.future, error)])
            return
        _settle([(job.future, answer)])

    def _advance(self, end: int, live_events: int) -> None:
        with self._changed:
            self.end = end
            self.live_events += live_events
            self._changed.notify_all()

    def _recover(self) -> None:
        """Undo half a transaction, and learn from the database what is kept."""
        with contextlib.suppress(sqlite3.Error):
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._advance(read_end(self._database), 0)


def _repeated(ids: list[str | None], known: set[str], taken: dict[str, None]) -> Iterable[int]:
    """Positions of the ids that are there already; the others are taken."""
    for position, id_ in enumerate(ids):
        if id_ is None:
            continue
        if id_ in known or id_ in taken:
            yield position
        else:
            taken[id_] = None


def _extend(group: _Group, write: Write, duplicates: tuple[int, ...]) -> None:
    """Lay a write's new records behind the others."""
    if not write.bodies:
        return
    if isinstance(write.types, str) and not duplicates:
        group.add(write.types, write.bodies, write.records)
        return
    out = frozenset(duplicates)
    types = repeat(write.types) if isinstance(write.types, str) else write.types
    for position, (kind, body, record) in enumerate(zip(types, write.bodies, write.records)):  # noqa: B905  see types
        if position not in out:
            group.add(kind, (body,), (record,))


def _is_cancelled(future: AppendFuture) -> bool:
    return isinstance(future, Future) and not future.set_running_or_notify_cancel()


def _settle(outcomes: Sequence[tuple[Any, Any]]) -> None:
    """Answer those who wait: threads one by one, each event loop with one call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Any, Any]]] = {}
    for told in outcomes:
        future = told[0]
        if isinstance(future, (Waiter, asyncio.Future)):
            loop = future.loop if isinstance(future, Waiter) else future.get_loop()
            if loop in by_loop:
                by_loop[loop].append(told)
            else:
                by_loop[loop] = [told]
        else:
            _answer(*told)
    for loop, answers in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_answer_all, answers)


def _answer_all(answers: Sequence[tuple[Any, Any]]) -> None:
    for future, outcome in answers:
        if future.__class__ is Waiter:
            future.then(outcome)
        elif not future.done():
            _answer(future, outcome)


def _answer(future: Any, outcome: Any) -> None:
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
