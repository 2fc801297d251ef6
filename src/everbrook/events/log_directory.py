"""The data directory: its format number, and the lock that keeps a second process out."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from everbrook.errors import BusyError, DataError, NotFoundError
from everbrook.events.log_files import disk_errors, write_durably

FORMAT = 1
FORMAT_FILE = "everbrook.json"
LOCK_FILE = "LOCK"


class _Format(msgspec.Struct, frozen=True):
    format: int


class DirectoryLock:
    """Holds a data directory for this process until it is released."""

    def __init__(self, path: Path) -> None:
        self._file = (path / LOCK_FILE).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise BusyError(
                f"The data directory '{path}' must be used by one process at a time; process {holder} holds it.",
                hint="Stop that process, or choose another directory.",
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let others in; a second time does nothing."""
        self._file.close()


def holder_of(path: Path) -> int | None:
    """The process that holds a data directory; None where nobody does. It takes no lock itself.

    Args:
        path: the data directory.
    """
    file = path / LOCK_FILE
    if not file.exists():
        return None
    number = file.stat().st_ino
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and int(fields[5].rpartition(":")[2]) == number:
            return int(fields[4])
    return None


def prepare_directory(path: Path, create: bool) -> None:
    """Check that a directory has the right format; where it is new, make it.

    Raises:
        NotFoundError: there is none, and none is to be made.
        DataError: it holds something else, or is of another version.
        StorageError: it cannot be written.
    """
    file = path / FORMAT_FILE
    if file.exists():
        _check_format(path, file)
        return
    if not create:
        raise NotFoundError(f"'{path}' must be an Everbrook data directory; there is no '{FORMAT_FILE}' in it.")
    with disk_errors(path):
        if path.exists() and not path.is_dir():
            raise DataError(f"The data directory '{path}' must be a directory; it is a file.")
        path.mkdir(parents=True, exist_ok=True)
        strange = {entry.name for entry in path.iterdir()} - {LOCK_FILE, FORMAT_FILE + ".half"}
        if strange:
            raise DataError(
                f"The data directory '{path}' must be empty or Everbrook's own; it holds '{min(strange)}' and "
                f"no '{FORMAT_FILE}'. Choose another directory."
            )
        write_durably(file, msgspec.json.encode(_Format(FORMAT)))


def _check_format(path: Path, file: Path) -> None:
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Format).format
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise DataError(f'\'{file}\' must hold {{"format": {FORMAT}}}; it holds something else.') from None
    if found != FORMAT:
        raise DataError(
            f"The data directory '{path}' must have format {FORMAT}; it has format {found}, of another version of "
            "Everbrook. Use that version, or export with it and import here."
        )
