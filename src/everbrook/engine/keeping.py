"""What is published, and how a core and it are kept on disk and found again."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from everbrook.engine.apart import ApartError, apart
from everbrook.engine.core import Core
from everbrook.errors import DataError, StorageError
from everbrook.learn.checkpoints import checkpoint_path, load_newest, prune, save_checkpoint
from everbrook.models.sequence_file import load as load_model
from everbrook.models.sequence_file import save as save_model
from everbrook.settings import Settings
from everbrook.types import Arrays

if TYPE_CHECKING:
    from everbrook.engine.learning import LiveLearning
    from everbrook.models.sequence import SequenceModel

FOLDER = "checkpoints"
MODEL_FILE = "model.safetensors"
LIVE = "live-"
_log = logging.getLogger("everbrook.checkpoints")


UNLEARNED = ("data", "engine", "fit", "index", "learner", "log", "rank", "serve")
"""Groups of settings whose change leaves what was learned as it is."""


def learned_digest(settings: Settings) -> str:
    """A short hash of the settings that shape what is learned: under others, a checkpoint is of no use."""
    values = msgspec.to_builtins(settings)
    kept = {name: group for name, group in values.items() if name not in UNLEARNED}
    return hashlib.sha256(msgspec.json.encode(kept, order="deterministic")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is published: which model answers, and up to where it has learned. Nothing changes it."""

    version: str
    offset: int
    published_ms: int
    settings: str  # digest
    model: SequenceModel | None = None  # None: the counting experts answer alone
    file: Path | None = None  # where the model lies that is still to be loaded

    def loaded(self) -> Snapshot:
        """The same with its model, which brings PyTorch and takes seconds."""
        return self if self.file is None else replace(self, model=load_model(self.file)[0], file=None)


def version_name(model: SequenceModel | None, offset: int) -> str:
    """What a published version is called: what answers, and up to where it has learned."""
    return f"{'counts' if model is None else 'sequence'}-{offset}"


@dataclass(frozen=True, slots=True)
class Cut:
    """Everything learned as it was at one moment."""

    offset: int
    snapshot: Snapshot
    parts: dict[str, Arrays]


def begin(
    path: Path, core: Core, snapshot: Snapshot, learning: LiveLearning | None, checkpoints: int
) -> Callable[[], Path]:
    """Begin a checkpoint of what is known at this moment; nothing may learn until this is back.

    A process of its own writes it where nothing of it has to do with tensors, and where the system has such processes
    (`apart`): that takes milliseconds here. Elsewhere everything is copied first.

    Args:
        path: the data directory.
        core: what was learned.
        snapshot: what is published.
        learning: the live model, where it learns in this process.
        checkpoints: how many stay.

    Returns:
        Writes it, or waits until it is written, while others may learn; raises StorageError where the disk refused:
        earlier checkpoints stand as they were then.
    """
    begun = None
    if learning is None and snapshot.model is None:
        begun = apart(lambda: _written(path, _cut(core, snapshot), checkpoints))
    if begun is None:
        found = _cut(core, snapshot, learning)
        copied = {part: {name: np.array(one) for name, one in arrays.items()} for part, arrays in found.parts.items()}
        return lambda: _written(path, replace(found, parts=copied), checkpoints)
    offset, wait = core.offset, begun

    def waited() -> Path:
        try:
            wait()
        except ApartError as error:
            if error.kind == StorageError.__name__:
                raise StorageError(str(error)) from None
            raise StorageError(f"A checkpoint must be written to '{path}'; got: {error.kind} {error}") from None
        return checkpoint_path(path / FOLDER, offset)

    return waited


def _cut(core: Core, snapshot: Snapshot, learning: LiveLearning | None = None) -> Cut:
    parts = core.parts()
    if learning is not None:
        parts |= {LIVE + name: arrays for name, arrays in learning.parts().items()}
    return Cut(core.offset, snapshot, parts)


def _written(path: Path, found: Cut, checkpoints: int) -> Path:
    """Write a checkpoint; only the newest few stay."""
    snapshot = found.snapshot
    notes = {
        "settings": snapshot.settings, "version": snapshot.version, "model_offset": snapshot.offset,
        "published_ms": snapshot.published_ms,
    }  # fmt: skip
    extra: dict[str, Callable[[Path], None]] = {}
    model = snapshot.model
    waiting = snapshot.file
    if model is not None:
        extra[MODEL_FILE] = lambda file: save_model(model, file)
    elif waiting is not None:
        extra[MODEL_FILE] = lambda file: _copy(waiting, file)
    kept = save_checkpoint(path / FOLDER, found.offset, found.parts, notes, extra)
    prune(path / FOLDER, checkpoints)
    return kept


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a checkpoint had besides the core."""

    snapshot: Snapshot  # what was published then
    live: dict[str, Arrays]  # parts of a live model that learned in the process; empty where none did


def recover(path: Path, core: Core, end: int, digest: str, later: bool = False) -> Recovered | None:
    """Fill a core from the newest whole checkpoint that was made under the same settings.

    Args:
        path: the data directory.
        core: one that has seen nothing.
        end: of the log; a checkpoint beyond it is of another log (`checkpoint_log` drops such).
        digest: of the settings.
        later: whether the large model is left where it lies, for `Snapshot.loaded`.

    Returns:
        What was published then; None where there is no such checkpoint, or another version made it.
    """
    found = load_newest(path / FOLDER, digest)
    if found is None or found.offset > end:
        return None
    try:
        core.load(found.parts)
    except DataError as error:
        _log.warning("Checkpoint '%s' is passed over, and the log is read from its beginning: %s", found.path, error)
        return None
    live = {name.removeprefix(LIVE): arrays for name, arrays in found.parts.items() if name.startswith(LIVE)}
    file, notes = found.path / MODEL_FILE, found.notes
    shot = Snapshot(notes["version"], notes["model_offset"], notes["published_ms"], digest)
    if file.exists():
        shot = replace(shot, file=file)
    return Recovered(shot if later else shot.loaded(), live)
