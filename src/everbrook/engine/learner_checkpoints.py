"""The learner's checkpoints: written beside the learning, found again, passed over where they are damaged.

Writing happens in a copy of the process that the kernel makes without copying memory (fork), so that a large model
goes on learning while gigabytes are written; what is written is the model as it was at that moment.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everbrook.errors import DataError, StorageError
from everbrook.learn.checkpoints import DRAFT, check_folder, read_index, save_folder

PREFIX = "learner-"
EXTRA_NICENESS = 5
_log = logging.getLogger("everbrook.learner")

Fill = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that is whole."""

    path: Path
    offset: int
    notes: dict[str, Any]


class LearnerCheckpoints:
    """The folders `learner-<offset>` in a directory."""

    def __init__(self, folder: Path, digest: str, keep: int) -> None:
        """Look after the checkpoints of one learner.

        Args:
            folder: where they lie.
            digest: of the settings that hold now; checkpoints made under others are of no use.
            keep: how many stay.
        """
        self._folder, self._digest, self._keep = folder, digest, keep
        self._writer: int | None = None  # process id of who writes
        self._final = folder
        self._damaged: set[Path] = set()
        self.errors: list[str] = []  # what was wrong with those that were passed over

    @property
    def is_writing(self) -> bool:
        """Whether one is being written."""
        return self._writer is not None

    def whole(self, end: int) -> list[Found]:
        """Those that are whole, made under the same settings, and not beyond the log's end; newest first."""
        found = []
        for path in reversed(self._paths()):
            try:
                index = check_folder(path)
            except DataError as error:
                self._damaged.add(path)
                self.errors.append(f"The checkpoint '{path}' is passed over. {error.message}")
                continue
            notes = index["notes"]
            if notes.get("settings") == self._digest and index["offset"] <= end:
                found.append(Found(path, index["offset"], notes))
        return found

    def save(self, offset: int, notes: dict[str, Any], fill: Fill) -> Path:
        """Write one, and wait until it is durable.

        Args:
            offset: of the log, up to which was learned.
            notes: what a reader wants to know, JSON-able.
            fill: writes the files into the folder it is given.

        Raises:
            StorageError: the disk refused; the others stand.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{PREFIX}{offset:016d}"
        return save_folder(path, offset, notes | {"settings": self._digest}, fill)

    def begin(self, offset: int, notes: dict[str, Any], fill: Fill, let_go: Callable[[], None]) -> None:
        """Write one beside everything else; `finish` tells when it is there.

        Args:
            offset: of the log, up to which was learned.
            notes: what a reader wants to know, JSON-able.
            fill: writes the files into the folder it is given.
            let_go: closes, in the copy, what only the original shall hold.
        """
        self._final = self._folder / f"{PREFIX}{offset:016d}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads hold no lock that the copy needs
            writer = os.fork()
        if writer:
            self._writer = writer
            return
        code = 1
        try:
            let_go()
            os.nice(EXTRA_NICENESS)
            self.save(offset, notes, fill)
            code = 0
        except Exception:  # noqa: BLE001  this copy of the process must end here, whatever happened
            _log.exception("A checkpoint could not be written.")
        finally:
            os._exit(code)

    def finish(self, wait: bool = False) -> Path | None:
        """Where one was being written: its folder, when it is durable.

        Args:
            wait: whether to wait for it.

        Raises:
            StorageError: it could not be written.
        """
        if self._writer is None:
            return None
        done, status = os.waitpid(self._writer, 0 if wait else os.WNOHANG)
        if not done:
            return None
        self._writer = None
        if status:
            shutil.rmtree(self._final.with_name(self._final.name + DRAFT), ignore_errors=True)
            raise StorageError(f"A checkpoint must be written to '{self._final}'; its writer ended with {status}.")
        return self._final

    def prune(self) -> list[dict[str, Any]]:
        """Remove all but the newest, what is damaged, and what was begun and not ended; gives the notes of the rest."""
        good = [path for path in self._paths() if path not in self._damaged]
        stay = good[-self._keep :]
        if stay:
            for path in self._folder.glob(f"{PREFIX}*"):
                if path not in stay and not (path.suffix and self.is_writing):
                    shutil.rmtree(path, ignore_errors=True)
        return [read_index(path)["notes"] for path in stay]

    def _paths(self) -> list[Path]:
        return folders(self._folder)


def folders(folder: Path) -> list[Path]:
    """The checkpoints that were written to their end, oldest first; nothing of them is looked at."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and not path.suffix)
