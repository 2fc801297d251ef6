"""What is published, and how a core and it are kept on disk and found again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from everbrook.engine.core import Core
from everbrook.engine.learning import LiveLearning
from everbrook.learn.checkpoints import load_newest, prune, save_checkpoint
from everbrook.models.sequence import SequenceModel
from everbrook.models.sequence_file import load as load_model
from everbrook.models.sequence_file import save as save_model
from everbrook.settings import Settings
from everbrook.types import Arrays

FOLDER = "checkpoints"
MODEL_FILE = "model.safetensors"
LIVE = "live-"


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


def version_name(model: SequenceModel | None, offset: int) -> str:
    """What a published version is called: what answers, and up to where it has learned."""
    return f"{'counts' if model is None else 'sequence'}-{offset}"


@dataclass(frozen=True, slots=True)
class Cut:
    """Everything learned as it was at one moment: copies, which nothing changes while they are written."""

    offset: int
    events: int
    snapshot: Snapshot
    parts: dict[str, Arrays]


def cut(core: Core, snapshot: Snapshot, learning: LiveLearning | None = None) -> Cut:
    """Copy what a checkpoint holds; nothing may learn meanwhile.

    Args:
        core: what was learned.
        snapshot: what is published.
        learning: the live model, where it learns in this process.
    """
    parts = core.parts()
    if learning is not None:
        parts |= {LIVE + name: arrays for name, arrays in learning.parts().items()}
    copies = {part: {name: np.array(array) for name, array in arrays.items()} for part, arrays in parts.items()}
    return Cut(core.offset, core.events, snapshot, copies)


def write(path: Path, found: Cut, checkpoints: int) -> Path:
    """Write a checkpoint; only the newest few stay.

    Args:
        path: the data directory.
        found: what it holds.
        checkpoints: how many stay.

    Raises:
        StorageError: the disk refused; earlier checkpoints stand as they were.
    """
    snapshot = found.snapshot
    notes = {
        "settings": snapshot.settings, "version": snapshot.version, "model_offset": snapshot.offset,
        "published_ms": snapshot.published_ms,
    }  # fmt: skip
    extra: dict[str, Callable[[Path], None]] = {}
    model = snapshot.model
    if model is not None:
        extra[MODEL_FILE] = lambda file: save_model(model, file)
    kept = save_checkpoint(path / FOLDER, found.offset, found.parts, notes, extra)
    prune(path / FOLDER, checkpoints)
    return kept


def recover(
    path: Path, core: Core, end: int, digest: str, learning: LiveLearning | None = None
) -> Snapshot | None:
    """Fill a core from the newest whole checkpoint that was made under the same settings.

    Args:
        path: the data directory.
        core: one that has seen nothing.
        end: of the log; a checkpoint beyond it is of another log.
        digest: of the settings.
        learning: filled too, where it was kept.

    Returns:
        What was published then; None where there is no such checkpoint.
    """
    found = load_newest(path / FOLDER, digest)
    if found is None or found.offset > end:
        return None
    core.load(found.parts)
    kept = {name.removeprefix(LIVE): arrays for name, arrays in found.parts.items() if name.startswith(LIVE)}
    if learning is not None and kept:
        learning.load(kept)
    file = found.path / MODEL_FILE
    model = load_model(file)[0] if file.exists() else None
    notes = found.notes
    return Snapshot(notes["version"], notes["model_offset"], notes["published_ms"], digest, model)
