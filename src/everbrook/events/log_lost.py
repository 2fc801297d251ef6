"""A data directory whose log's database is gone, though the directory was used: opening it would begin anew unasked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from everbrook.errors import DataError
from everbrook.events.log_database import FILE, TABLES, connect

SEGMENT_FOLDER = "segments"
LEARNED_FOLDER = "checkpoints"
LEARNED_FROM = "checkpoints.json"  # which log what lies there was learned from
RESTORE = (
    f"Restore '{FILE}' and the folder '{SEGMENT_FOLDER}' from a backup of the same moment, or move the directory away "
    "to begin anew."
)


def refuse_lost_log(path: Path) -> None:
    """Refuse a directory that was used and has no log in it; one that is really new has nothing to refuse.

    Args:
        path: the data directory; nothing in it is changed.

    Raises:
        DataError: the database is missing or empty, and other files show that there was one.
    """
    signs = _signs_of_use(path)
    state = _trouble(path / FILE) if signs else None
    if state is not None:
        raise DataError(
            f"'{path / FILE}' must hold the log, for the directory was used: {signs}; it {state}.",
            RESTORE,
        )


def _signs_of_use(path: Path) -> str | None:
    segments = sum(not one.name.endswith(".ids.arrow") for one in (path / SEGMENT_FOLDER).glob("*.arrow"))
    if segments:
        files = "1 segment of events lies" if segments == 1 else f"{segments} segments of events lie"
        return f"{files} in '{path / SEGMENT_FOLDER}'"
    if any((path / LEARNED_FOLDER).glob("*")):
        return f"what was learned lies in '{path / LEARNED_FOLDER}'"
    if (path / LEARNED_FROM).exists():
        return f"'{path / LEARNED_FROM}' tells of it"
    waiting = path / f"{FILE}-wal"
    if not (path / FILE).exists() and waiting.exists() and waiting.stat().st_size:
        return f"records that are not in it yet lie in '{waiting}'"
    return None


def _trouble(file: Path) -> str | None:
    """What is wrong with the database; None where it has its tables, or damage that is told when it is opened."""
    if not file.exists():
        return "is missing"
    if file.stat().st_size == 0:
        return "is empty"
    try:
        with closing(connect(file.parent, 1, write=False)) as database:
            names = {name.decode() for (name,) in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        return None
    return None if names >= TABLES else "has none of its tables"
