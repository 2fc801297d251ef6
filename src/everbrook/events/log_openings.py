"""Who a log is: one row for each time it was opened for writing, with a name of its own and the end at that moment.

A log that was put back from a backup goes on under other names than the one it was copied from, however far either
grows. What was learned beside it compares the names (`held_in_common`) and knows up to where both are the same.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Sequence

import msgspec

MOST_OPENINGS = 500  # kept
_TABLE = "CREATE TABLE IF NOT EXISTS openings (number INTEGER PRIMARY KEY, name TEXT NOT NULL, first INTEGER NOT NULL)"
_log = logging.getLogger(__name__)


class Opening(msgspec.Struct, frozen=True):
    """A time when a log was opened for writing."""

    name: str
    first: int  # the end then: offset of the first record that could be written


def note_opening(database: sqlite3.Connection, end: int) -> tuple[Opening, ...]:
    """Add the present opening to the log's database; gives all that are kept, oldest first.

    Where the disk refuses it, none are given: lists go on, as they do on a full disk.

    Args:
        database: in no transaction.
        end: of the log.
    """
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute(_TABLE)
        database.execute("INSERT INTO openings (name, first) VALUES (?, ?)", (uuid.uuid4().hex[:16], end))
        database.execute("DELETE FROM openings WHERE number <= (SELECT max(number) FROM openings) - ?",
                         (MOST_OPENINGS,))  # fmt: skip
        rows = database.execute("SELECT name, first FROM openings ORDER BY number").fetchall()
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        _log.warning("That the log was opened could not be written to it: %s", error)
        return ()
    return tuple(Opening(name.decode(), first) for name, first in rows)


def held_in_common(openings: Sequence[Opening], others: Sequence[Opening]) -> int | None:
    """Up to which offset two logs are the same: they part where either was opened without the other.

    Args:
        openings: of one log, oldest first; the last may write now.
        others: of the other log, as it was known when something was learned from it.

    Returns:
        The offset; None where they have nothing in common.
    """
    places = {one.name: place for place, one in enumerate(openings)}
    for place in range(len(others) - 1, -1, -1):
        at = places.get(others[place].name)
        if at is not None:
            nexts = [*openings[at + 1 : at + 2], *others[place + 1 : place + 2]]
            return min((one.first for one in nexts), default=openings[at].first)
    return None
