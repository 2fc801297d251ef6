"""A look over a log that changes nothing, also beside who writes it: database, records, offsets, segments."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from everbrook.errors import DataError, EverbrookError
from everbrook.events.late_moments import decode_stored
from everbrook.events.log_database import FILE, connect, read_end, read_segments
from everbrook.events.log_files import disk_errors
from everbrook.events.log_lost import RESTORE, SEGMENT_FOLDER, refuse_lost_log
from everbrook.events.loose_segments import unknown_files
from everbrook.events.records import RECORD_TYPES
from everbrook.events.segments import Segment, SegmentEntry
from everbrook.types import I64

Level = Literal["wrong", "note", "fine"]
MOST_TOLD = 10  # of one kind
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(list[record]) for name, record in RECORD_TYPES.items()  # type: ignore[valid-type]
}
_UNKNOWN_IDS = """
SELECT count(*) FROM batches, json_each(batches.body) AS event WHERE batches.type = 'event'
AND json_extract(event.value, '$.id') IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM event_ids WHERE id = json_extract(event.value, '$.id'))
"""


class Finding(msgspec.Struct, frozen=True):
    """Something that was looked at."""

    level: Level
    check: str
    message: str
    hint: str | None = None


def log_troubles(path: Path) -> Iterator[Finding]:
    """What is wrong with the log of a data directory.

    Args:
        path: the data directory.
    """
    file = path / FILE
    try:
        refuse_lost_log(path)
        if not file.exists() or not file.stat().st_size:
            state = "is empty" if file.exists() else "is missing"
            yield Finding("wrong", "log", f"The log's database '{file}' must hold the log; it {state}.", RESTORE)
            return
        with disk_errors(file), closing(connect(path, 16, write=False)) as database:
            yield from _database(file, database)
            database.execute("BEGIN")  # one moment, whatever the server writes meanwhile
            entries = read_segments(database)
            spans = list(_batches(file, database))
            yield from (found for _, found in spans if found is not None)
            placed = [np.arange(*span) for span, found in spans if found is None]
            yield from _segments(path / SEGMENT_FOLDER, entries, placed)
            yield from _offsets(file, database, placed)
            yield from _ids(file, database)
    except EverbrookError as error:
        yield Finding("wrong", "log", error.message, error.hint or "Restore the data directory from a backup.")


def _database(file: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    for (line,) in database.execute("PRAGMA integrity_check(5)"):
        text = line.decode() if isinstance(line, bytes) else str(line)
        if text != "ok":
            yield Finding("wrong", "log", f"SQLite finds '{file}' damaged: {' '.join(text.split())}.",
                          "Restore it from a backup.")  # fmt: skip


def _batches(file: Path, database: sqlite3.Connection) -> Iterator[tuple[tuple[int, int], Finding | None]]:
    """The offsets of each row, and what is wrong with it."""
    for first, stop, kind, body in database.execute("SELECT first, stop, type, body FROM batches ORDER BY first"):
        name = kind.decode()
        try:
            held = len(decode_stored(_decoders[name], body))
            why = None if held == stop - first else f"it holds {held} records"
        except KeyError:
            why = f"its type '{name}' is not known"
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            why = str(error)
        yield (first, stop), None if why is None else Finding(
            "wrong", "log", f"The row of '{file}' at the offsets {first} to {stop - 1} is damaged: {why}.",
            "Restore the data directory from a backup.",
        )  # fmt: skip


def _segments(folder: Path, entries: list[SegmentEntry], placed: list[I64]) -> Iterator[Finding]:
    """Troubles of the segments; the offsets of those that are whole are added to `placed`."""
    for entry in entries:
        segment = Segment(folder, entry)
        try:
            segment.verify()
            placed.append(np.asarray(segment.offsets))
        except (DataError, OSError, ValueError) as error:
            named = f"'{folder / entry.file}' cannot be read: {error}."
            told = error.message if isinstance(error, DataError) else named
            yield Finding(
                "wrong", "segments", told,
                "Put the file back from a backup. Until then a server leaves out its "
                f"{entry.stop - entry.first} offsets from {entry.first} on and serves the rest.",
            )  # fmt: skip
            placed.append(np.arange(entry.first, entry.stop) if not entry.sealed else np.zeros(0, np.int64))
    yield from _unknown(folder, entries)


def _unknown(folder: Path, entries: list[SegmentEntry]) -> Iterator[Finding]:
    leftovers, others = unknown_files(folder, entries)
    if others:  # some may have been registered or replaced by a server since the entries were read
        with closing(connect(folder.parent, 1, write=False)) as database:
            still = unknown_files(folder, read_segments(database))[1]
        others = [file for file in others if file in still]
    if leftovers:
        hint = "Written just now, or left by a process that ended; a start removes them."
        yield Finding("note", "segments", f"Files without an entry lie in '{folder}': {_names(leftovers)}.", hint)
    if others:
        yield Finding(
            "wrong", "segments", f"Segments that the log does not know lie in '{folder}': {_names(others)}.",
            f"Their events are in no list. {RESTORE} Where the database is the right one, move these files away.",
        )  # fmt: skip


def _names(files: list[Path]) -> str:
    return ", ".join(file.name for file in files[:MOST_TOLD])


def _offsets(file: Path, database: sqlite3.Connection, placed: list[I64]) -> Iterator[Finding]:
    end = read_end(database)
    offsets = np.concatenate([*placed, np.zeros(0, np.int64)])
    counts = np.bincount(offsets, minlength=end) if len(offsets) else np.zeros(end, np.int64)
    twice, missing = np.flatnonzero(counts > 1), np.flatnonzero(counts == 0)
    if len(twice):
        told = f"{len(twice)} offsets of '{file}' have two records, the first is {twice[0]}."
        yield Finding("wrong", "offsets", told, "Restore the data directory from a backup.")
    if not len(missing):
        return
    deletions = database.execute("SELECT count(*) FROM batches WHERE type = 'deletion'").fetchone()[0]
    told = f"{len(missing)} offsets of '{file}' have no record, the first is {missing[0]}"
    if deletions:
        yield Finding("note", "offsets", f"{told}: records of forgotten people leave such holes.")
    else:
        yield Finding(
            "wrong", "offsets", f"{told}, and nobody was ever forgotten.",
            "A damaged row or segment explains it where one is named; else restore from a backup.",
        )  # fmt: skip


def _ids(file: Path, database: sqlite3.Connection) -> Iterator[Finding]:
    try:
        unknown = int(database.execute(_UNKNOWN_IDS).fetchone()[0])
    except sqlite3.OperationalError:  # a row is no JSON, which was told
        return
    if unknown:
        yield Finding("wrong", "ids", f"{unknown} events of '{file}' have ids that are not among the known ones.",
                      "The same event could be taken twice: restore the database from a backup.")  # fmt: skip
