"""Taking a person's records out of the log, bytes and all. Other records stay at their offsets; holes stay behind.

Segments that name the person are written anew without them; rows of the database likewise, in one transaction together
with the new list of segments, so that a crash leaves the log either as it was or done. Then the database is written
anew, for pages that were freed still hold what lay in them; where the disk refuses that, whoever tries again does it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from everbrook.errors import StorageError
from everbrook.events.columns import Coded, EventColumns
from everbrook.events.log_database import Batch, delete_ids, insert_batches, insert_segment
from everbrook.events.log_files import disk_errors, sync_directory, write_durably
from everbrook.events.owners import Owners
from everbrook.events.records import RECORD_TYPES, Deletion, Event, Impression, Record, UserChange
from everbrook.events.segments import Segment, SegmentEntry, write_segment
from everbrook.types import I64, Bool

_NAMING = (Event, UserChange, Deletion, Impression)  # records that may be a person's
ANONYMOUS = "forgotten"  # stands in a deletion for whom it was
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in RECORD_TYPES.items() if kind in _NAMING}
_rows = msgspec.json.Decoder(list[msgspec.Raw])
_names = msgspec.json.Decoder(list[str])


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken out of the log."""

    events: int = 0
    changes: int = 0  # records of the user
    impressions: int = 0
    deletions: int = 0  # earlier ones of the same user; they name nobody any more
    event_ids: int = 0
    segments: int = 0  # written anew
    sessions: int = 0  # in which the user was named


@dataclass
class Person:
    """Whose records are meant.

    A session may have led to several users, one after another. What the others did in it stays theirs. Where it led to
    the person last it ends, for all: its name goes from the others' records too, and these then name their user.

    Args:
        user: the id.
        stop: records from this offset on are not meant.
        sessions: in which the user was named.
        owners: whose the events of these sessions are.
    """

    user: str
    stop: int
    sessions: set[str] = field(default_factory=set)
    owners: Owners = field(default_factory=Owners)

    def find_sessions(self, columns: EventColumns) -> None:
        """Take note of the sessions in which events name the user; first of the whole log."""
        if (code := _code(columns.user, self.user)) is None:
            return
        theirs = np.unique(columns.session.codes[columns.user.codes == code])
        self.sessions |= {columns.session.names[code] for code in theirs.tolist() if code >= 0}

    def find_owners(self, columns: EventColumns, offsets: I64) -> None:
        """Take note of who else was named in these sessions; then, once more of the whole log and in its order."""
        if self.sessions:
            self.owners.note(columns, offsets, self.sessions)

    @cached_property
    def ended(self) -> set[str]:
        """The sessions that led to the person last; to be asked when all owners were found."""
        return {session for session in self.sessions if self.owners.last(session) == self.user}

    def rows(self, columns: EventColumns, offsets: I64) -> Bool:
        """(B,) which events are the person's: they name the user, or nobody in a session that led there then."""
        theirs = np.zeros(len(columns), np.bool_)
        if (code := _code(columns.user, self.user)) is not None:
            theirs |= columns.user.codes == code
        unnamed = np.flatnonzero(_within(columns, self.sessions) & (columns.user.codes < 0))
        for row in unnamed.tolist():
            session = columns.session.names[columns.session.codes[row]]
            theirs[row] = self.owners.of(session, int(offsets[row])) == self.user
        return theirs & (offsets < self.stop)

    def others(self, columns: EventColumns, offsets: I64) -> EventColumns:
        """Events that stay, without the sessions that ended."""
        cut = np.flatnonzero(_within(columns, self.ended) & (offsets < self.stop))
        if not len(cut):
            return columns
        users, sessions = columns.user.texts(), columns.session.texts()
        for row in cut.tolist():
            users[row] = users[row] or self.owners.of(sessions[row] or "", int(offsets[row]))
            sessions[row] = None
        return replace(columns, user=Coded.of(users), session=Coded.of(sessions))

    def owns(self, record: Record, offset: int) -> bool:
        """Whether a record is the person's."""
        if isinstance(record, UserChange):
            return record.id == self.user
        if isinstance(record, Deletion):
            return record.what == "user" and record.id == self.user
        if isinstance(record, Event | Impression):
            return self._owner(record, offset) == self.user
        return False

    def other(self, record: Record, offset: int) -> Record | None:
        """What becomes of a record that stays; None where it is as it was."""
        if not isinstance(record, Event | Impression) or record.session not in self.ended:
            return None
        return msgspec.structs.replace(record, user=self._owner(record, offset), session=None)

    def _owner(self, record: Event | Impression, offset: int) -> str | None:
        if record.user is not None or record.session not in self.sessions:
            return record.user
        return self.owners.of(record.session, offset)

    def needles(self) -> list[bytes]:
        """Bytes of which a row of the database has some where the person is in it."""
        return [msgspec.json.encode(name) for name in (self.user, *self.sessions)]


def _code(coded: Coded, name: str) -> int | None:
    return coded.names.index(name) if name in coded.names else None


def _within(columns: EventColumns, sessions: set[str]) -> Bool:
    """(B,) which events are in one of the sessions."""
    codes = [code for code, name in enumerate(columns.session.names) if name in sessions]
    return np.isin(columns.session.codes, codes) if codes else np.zeros(len(columns), np.bool_)


@dataclass
class Rewritten:
    """A segment's successor; None where nothing of it stays."""

    old: SegmentEntry
    new: SegmentEntry | None
    events: int  # that are gone
    ids: list[str]  # of these events


def rewrite_segments(segments: Iterable[Segment], person: Person, new_file: Callable[[], Path]) -> list[Rewritten]:
    """Write anew those segments that hold events of the person; the log does not know them yet.

    Args:
        segments: all of them.
        person: whose events go.
        new_file: gives the path of the next file.
    """
    done = []
    for segment in segments:
        if segment.entry.first >= person.stop:
            continue
        columns = segment.columns()
        theirs = person.rows(columns, segment.offsets)
        changed = person.others(columns, segment.offsets)
        gone = int(np.count_nonzero(theirs))
        if not gone and changed is columns:
            continue
        new = None
        if gone < len(columns):
            kept = changed.take(np.flatnonzero(~theirs)).compact()
            offsets = np.ascontiguousarray(segment.offsets[~theirs])
            new = write_segment(new_file(), kept, offsets, with_ids=segment.entry.ids_size_bytes > 0)
        ids = None if columns.id is None else columns.take(np.flatnonzero(theirs)).id
        names = [] if ids is None else [name for name in ids.texts() if name is not None]
        done.append(Rewritten(segment.entry, new, gone, names))
    return done


def replace_segments(database: sqlite3.Connection, rewritten: list[Rewritten]) -> int:
    """Let the log know the successors in place of what was there; how many event ids went with it."""
    ids = 0
    for one in rewritten:
        ids += delete_ids(database, one.ids)
        database.execute("DELETE FROM segments WHERE file = ?", (one.old.file,))
        if one.new is not None:
            insert_segment(database, one.new)
    return ids


def erase_rows(database: sqlite3.Connection, person: Person, anonymous: str) -> dict[str, int]:
    """Take the person's records out of the database's rows.

    Args:
        database: in a transaction.
        person: whose records go.
        anonymous: stands in deletions for the person.

    Returns:
        How many records of each type are gone, and event ids.
    """
    counts = dict.fromkeys(("event", "user", "impression", "deletion", "event_ids"), 0)
    found: dict[int, Batch] = {}
    for needle in person.needles():  # one by one: a statement takes only so many
        rows = database.execute(
            "SELECT first, stop, type, body FROM batches WHERE first < ? AND instr(body, CAST(? AS TEXT))",
            (person.stop, needle),
        )
        found.update((first, (first, stop, kind.decode(), body)) for first, stop, kind, body in rows)
    for batch in found.values():
        kept, ids = _without(batch, person, anonymous, counts)
        database.execute("DELETE FROM batches WHERE first = ?", (batch[0],))
        insert_batches(database, kept)
        counts["event_ids"] += delete_ids(database, ids)
    return counts


def _without(batch: Batch, person: Person, anonymous: str, counts: dict[str, int]) -> tuple[list[Batch], list[str]]:
    """What stays of a batch, cut where records go, and the ids of the events that go."""
    first, _, kind, body = batch
    runs: list[tuple[int, list[bytes]]] = []
    ids: list[str] = []
    last = -2
    for offset, raw in enumerate(_rows.decode(body), first):
        kept = bytes(raw)
        if offset < person.stop and kind in _decoders:
            record = _decoders[kind].decode(raw)
            if person.owns(record, offset):
                counts[kind] += 1
                if not isinstance(record, Deletion):  # whose offset must stay, for it may be the log's last
                    ids += [record.id] if isinstance(record, Event) and record.id is not None else []
                    continue
                kept = msgspec.json.encode(msgspec.structs.replace(record, id=anonymous))
            elif (other := person.other(record, offset)) is not None:
                kept = msgspec.json.encode(other)
        if last != offset - 1:
            runs.append((offset, []))
        runs[-1][1].append(kept)
        last = offset
    return [(start, start + len(rows), kind, b"[%b]" % b",".join(rows)) for start, rows in runs], ids


def write_anew(database: sqlite3.Connection) -> None:
    """Write the whole database anew and empty its write-ahead log: nothing is left of what was deleted.

    Args:
        database: in a transaction, which ends; it is in another one afterwards.
    """
    database.execute("COMMIT")
    database.execute("VACUUM")
    busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    database.execute("BEGIN IMMEDIATE")
    if busy:
        raise sqlite3.OperationalError("a reader keeps the write-ahead log from being emptied")


class Intents:
    """Deletions that were begun: a file that is there only while one is under way, read again after a crash.

    Who is being forgotten twice at a time is in it twice.
    """

    _lock = threading.Lock()  # of all such files: what was read is written again before anybody else reads

    def __init__(self, folder: Path) -> None:
        self._file = folder / "erasing.json"

    def pending(self) -> list[str]:
        """The ids of those whose deletion was begun and not ended.

        Raises:
            StorageError: the file is damaged.
        """
        try:
            return _names.decode(self._file.read_bytes())
        except FileNotFoundError:
            return []
        except msgspec.MsgspecError as error:
            raise StorageError(
                f"The file '{self._file}' must be a JSON list of those who are being forgotten; it is not: {error}.",
                "Restore it from a backup, or remove it and delete again whoever asked for it last.",
            ) from None

    def begin(self, user_id: str) -> None:
        """Keep, durably, that a user is to be forgotten."""
        with self._lock, disk_errors(self._file):
            write_durably(self._file, msgspec.json.encode(sorted([*self.pending(), user_id])))

    def end(self, user_id: str) -> None:
        """It is done."""
        with self._lock, disk_errors(self._file):
            left = self.pending()
            if user_id in left:
                left.remove(user_id)
            if left:
                write_durably(self._file, msgspec.json.encode(left))
            else:
                self._file.unlink(missing_ok=True)
                sync_directory(self._file.parent)
