"""Reading the log: segments and live batches, merged in the order of their offsets."""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from everbrook.errors import DataError
from everbrook.events.columns import EventColumns
from everbrook.events.late_moments import decode_stored
from everbrook.events.log import Run
from everbrook.events.log_database import FILE, Batch, first_live_event, has_ids, known_ids, read_batches, read_segments
from everbrook.events.log_files import disk_errors
from everbrook.events.records import RECORD_TYPES
from everbrook.events.segments import Segment, SegmentEntry
from everbrook.types import I64

if TYPE_CHECKING:
    import pyarrow as pa

_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(list[record]) for name, record in RECORD_TYPES.items()  # type: ignore[valid-type]
}
READ_EVENTS = 1_000_000  # in one run
DECODE_RECORDS = 10_000  # in one go: some 5 ms
FOREVER = 1 << 62  # beyond every offset
ALL_TYPES = tuple(RECORD_TYPES)


class LogReader:
    """Reads through a connection of its own, so that reading and writing do not wait for each other."""

    def __init__(
        self, folder: Path, segment_folder: Path, database: sqlite3.Connection,
        damaged: Callable[[str, str], None] | None = None,
    ) -> None:  # fmt: skip
        """Begin.

        Args:
            folder: the data directory.
            segment_folder: where its segments lie.
            database: a connection.
            damaged: told the file and the trouble of a segment that is then left out; None makes it an error.
        """
        self._path, self._segment_folder, self._database = folder / FILE, segment_folder, database
        self._damaged_segment = damaged
        self._lock = threading.Lock()
        self._segments: dict[str, Segment] = {}

    def runs(
        self, start: int, stop: int, types: Collection[str], limit: int
    ) -> Iterator[Run]:
        """Read the records at start..stop-1, as `Log.runs` says."""
        while start < stop:
            batches, entries, reached = self._step(start, stop, types, limit)
            merged = _merge(start, reached, batches, entries if "event" in types else [])
            for segment_part, part in merged:
                if segment_part is not None:
                    yield from self._segment_runs(*segment_part, limit)
                else:
                    yield from self._batch_runs(part, start, stop, limit)
            start = reached

    def events(self, start: int, stop: int, leave_out: Collection[str]) -> EventColumns:
        """Read all events at start..stop-1 in one piece; what neighbouring segments hold is joined by Arrow."""
        parts: list[EventColumns] = []
        tables: list[pa.Table] = []
        while start < stop:
            batches, entries, reached = self._step(start, stop, ("event",), READ_EVENTS)
            for segment_part, part in _merge(start, reached, batches, entries):
                if segment_part is not None:
                    entry, low, high = segment_part
                    tables.extend(segment.table(low, high, leave_out) for segment in self._standing(entry))
                    continue
                parts.extend(_joined(tables))
                tables = []
                runs = self._batch_runs(part, start, stop, FOREVER)
                parts.extend(run.events for run in runs if run.events is not None)
            start = reached
        return EventColumns.concat([*parts, *_joined(tables)])

    def _step(
        self, start: int, stop: int, types: Collection[str], limit: int
    ) -> tuple[list[Batch], list[SegmentEntry], int]:
        """One consistent look: the batches and segments from `start` up to the offset that is returned."""
        with self._lock, disk_errors(self._path):
            self._database.execute("BEGIN")
            try:
                batches, is_all = read_batches(self._database, start, stop, tuple(types), limit)
                entries = read_segments(self._database)
            finally:
                self._database.execute("COMMIT")
        reached = stop if is_all else min(stop, batches[-1][1])
        return batches, [entry for entry in entries if entry.first < reached and entry.stop > start], reached

    def _segment_runs(self, entry: SegmentEntry, start: int, stop: int, limit: int) -> Iterator[Run]:
        for segment in self._standing(entry):
            low, high = np.searchsorted(segment.offsets, (start, stop)).tolist()
            if low >= high:
                continue
            columns = segment.columns()
            for begin in range(low, high, limit):
                end = min(begin + limit, high)
                yield Run("event", segment.offsets[begin:end], columns.slice(begin, end))

    def _standing(self, entry: SegmentEntry) -> Iterator[Segment]:
        """The segment of an entry, or what took its place since the entry was read; one that is damaged is told of.

        Raises:
            DataError: it is damaged, and nobody is told.
        """
        segment = self.segment(entry)
        try:
            segment.verify()
        except DataError as error:
            entries = self._entries()
            if entry in entries:
                self._tell(entry, error)
                return
            self.let_go(entry.file)  # somebody was forgotten meanwhile: the others' events lie at the same offsets
            for other in entries:
                if other.first < entry.stop and other.stop > entry.first:
                    yield from self._standing(other)
            return
        yield segment

    def _batch_runs(self, batches: Sequence[Batch], start: int, stop: int, limit: int) -> Iterator[Run]:
        for kind, group in groupby(batches, key=lambda batch: batch[2]):
            rows = list(group)
            records, offsets = self._decode(kind, rows), _offsets(rows)
            low, high = np.searchsorted(offsets, (start, stop)).tolist()
            for begin in range(low, high, limit):
                some = slice(begin, min(begin + limit, high))
                if kind == "event":
                    yield Run(kind, offsets[some], EventColumns.from_records(records[some]))
                else:
                    yield Run(kind, offsets[some], records=tuple(records[some]))

    def _decode(self, kind: str, rows: Sequence[Batch]) -> list[Any]:
        """The records of neighbouring batches, decoded a few at a time so that other threads get their turn."""
        if len(rows) == 1:
            return self._decode_some(kind, rows)
        records: list[Any] = []
        some, size = 0, 0
        for position, row in enumerate(rows):
            size += row[1] - row[0]
            if size >= DECODE_RECORDS or position == len(rows) - 1:
                records += self._decode_some(kind, rows[some : position + 1])
                some, size = position + 1, 0
        return records

    def _decode_some(self, kind: str, rows: Sequence[Batch]) -> list[Any]:
        body = rows[0][3] if len(rows) == 1 else b"[%b]" % b",".join([row[3][1:-1] for row in rows])
        try:
            records = decode_stored(_decoders[kind], body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._damaged(rows, str(error)) from None
        if len(records) != sum(row[1] - row[0] for row in rows):
            raise self._damaged(rows, f"it holds {len(records)} records")
        return records

    def oldest_live_events(self, limit: int) -> Run | None:
        """About `limit` of the oldest live events: whole batches with no segment between them; None: there are none."""
        with self._lock, disk_errors(self._path):
            first = first_live_event(self._database)
            if first is None:
                return None
            after = [entry.first for entry in read_segments(self._database) if entry.first > first]
            rows, _ = read_batches(self._database, first, min(after, default=FOREVER), ("event",), limit)
        return Run("event", _offsets(rows), EventColumns.from_records(self._decode("event", rows)))

    def _damaged(self, rows: Sequence[Batch], why: str) -> DataError:
        return DataError(
            f"The log '{self._path}' must hold whole records at the offsets {rows[0][0]} to {rows[-1][1] - 1}; "
            f"{why}. Restore it from a backup."
        )

    def segment(self, entry: SegmentEntry) -> Segment:
        """The segment of an entry; each is opened and verified once."""
        with self._lock:
            if entry.file not in self._segments:
                self._segments[entry.file] = Segment(self._segment_folder, entry)
            return self._segments[entry.file]

    def is_whole(self, segment: Segment) -> bool:
        """Whether a segment can be read; one that cannot is told of, or an error where nobody is told.

        Raises:
            DataError: it is damaged.
        """
        try:
            segment.verify()
        except DataError as error:
            self._tell(segment.entry, error)
            return False
        return True

    def _tell(self, entry: SegmentEntry, error: DataError) -> None:
        if self._damaged_segment is None:
            raise error
        self._damaged_segment(entry.file, error.message)

    def check(self) -> dict[str, str]:
        """Look at every byte of every segment that was not read yet; gives what is wrong, by file."""
        found: dict[str, str] = {}
        for segment in self.all_segments():
            try:
                segment.verify()
            except DataError as error:
                if segment.entry not in self._entries():  # somebody was forgotten meanwhile
                    self.let_go(segment.entry.file)
                    continue
                found[segment.entry.file] = error.message
                if self._damaged_segment is not None:
                    self._damaged_segment(segment.entry.file, error.message)
        return found

    def all_segments(self) -> list[Segment]:
        """Every segment that the log has now."""
        return [self.segment(entry) for entry in self._entries()]

    def _entries(self) -> list[SegmentEntry]:
        with self._lock, disk_errors(self._path):
            return read_segments(self._database)

    def let_go(self, file: str) -> None:
        """Open a segment's file no more."""
        with self._lock:
            self._segments.pop(file, None)

    def known_ids(self, ids: Sequence[str]) -> set[str]:
        """Those of the event ids that live events have."""
        with self._lock, disk_errors(self._path):
            return known_ids(self._database, ids) if has_ids(self._database) else set()

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._database.close()
            self._segments.clear()


def _joined(tables: list[pa.Table]) -> list[EventColumns]:
    """The columns of neighbouring tables; none of no tables."""
    if not tables:
        return []
    import pyarrow as pa

    return [EventColumns.from_table(pa.concat_tables(tables, promote_options="default"))]


Part = tuple[tuple[SegmentEntry, int, int] | None, list[Batch]]


def _merge(start: int, stop: int, batches: Sequence[Batch], entries: Sequence[SegmentEntry]) -> Iterator[Part]:
    """Segments' parts and lists of batches between them, in order."""
    firsts = [batch[0] for batch in batches]
    done = 0
    for entry in entries:
        before = bisect_right(firsts, entry.first)
        if before > done:
            yield None, list(batches[done:before])
        position = max(start, entry.first)
        done = before
        while done < len(batches) and firsts[done] < entry.stop:  # other records between a sealed segment's events
            yield (entry, position, firsts[done]), []
            yield None, [batches[done]]
            position = batches[done][1]
            done += 1
        yield (entry, position, min(stop, entry.stop)), []
    if done < len(batches):
        yield None, list(batches[done:])


def _offsets(rows: Sequence[Batch]) -> I64:
    if len(rows) == 1:
        return np.arange(rows[0][0], rows[0][1])
    return np.concatenate([np.arange(row[0], row[1]) for row in rows])
