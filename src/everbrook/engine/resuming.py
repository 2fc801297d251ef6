"""What a learner's process left behind, taken up inside another process that holds the data directory."""

from __future__ import annotations

from pathlib import Path

from everbrook.engine.fitting import TYPES
from everbrook.engine.keeping import learned_digest
from everbrook.engine.learner_checkpoints import LearnerCheckpoints
from everbrook.engine.learner_journal import Journal
from everbrook.engine.learner_process import FOLDER, JOURNAL, Begin, Recovery
from everbrook.engine.learning import LiveLearning
from everbrook.engine.supervisor import FACTORY
from everbrook.events.log_follower import LogFollower
from everbrook.settings import Settings


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
    with LogFollower(path) as log:
        recovery = Recovery(Begin(str(path), settings, FACTORY, digest, TYPES), log)
        recovery.do_again(lambda: None)
        recovery.journal.close()
    learning = recovery.learning
    assert isinstance(learning, LiveLearning)  # that is what FACTORY makes
    return learning


def keep_for_process(path: Path, settings: Settings, learning: LiveLearning) -> None:
    """Write a checkpoint from which the learner's process goes on, whatever was in its journal."""
    kept = LearnerCheckpoints(path / FOLDER, learned_digest(settings), settings.learner.checkpoints)
    journal = Journal(path / FOLDER / JOURNAL)
    notes = {"journal": journal.id, "entries": journal.stop, "taken": learning.offset}
    kept.save(learning.offset, notes, learning.snapshot_to)
    journal.close()


def newest_kept(path: Path, settings: Settings, end: int) -> int:
    """The offset of the newest such checkpoint; 0 where there is none."""
    kept = LearnerCheckpoints(path / FOLDER, learned_digest(settings), settings.learner.checkpoints)
    return max((found.offset for found in kept.whole(end)), default=0)
