"""Files that are whole and on disk, or not there at all; and what a refusing disk is called."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everbrook.errors import DataError, StorageError

_DAMAGED = ("malformed", "not a database", "file is encrypted")


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, body: bytes) -> None:
    """Put a whole file in place, durably, in one step."""
    half = path.with_name(path.name + ".half")
    try:
        with half.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
        sync_directory(path.parent)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise what the disk or SQLite refuses inside as the house's errors.

    Raises:
        StorageError: a write was refused: the disk is full, read-only or failing.
        DataError: the database file is damaged.
    """
    try:
        yield
    except sqlite3.Error as error:
        if any(sign in str(error) for sign in _DAMAGED):
            raise DataError(
                f"'{path}' must be a SQLite database in good order; SQLite says: {error}. Restore it from a backup."
            ) from error
        raise _refused(path, str(error)) from error
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error


def _refused(path: Path, why: str) -> StorageError:
    return StorageError(
        f"The disk must take what is written to '{path}'; it refused: {why}. Nothing of it is kept.",
        hint="Free some space, or check that the disk is writable.",
    )
