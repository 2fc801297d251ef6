"""Bulk writes: events that go into segments, past SQLite's rows. Imports come so; live events are moved when many."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from everbrook.errors import EverbrookError
from everbrook.events.columns import EventColumns
from everbrook.events.erasing import (
    ANONYMOUS,
    Erased,
    Person,
    Rewritten,
    erase_rows,
    replace_segments,
    rewrite_segments,
    write_anew,
)
from everbrook.events.log import Appended
from everbrook.events.log_database import delete_event_batches, insert_segment
from everbrook.events.log_files import disk_errors
from everbrook.events.log_reader import READ_EVENTS, LogReader
from everbrook.events.log_writer import LogWriter
from everbrook.events.loose_segments import clear_leftovers, mark, unmark
from everbrook.events.segments import Segment, SegmentEntry, ids_in_segments, remove_segment, write_segment
from everbrook.types import I64

SEAL_EVENTS = 250_000  # in one segment, about
logger = logging.getLogger(__name__)


class BulkWriter:
    """Writes segments in the caller's thread; only to register them takes the log writer's time."""

    def __init__(self, folder: Path, reader: LogReader, writer: LogWriter) -> None:
        self._folder, self._reader, self._writer = folder, reader, writer
        self._one_at_a_time = threading.Lock()
        self._numbers = itertools.count(_last_number(folder) + 1)

    def append(self, columns: EventColumns) -> Appended:
        """Add events as a segment; those whose ids the log has are left out."""
        with self._one_at_a_time:
            while True:
                appended = self._try_append(columns)
                if appended is not None:
                    return appended

    def _try_append(self, columns: EventColumns) -> Appended | None:
        """Write the file, then register it; None where an id has come in between, so that it must be done again."""
        size, looked_at = len(columns), self._writer.end
        rows = self._new_rows(columns)
        if len(rows) == 0:
            return Appended(looked_at, looked_at, tuple(range(size)))
        kept = columns if len(rows) == size else columns.take(rows)
        placed = self._register(self._write(kept.compact()), looked_at)
        if placed is None:
            return None
        duplicates = () if len(rows) == size else tuple(np.setdiff1d(np.arange(size), rows).tolist())
        return Appended(placed.first, placed.stop, duplicates)

    def _register(self, entry: SegmentEntry, looked_at: int) -> SegmentEntry | None:
        """Give a segment its offsets; None, and it is removed, where events since `looked_at` have ids of it."""
        segment = Segment(self._folder, entry)

        def work(database: sqlite3.Connection, end: int) -> SegmentEntry | None:
            if entry.ids_size_bytes and ids_in_segments([segment], list(self._ids_between(looked_at, end))):
                return None
            placed = replace(entry, first=end, stop=end + entry.stop)
            insert_segment(database, placed)
            return placed

        def then(placed: SegmentEntry | None) -> None:
            if placed is not None and placed.ids_size_bytes:
                self._writer.id_segments.append(self._reader.segment(placed))

        placed = None
        try:
            placed = self._writer.do(work, then)
        finally:
            self._settle(entry, placed is not None)
        return placed

    def _new_rows(self, columns: EventColumns) -> I64:
        """The events whose ids are new, the first of each."""
        if columns.id is None:
            return np.arange(len(columns))
        ids = columns.id.compact()
        names, codes = ids.names, ids.codes
        known = self._reader.known_ids(names) | ids_in_segments(list(self._writer.id_segments), names)
        with_id = np.flatnonzero(codes >= 0)
        _, first_places = np.unique(codes[with_id], return_index=True)
        is_old = codes >= 0
        is_old[with_id[first_places]] = False
        if known:
            is_old |= np.array([name in known for name in names] + [False])[codes]
        return np.flatnonzero(~is_old)

    def _ids_between(self, start: int, stop: int) -> Iterator[str]:
        for run in self._reader.runs(start, stop, ("event",), READ_EVENTS):
            if run.events is not None and run.events.id is not None:
                yield from run.events.id.names

    def seal(self) -> int:
        """Move live events from SQLite into segments; returns how many."""
        with self._one_at_a_time:
            return sum(iter(self._seal_some, 0))

    def _seal_some(self) -> int:
        run = self._reader.oldest_live_events(SEAL_EVENTS)
        if run is None or run.events is None:
            return 0
        entry = self._write(run.events, run.offsets)

        def work(database: sqlite3.Connection, end: int) -> int:
            insert_segment(database, entry)
            return delete_event_batches(database, entry.first, entry.stop)

        def then(moved: int) -> None:
            self._writer.live_events -= moved

        moved = 0
        try:
            moved = self._writer.do(work, then)
        finally:
            self._settle(entry, moved > 0)
        return moved

    def erase(self, user_id: str, stop: int) -> Erased:
        """Take a user's records at offsets below `stop` out of the log; see `erasing`."""
        with self._one_at_a_time:
            segments = self._reader.all_segments()
            with disk_errors(self._folder):
                clear_leftovers(self._folder, [segment.entry for segment in segments])  # of a try that the disk refused
            person = Person(user_id, stop)
            for run in self._reader.runs(0, stop, ("event",), READ_EVENTS):
                if run.events is not None:
                    person.find_sessions(run.events)
            for run in self._reader.runs(0, stop, ("event",), READ_EVENTS) if person.sessions else ():
                if run.events is not None:
                    person.find_owners(run.events, run.offsets)
            rewritten = rewrite_segments(segments, person, self._new_file)
            anonymous = f"{ANONYMOUS}-{uuid.uuid4().hex[:12]}"

            def work(database: sqlite3.Connection, end: int) -> dict[str, int]:
                ids = replace_segments(database, rewritten)
                counts = erase_rows(database, person, anonymous)
                counts["event_ids"] += ids
                return counts

            def then(counts: dict[str, int]) -> None:
                self._writer.live_events -= counts["event"]
                self._writer.tail.clear()
                self._forget_segments(rewritten)

            for one in rewritten:  # after a crash nothing of the person stays on disk
                mark(self._folder / one.old.file)
            counts = self._writer.do(work, then)
            self._writer.do(lambda database, _: write_anew(database))  # again in each try, until the disk took it
            return Erased(
                events=counts["event"] + sum(one.events for one in rewritten), changes=counts["user"],
                impressions=counts["impression"], deletions=counts["deletion"], event_ids=counts["event_ids"],
                segments=len(rewritten), sessions=len(person.sessions),
            )  # fmt: skip

    def _forget_segments(self, rewritten: list[Rewritten]) -> None:
        """Read the successors from now on, and remove what they took the place of."""
        gone = {one.old.file for one in rewritten}
        kept = [segment for segment in self._writer.id_segments if segment.entry.file not in gone]
        kept += [self._reader.segment(one.new) for one in rewritten if one.new and one.new.ids_size_bytes]
        self._writer.id_segments[:] = kept
        for file in gone:
            try:
                remove_segment(self._folder / file)
            finally:
                self._reader.let_go(file)  # last: a reader under way may open it until it is removed
        for one in rewritten:
            for entry in (one.old, one.new):
                if entry is not None:
                    unmark(self._folder / entry.file)

    def _write(self, columns: EventColumns, offsets: I64 | None = None) -> SegmentEntry:
        path = self._new_file()
        try:
            return write_segment(path, columns, offsets)
        except BaseException:
            unmark(path)
            raise

    def _settle(self, entry: SegmentEntry, is_known: bool) -> None:
        """Keep a segment that was registered; remove one that was not."""
        path = self._folder / entry.file
        if not is_known:
            remove_segment(path)
        unmark(path)

    def _new_file(self) -> Path:
        path = self._folder / f"{next(self._numbers):08d}.arrow"
        mark(path)
        return path


class Sealer:
    """A thread that seals whenever there are many live events."""

    def __init__(self, bulk: BulkWriter, writer: LogWriter, seal_events: int) -> None:
        self._bulk, self._writer = bulk, writer
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="everbrook-log-sealer", daemon=True)
        if seal_events:
            writer.many_events = seal_events
            if writer.live_events >= seal_events:
                writer.many.set()
            self._thread.start()

    def _run(self) -> None:
        while self._writer.many.wait() and not self._closed:
            self._writer.many.clear()
            try:
                self._bulk.seal()
            except EverbrookError:
                self._writer.many_events *= 2  # the disk may be full: do not try again at once
                logger.exception("Live events could not be moved into a segment; they stay where they are.")

    def close(self) -> None:
        """Finish what was begun and stop."""
        self._closed = True
        self._writer.many.set()
        if self._thread.is_alive():
            self._thread.join()


def _last_number(folder: Path) -> int:
    return max((int(path.name.partition(".")[0]) for path in folder.glob("*.arrow")), default=0)
