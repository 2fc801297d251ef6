"""The log's SQLite database: its tables and every statement on them.

`batches` holds live records, many in a row, as JSON lists that any SQLite can open
(`select value from batches, json_each(body)`); `segments` says which files hold the others; `event_ids` are the
clients' own keys of live events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

import msgspec

from everbrook.events.segments import SegmentEntry

FILE = "log.sqlite"
LOOKUP_IDS = 500  # in one statement
CHECKPOINT_PAGES = 4000  # of 4 KiB: the write-ahead log is folded into the database after so many

TABLES = frozenset(("batches", "segments", "event_ids"))
_MAKE_TABLES = """
BEGIN;
CREATE TABLE IF NOT EXISTS batches (
    first INTEGER PRIMARY KEY, stop INTEGER NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS segments (
    first INTEGER PRIMARY KEY, stop INTEGER NOT NULL, file TEXT NOT NULL UNIQUE, size_bytes INTEGER NOT NULL,
    crc INTEGER NOT NULL, sealed INTEGER NOT NULL, ids_size_bytes INTEGER NOT NULL, ids_crc INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS event_ids (id TEXT PRIMARY KEY) WITHOUT ROWID;
COMMIT;
"""

_AT_ONCE = """
CREATE TEMP VIEW commits AS SELECT 0 AS first, 0 AS stop, '' AS type, '' AS body, '' AS ids;
CREATE TEMP TRIGGER commit_at_once INSTEAD OF INSERT ON commits BEGIN
    INSERT INTO event_ids SELECT value FROM json_each(CAST(NEW.ids AS TEXT));
    INSERT INTO batches VALUES (NEW.first, NEW.stop, NEW.type, CAST(NEW.body AS TEXT));
END;
"""
"""Of this connection, and in no file: one statement lets go of the interpreter's lock twice, and four do it nine
times, each time to wait for it again."""

Batch = tuple[int, int, str, bytes]
"""First offset, offset after the last, type, JSON list."""


def connect(folder: Path, cache_mb: int, write: bool) -> sqlite3.Connection:
    """Open the database; its tables are made where they are missing and `write` is true."""
    mode = "rwc" if write else "ro"
    database = sqlite3.connect(
        f"{(folder / FILE).absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False,
        timeout=30.0,
    )
    try:
        database.text_factory = bytes
        database.execute(f"PRAGMA cache_size = {-1024 * cache_mb}")
        if write:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            database.executescript(_MAKE_TABLES)
            database.executescript(_AT_ONCE)
    except BaseException:
        database.close()
        raise
    return database


def read_end(database: sqlite3.Connection) -> int:
    """The offset after the last record."""
    row = database.execute(
        "SELECT max((SELECT ifnull(max(stop), 0) FROM segments),"
        " (SELECT ifnull((SELECT stop FROM batches ORDER BY first DESC LIMIT 1), 0)))"
    ).fetchone()
    return int(row[0])


def count_live_events(database: sqlite3.Connection) -> int:
    """How many events lie in the database itself."""
    row = database.execute("SELECT ifnull(sum(stop - first), 0) FROM batches WHERE type = 'event'").fetchone()
    return int(row[0])


def insert_batches(database: sqlite3.Connection, batches: Iterable[Batch]) -> None:
    """Add batches of records."""
    database.executemany("INSERT INTO batches VALUES (?, ?, ?, CAST(? AS TEXT))", batches)


def read_batches(
    database: sqlite3.Connection, start: int, stop: int, types: Sequence[str], limit: int
) -> tuple[list[Batch], bool]:
    """Read whole batches that overlap start..stop-1, in order, until they hold `limit` records.

    Returns:
        The batches, and whether they are all.
    """
    marks = ", ".join("?" * len(types))
    cursor = database.execute(
        "SELECT first, stop, type, body FROM batches"
        " WHERE first >= ifnull((SELECT max(first) FROM batches WHERE first <= ?), 0)"
        f" AND first < ? AND stop > ? AND type IN ({marks}) ORDER BY first",
        (start, stop, start, *types),
    )
    batches, records = [], 0
    for first, after, kind, body in cursor:
        batches.append((first, after, kind.decode(), body))
        records += after - first
        if records >= limit:
            return batches, False
    return batches, True


def delete_event_batches(database: sqlite3.Connection, start: int, stop: int) -> int:
    """Remove live events that a segment has taken over; returns how many."""
    where = "WHERE type = 'event' AND first >= ? AND stop <= ?"
    row = database.execute(f"SELECT ifnull(sum(stop - first), 0) FROM batches {where}", (start, stop)).fetchone()
    database.execute(f"DELETE FROM batches {where}", (start, stop))
    return int(row[0])


def first_live_event(database: sqlite3.Connection) -> int | None:
    """The offset of the oldest live batch of events."""
    row = database.execute("SELECT first FROM batches WHERE type = 'event' ORDER BY first LIMIT 1").fetchone()
    return None if row is None else int(row[0])


def insert_segment(database: sqlite3.Connection, entry: SegmentEntry) -> None:
    """Add a segment that is on disk."""
    database.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(entry))


def read_segments(database: sqlite3.Connection) -> list[SegmentEntry]:
    """All segments, in order."""
    rows = database.execute("SELECT * FROM segments ORDER BY first")
    return [
        SegmentEntry(first, stop, file.decode(), size_bytes, crc, bool(sealed), *ids)
        for first, stop, file, size_bytes, crc, sealed, *ids in rows
    ]


def commit(database: sqlite3.Connection, batches: Sequence[Batch], ids: Iterable[str]) -> None:
    """Add batches of records, and the keys of the new events among them, in a transaction: durable when this returns.

    Raises:
        sqlite3.IntegrityError: one of the keys is there; nothing is changed, but a transaction may be left to be rolled
            back.
    """
    listed = sorted(ids)
    if len(batches) == 1 and not any("\0" in id_ for id_ in listed):
        database.execute("INSERT INTO commits VALUES (?, ?, ?, ?, ?)", (*batches[0], msgspec.json.encode(listed)))
        return
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO event_ids VALUES (?)", zip(listed))  # JSON's NUL ends a text of SQLite's
    insert_batches(database, batches)
    database.execute("COMMIT")


def delete_ids(database: sqlite3.Connection, ids: Sequence[str]) -> int:
    """Remove keys of events; returns how many were there."""
    return sum(database.execute("DELETE FROM event_ids WHERE id = ?", (id_,)).rowcount for id_ in ids)


def known_ids(database: sqlite3.Connection, ids: Sequence[str]) -> set[str]:
    """Those of the keys that are there."""
    known: set[str] = set()
    for start in range(0, len(ids), LOOKUP_IDS):
        some = ids[start : start + LOOKUP_IDS]
        marks = ", ".join("?" * len(some))
        rows = database.execute(f"SELECT id FROM event_ids WHERE id IN ({marks})", some)
        known.update(id_.decode() for (id_,) in rows)
    return known


def has_ids(database: sqlite3.Connection) -> bool:
    """Whether there is any key."""
    return database.execute("SELECT 1 FROM event_ids LIMIT 1").fetchone() is not None
