"""What lies in a data directory of a refitted model that is not published yet: the model, its weights, its evidence.

The evidence is kept every few seconds and at the end, so that a trial of a day outlives any number of restarts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everbrook.engine.keeping import Snapshot
from everbrook.engine.kept_arrays import read_kept, write_kept
from everbrook.engine.learning_files import read_arrays
from everbrook.engine.refit_process import FOLDER, MODEL, WEIGHTS, Outcome
from everbrook.engine.trial import Trial
from everbrook.errors import DataError, EverbrookError
from everbrook.models.sequence_file import load
from everbrook.types import Arrays

if TYPE_CHECKING:
    from everbrook.models.sequence import SequenceModel

TRIAL = "trial.safetensors"
KEEP_S = 5.0  # between two writings of the evidence; a process that is killed loses what came since


class CandidateFiles:
    """The files of at most one candidate. For one thread at a time."""

    def __init__(self, path: Path, note_error: Callable[[str], None]) -> None:
        """Look after the files in a data directory.

        Args:
            path: the directory.
            note_error: told of what cannot be used.
        """
        self._folder, self._note_error = path / FOLDER, note_error
        self._whose, self._kept_events, self._kept_s = "", 0, 0.0

    def found(self) -> tuple[SequenceModel, Outcome] | None:
        """The candidate that lies there; None where there is none. One that cannot be read is removed."""
        file = self._folder / MODEL
        if not file.exists():
            return None
        try:
            model, notes = load(file)
            return model, msgspec.convert(notes, Outcome)
        except (EverbrookError, msgspec.ValidationError) as error:
            self._note_error(f"The refitted model is passed over: {error}")
            self.drop()
            return None

    def weights(self) -> Arrays:
        """What the mixture learned with the model; empty where it did not."""
        file = self._folder / WEIGHTS
        return read_arrays(file) if file.exists() else {}

    def go_on(self, trial: Trial, outcome: Outcome, shot: Snapshot) -> None:
        """Give a trial the evidence that was kept, if it is about the same two models.

        Args:
            trial: one without a judged event.
            outcome: what the candidate is.
            shot: what it is compared with.
        """
        self._whose = f"{outcome.id}:{outcome.offset}:{outcome.digest} against {shot.version}:{shot.published_ms}"
        try:
            kept = read_kept(self._folder / TRIAL, self._whose, "The evidence of a trial")
            if kept is not None:
                trial.load(kept)
        except DataError as error:
            self._note_error(f"The trial of the refitted model begins anew: {error.message}")
            (self._folder / TRIAL).unlink(missing_ok=True)
        self._kept_events, self._kept_s = trial.judged, time.monotonic()

    def keep(self, trial: Trial, at_once: bool = False) -> None:
        """Write a trial's evidence, where there is new and the last writing is some time ago.

        Args:
            trial: one that is not decided.
            at_once: whatever the time.
        """
        if trial.judged == self._kept_events or (not at_once and time.monotonic() - self._kept_s < KEEP_S):
            return
        self._kept_events, self._kept_s = trial.judged, time.monotonic()
        try:
            write_kept(self._folder / TRIAL, self._whose, trial.state())
        except EverbrookError as error:  # the trial goes on in memory
            self._note_error(f"The evidence of a trial was not kept: {error.message}")

    def drop(self) -> None:
        """Be done with the candidate; what is published lies in the checkpoints."""
        for name in (MODEL, WEIGHTS, TRIAL):
            (self._folder / name).unlink(missing_ok=True)
