"""The log in a directory: SQLite (WAL, synchronous FULL, group commit) for what is live, column files for bulk.

Everything in it is reached through `Log`; how it is written is `log_writer`, how it is read is `log_reader`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType

from everbrook.errors import EverbrookError, OverloadedError
from everbrook.events.columns import EventColumns
from everbrook.events.erasing import Erased
from everbrook.events.log import Appended, Run
from everbrook.events.log_bulk import BulkWriter, Sealer
from everbrook.events.log_database import FILE, connect, read_end, read_segments
from everbrook.events.log_directory import DirectoryLock, prepare_directory
from everbrook.events.log_files import disk_errors
from everbrook.events.log_health import Health
from everbrook.events.log_lost import SEGMENT_FOLDER, refuse_lost_log
from everbrook.events.log_openings import note_opening
from everbrook.events.log_reader import ALL_TYPES, READ_EVENTS, LogReader
from everbrook.events.log_writer import LogWriter, Then, Waiter, encode_write
from everbrook.events.loose_segments import clear_leftovers
from everbrook.events.records import Record
from everbrook.settings.log import LogSettings

READING = 0.25  # of the memory for SQLite's pages; the newest records are kept beside it (`log_tail`)


class SqliteLog:
    """A `Log` in a data directory that this process holds alone."""

    def __init__(self, path: Path, settings: LogSettings, lenient: bool = False) -> None:
        """Use `open`."""
        self._path, self._segment_folder = path, path / SEGMENT_FOLDER
        self.health, self._lenient = Health(), lenient
        with ExitStack() as opened, disk_errors(path / FILE):
            opened.callback(DirectoryLock(path).release)
            self._segment_folder.mkdir(exist_ok=True)
            self._open_parts(opened, settings)
            self._opened = opened.pop_all()

    def _open_parts(self, opened: ExitStack, settings: LogSettings) -> None:
        reading_mb = max(1, round(READING * settings.cache_mb))
        writing_mb = max(1, settings.cache_mb - reading_mb)
        database = opened.enter_context(closing(connect(self._path, writing_mb, write=True)))
        entries = read_segments(database)
        clear_leftovers(self._segment_folder, entries)
        self.openings = note_opening(database, read_end(database))  # which log this is, the present time the last
        reading = connect(self._path, reading_mb, write=False)
        damaged = self.health.damaged if self._lenient else None
        self._reader = opened.enter_context(closing(LogReader(self._path, self._segment_folder, reading, damaged)))
        with_ids = [self._reader.segment(entry) for entry in entries if entry.ids_size_bytes]
        with_ids = [segment for segment in with_ids if self._reader.is_whole(segment)]
        self._writer = LogWriter(self._path / FILE, database, settings, with_ids, self.health)
        opened.enter_context(closing(self._writer))
        self._bulk = BulkWriter(self._segment_folder, self._reader, self._writer)
        self._writer.start()
        opened.enter_context(closing(Sealer(self._bulk, self._writer, settings.seal_events)))

    @classmethod
    def open(
        cls, path: Path | str, settings: LogSettings | None = None, *, create: bool = True, lenient: bool = False
    ) -> SqliteLog:
        """Open the log of a data directory.

        Args:
            path: the directory.
            settings: of the log.
            create: whether a missing directory is made.
            lenient: whether a damaged segment is named (`health`) and left out, rather than an error.

        Raises:
            NotFoundError: there is no data directory, and none is to be made.
            DataError: it is of another version, damaged, without its log or something else.
            BusyError: another process holds it.
            StorageError: the disk refuses.
        """
        path = Path(path)
        prepare_directory(path, create)
        refuse_lost_log(path)
        return cls(path, settings or LogSettings(), lenient)

    def __enter__(self) -> SqliteLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def end(self) -> int:
        """The offset that the next record will get."""
        return self._writer.end

    def append(self, records: Sequence[Record]) -> Appended:
        """Add checked records, all or none, and return when they are durable."""
        return self.submit(records).result()

    def submit(self, records: Sequence[Record]) -> Future[Appended]:
        """Begin to add checked records; the future is done when they are durable."""
        future: Future[Appended] = Future()
        try:
            self._writer.put(encode_write(records, future))
        except OverloadedError as error:
            future.set_exception(error)
        return future

    def append_then(self, records: Sequence[Record], then: Then, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to add checked records from an event loop; `then` is called in it when they are durable, or refused.

        Args:
            records: what is added.
            then: told what became of them.
            loop: the running one.

        Raises:
            NotReadyError: the log is closed.
            OverloadedError: too much waits already.
        """
        self._writer.put_soon(encode_write(records, Waiter(loop, then)), loop)

    async def append_async(self, records: Sequence[Record]) -> Appended:
        """Add checked records from an event loop, which goes on meanwhile."""
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._writer.put(encode_write(records, future))
        return await future

    def append_columns(self, columns: EventColumns) -> Appended:
        """Add many checked events at once, as a file of their own, and return when they are durable."""
        return self._bulk.append(columns)

    def check(self) -> dict[str, str]:
        """Look at every byte of every segment; gives what is wrong, by file."""
        return self._reader.check()

    def check_aside(self) -> None:
        """Do the same on a thread of its own; what is damaged shows in `health`."""
        def work() -> None:
            with contextlib.suppress(EverbrookError, sqlite3.Error):  # it was closed meanwhile
                self.check()

        threading.Thread(target=work, name="everbrook-log-checker", daemon=True).start()

    def seal(self) -> int:
        """Move live events from SQLite into segments, which are read much faster; returns how many."""
        return self._bulk.seal()

    def erase(self, user_id: str, stop: int | None = None) -> Erased:
        """Take a user's records below an offset out of the log for good: events, changes, lists that were shown.

        Args:
            user_id: whose; guests of sessions that led to the user are the same person.
            stop: the offset; the present end where None. A record that stays must lie at the end.
        """
        return self._bulk.erase(user_id, self.end if stop is None else stop)

    def runs(
        self, start: int, stop: int | None = None, types: Collection[str] | None = None, limit: int = READ_EVENTS
    ) -> Iterator[Run]:
        """Read the records at start..stop-1 in order, as `Log.runs` says."""
        stop, types = self._up_to(stop), ALL_TYPES if types is None else types
        kept = self._writer.tail.runs(start, stop, types, limit)
        return self._reader.runs(start, stop, types, limit) if kept is None else iter(kept)

    def read_events(self, start: int = 0, stop: int | None = None, leave_out: Collection[str] = ()) -> EventColumns:
        """Read all events at start..stop-1 as one set of columns, without the optional columns `leave_out`."""
        return self._reader.events(start, self._up_to(stop), leave_out)

    def _up_to(self, stop: int | None) -> int:
        return self.end if stop is None else min(stop, self.end)

    def wait(self, offset: int, timeout_s: float) -> int:
        """Wait until the end is past `offset`, or the time is over; returns the end."""
        return self._writer.wait(offset, timeout_s)

    def close(self) -> None:
        """Finish what was begun and let go of the files; a second time does nothing."""
        self._opened.close()
