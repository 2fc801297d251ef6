"""Letting what learns live go on from files that are all new, so that nothing of a forgotten person is left."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from everbrook.engine.fitting import TYPES
from everbrook.engine.learner_checkpoints import PREFIX
from everbrook.engine.learner_process import FOLDER, JOURNAL
from everbrook.engine.resuming import keep_for_process, resumed

if TYPE_CHECKING:
    from everbrook.engine.living import Living


def start_over(live: Living) -> dict[str, int]:
    """Bring the learner to the log's end, drop its checkpoints and journal, and let it go on from a new one.

    A process that learns is stopped and started again; lists go on meanwhile without what it learned.

    Args:
        live: beside a recommender; the log has the deletion.

    Returns:
        How many checkpoints and journals were dropped.
    """
    with live.starting:
        return _start_over(live)


def _start_over(live: Living) -> dict[str, int]:
    beside = live.supervisor is not None
    if beside:
        live.start_process()  # where it has not begun yet, it takes over what was learned in here
    if live.supervisor is not None:
        live.supervisor.stop()
        live.supervisor = None
    inside = None if beside else live.learning
    learning = inside or resumed(live._path, live._settings, live._log.end)
    if learning is not None:
        with live._lock:
            for run in live._log.runs(learning.offset, None, TYPES, limit=live._settings.learner.micro_batch_events):
                learning.absorb(run)
    folder = live._path / FOLDER
    old = [path for path in folder.glob(f"{PREFIX}*") if path.is_dir()]
    for path in old:
        shutil.rmtree(path)
    journals = int((folder / JOURNAL).exists())
    (folder / JOURNAL).unlink(missing_ok=True)
    if learning is not None and (old or beside):
        keep_for_process(live._path, live._settings, learning)
    if beside:
        with live._lock:
            live.learning = learning
        live.start_process()
    return {"learner_checkpoints": len(old), "learner_journals": journals}
