"""The large model before the present one, kept as a file so that one can go back to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from everbrook.engine.keeping import Snapshot
from everbrook.engine.refit_process import FOLDER
from everbrook.errors import DataError
from everbrook.models.sequence_file import load, notes_of, save

if TYPE_CHECKING:
    from everbrook.models.sequence import SequenceModel

FILE = "previous.safetensors"


class Previous:
    """One model's file in a data directory."""

    def __init__(self, path: Path) -> None:
        self._file = path / FOLDER / FILE

    def keep(self, shot: Snapshot) -> None:
        """Keep a model whose place another one takes; nothing where there was none."""
        shot = shot.loaded()
        if shot.model is not None:
            self._file.parent.mkdir(exist_ok=True)
            notes = {"version": shot.version, "offset": shot.offset, "published_ms": shot.published_ms}
            save(shot.model, self._file, notes)

    def notes(self) -> dict[str, Any] | None:
        """Version and offset of what is kept; None where nothing is."""
        if not self._file.exists():
            return None
        try:
            return notes_of(self._file)
        except DataError:
            return None

    def load(self) -> tuple[SequenceModel, dict[str, Any]]:
        """What is kept, and its notes.

        Raises:
            DataError: it is damaged or gone.
        """
        return load(self._file)
