"""What a learner's process left behind, taken up inside another process that holds the data directory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from everbrook.engine.fitting import TYPES
from everbrook.engine.keeping import learned_digest
from everbrook.engine.learner_checkpoints import LearnerCheckpoints, folders
from everbrook.engine.learner_journal import Journal
from everbrook.engine.learner_process import FOLDER, JOURNAL, Begin, Recovery
from everbrook.engine.learning_files import write_arrays
from everbrook.engine.supervisor import FACTORY
from everbrook.errors import DataError
from everbrook.events.log_follower import LogFollower
from everbrook.learn.checkpoints import read_index, read_parts
from everbrook.settings import Settings
from everbrook.types import Arrays

if TYPE_CHECKING:
    from everbrook.engine.learning import LiveLearning

WEIGHTS = ("place", "online", "gate")  # parts that serving needs
_log = logging.getLogger("everbrook.engine")


def resumed(path: Path, settings: Settings, end: int) -> LiveLearning | None:
    """The live model as the learner's process would have it after a start; None where it left no checkpoint.

    Args:
        path: the data directory; this process holds it.
        settings: all of them.
        end: of the log.
    """
    digest = learned_digest(settings)
    if not LearnerCheckpoints(path / FOLDER, digest, settings.learner.checkpoints).whole(end):
        return None
    from everbrook.engine.learning import LiveLearning  # which nothing needs that only serves

    with LogFollower(path) as log:
        recovery = Recovery(Begin(str(path), settings, FACTORY, digest, TYPES), log)
        recovery.do_again(lambda: None)
        recovery.journal.close()
    learning = recovery.learning
    assert isinstance(learning, LiveLearning)  # that is what FACTORY makes
    return learning


def keep_for_process(path: Path, settings: Settings, learning: LiveLearning) -> None:
    """Write a checkpoint from which the learner's process goes on, whatever was in its journal."""
    _keep(path, settings, learning.offset, learning.snapshot_to)


def keep_parts_for_process(path: Path, settings: Settings, parts: dict[str, Arrays]) -> Path:
    """The same of what `LiveLearning.parts` gave, without making one of it."""

    def fill(folder: Path) -> None:
        for name, arrays in parts.items():
            write_arrays(folder / f"{name}.safetensors", arrays)

    return _keep(path, settings, offset_of(parts), fill)


def _keep(path: Path, settings: Settings, offset: int, fill: Callable[[Path], None]) -> Path:
    kept = LearnerCheckpoints(path / FOLDER, learned_digest(settings), settings.learner.checkpoints)
    journal = Journal(path / FOLDER / JOURNAL)
    folder = kept.save(offset, {"journal": journal.id, "entries": journal.stop, "taken": offset}, fill)
    journal.close()
    return folder


def offset_of(parts: dict[str, Arrays]) -> int:
    """Up to where parts of a live model have learned; 0 where there are none."""
    return int(parts["place"]["place"][0]) if parts else 0


def newest_weights(path: Path, settings: Settings, end: int) -> tuple[Path | None, dict[str, Arrays]]:
    """What serving needs of the newest such checkpoint, and where that lies; None and nothing where there is none.

    Only what is read is looked at for damage; the process looks at all.
    """
    digest = learned_digest(settings)
    for folder in reversed(folders(path / FOLDER)):
        try:
            index = read_index(folder)
            if index["notes"].get("settings") == digest and index["offset"] <= end:
                return folder, read_parts(folder, index, WEIGHTS)
        except (DataError, OSError) as error:
            _log.warning("The checkpoint '%s' is passed over: %s", folder, error)
    return None, {}


def newest_kept(path: Path, settings: Settings, end: int) -> int:
    """The offset of the newest such checkpoint; 0 where there is none."""
    kept = LearnerCheckpoints(path / FOLDER, learned_digest(settings), settings.learner.checkpoints)
    return max((found.offset for found in kept.whole(end)), default=0)
