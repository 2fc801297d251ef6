"""Following a log that another process writes: reads what was committed, through a read-only connection.

It takes no lock that a writer waits for and writes nothing. New records show within a millisecond or two of their
commit: SQLite tells cheaply (`data_version`) whether another connection has committed anything since the last look.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType

from everbrook.errors import NotFoundError
from everbrook.events.columns import EventColumns
from everbrook.events.log import Run
from everbrook.events.log_database import FILE, connect, read_end
from everbrook.events.log_files import disk_errors
from everbrook.events.log_health import Health
from everbrook.events.log_lost import SEGMENT_FOLDER, refuse_lost_log
from everbrook.events.log_reader import ALL_TYPES, READ_EVENTS, LogReader

LOOK_S = 0.002  # between two looks while waiting


class LogFollower:
    """The reading half of a `Log`, beside the one process that writes it."""

    def __init__(self, path: Path, cache_mb: int = 16, lenient: bool = False) -> None:
        """Begin to follow.

        Args:
            path: the data directory.
            cache_mb: memory for SQLite's pages.
            lenient: whether a damaged segment is named (`health`) and left out, rather than an error.

        Raises:
            NotFoundError: there is no log.
            DataError: it is damaged, or gone from a directory that was used.
        """
        refuse_lost_log(path)
        if not (path / FILE).exists():
            raise NotFoundError(f"'{path}' must be an Everbrook data directory; there is no '{FILE}' in it.")
        self._file = path / FILE
        self.health = Health()
        with disk_errors(self._file):
            self._database = connect(path, 1, write=False)
            try:
                reading = connect(path, cache_mb, write=False)
                self._reader = LogReader(path, path / SEGMENT_FOLDER, reading, self.health.damaged if lenient else None)
            except BaseException:
                self._database.close()
                raise
        self._change, self._end = -1, 0

    def __enter__(self) -> LogFollower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def end(self) -> int:
        """The offset after the last record that is committed now."""
        with disk_errors(self._file):
            change = _change_of(self._database)
            if change != self._change:
                self._end = read_end(self._database)
                self._change = change
        return self._end

    def runs(
        self, start: int, stop: int | None = None, types: Collection[str] | None = None, limit: int = READ_EVENTS
    ) -> Iterator[Run]:
        """Read the records at start..stop-1 in order, as `Log.runs` says."""
        return self._reader.runs(start, self._up_to(stop), ALL_TYPES if types is None else types, limit)

    def read_events(self, start: int = 0, stop: int | None = None, leave_out: Collection[str] = ()) -> EventColumns:
        """Read all events at start..stop-1 as one set of columns, without the optional columns `leave_out`."""
        return self._reader.events(start, self._up_to(stop), leave_out)

    def _up_to(self, stop: int | None) -> int:
        return self.end if stop is None else min(stop, self.end)

    def wait(self, offset: int, timeout_s: float) -> int:
        """Wait until the end is past `offset`, or the time is over; returns the end."""
        until = time.monotonic() + timeout_s
        while (end := self.end) <= offset and time.monotonic() < until:
            time.sleep(LOOK_S)
        return end

    def close(self) -> None:
        """Let go of the files; a second time does nothing."""
        self._reader.close()
        self._database.close()


def _change_of(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA data_version").fetchone()[0])
