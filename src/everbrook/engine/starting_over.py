"""Letting what learns live go on from files that are all new, so that nothing of a forgotten person is left."""

from __future__ import annotations

import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from everbrook.engine.fitting import learn_on
from everbrook.engine.keeping import learned_digest
from everbrook.engine.learner_checkpoints import PREFIX, LearnerCheckpoints
from everbrook.engine.learner_process import FOLDER, JOURNAL
from everbrook.engine.resuming import keep_for_process, resumed

if TYPE_CHECKING:
    from everbrook.engine.living import Living


LEARN_S = 10.0  # longest wait for a learner's process to learn of a deletion
LOOK_S = 0.01
NOTHING = {"learner_checkpoints": 0, "learner_journals": 0}
"""What is dropped where nothing has to be."""


def start_over(live: Living) -> dict[str, int]:
    """Bring the learner to the log's end, drop its checkpoints and journal, and let it go on from a new one.

    A process that learns is stopped and started again; lists go on meanwhile with what it kept last.

    Args:
        live: beside a recommender; the log has the deletion.

    Returns:
        How many checkpoints and journals were dropped.
    """
    with live.starting:
        beside = live.supervisor is not None
        kept = _kept_by_process(live, live._log.end)
        return _start_over(live, beside) if kept is None else _go_on_from(live, kept)


def _kept_by_process(live: Living, end: int) -> Path | None:
    """Let the process learn up to an offset, keep a checkpoint and go: its folder; None where that cannot be."""
    process = live.supervisor
    if process is None or not process.is_ready:
        return None
    until = time.monotonic() + LEARN_S
    while process.level < end:
        if time.monotonic() > until or not process.is_ready:
            return None
        time.sleep(LOOK_S)
    process.stop()
    kept = LearnerCheckpoints(live._path / FOLDER, learned_digest(live._settings), live._settings.learner.checkpoints)
    return next((found.path for found in kept.whole(live._log.end) if found.offset >= end), None)


def _go_on_from(live: Living, kept: Path) -> dict[str, int]:
    """Drop everything but one checkpoint, and start a process that goes on from it."""
    dropped = _drop(live._path / FOLDER, kept)
    live.wait_for_process({})  # lists are made from the same checkpoint until it sends
    live.start_process()
    return dropped


def _drop(folder: Path, kept: Path | None) -> dict[str, int]:
    """Remove all checkpoints but one, and the journal, which a process begins anew where there is none."""
    old = [path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and path != kept]
    for path in old:
        shutil.rmtree(path)
    journals = int((folder / JOURNAL).exists())
    (folder / JOURNAL).unlink(missing_ok=True)
    return {"learner_checkpoints": len(old), "learner_journals": journals}


def _start_over(live: Living, beside: bool) -> dict[str, int]:
    """The same where no process could do it: it is learned in here."""
    if live.supervisor is not None:
        live.start_process()  # where it has not begun yet, it takes over what was learned in here
    if live.supervisor is not None:
        live.supervisor.stop()
        live.retired, live.supervisor = live.supervisor, None
    inside = None if beside else live.learning
    learning = inside or resumed(live._path, live._settings, live._log.end)
    with nullcontext() if inside is None else live._lock:  # what nobody else knows yet holds up no list
        learn_on(learning, live._log, live._log.end)
    dropped = _drop(live._path / FOLDER, None)
    if learning is not None and (dropped["learner_checkpoints"] or beside):
        keep_for_process(live._path, live._settings, learning)
    if beside:
        with live._lock:
            live.learning = learning
        live.start_process()
    return dropped
