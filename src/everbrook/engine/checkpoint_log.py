"""Checkpoints belong to the log in which they were made: on opening, those that the log has no part in are dropped.

So are those that were not ended: what was being written when the server was killed holds what may be forgotten since.

Beside the checkpoints lies which log they follow (`LEARNED_FROM`), so that a log that was put back from a backup, or
another one, is told from the one that was learned from, also once it has grown past what was learned.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from everbrook.engine.keeping import FOLDER
from everbrook.engine.learner_checkpoints import PREFIX
from everbrook.engine.learner_journal import Entry, Journal
from everbrook.engine.learner_process import JOURNAL
from everbrook.errors import StorageError
from everbrook.events.log_files import disk_errors, write_durably
from everbrook.events.log_lost import LEARNED_FROM
from everbrook.events.log_openings import Opening, held_in_common
from everbrook.learn.checkpoints import DRAFT

_log = logging.getLogger("everbrook.checkpoints")


def tie_to_log(path: Path, openings: Sequence[Opening], end: int) -> None:
    """Drop what was learned from another log than this one, or beyond its end, and note which log this is.

    To be done on opening, before anything is appended, a checkpoint is written or a learner starts.

    Args:
        path: the data directory.
        openings: of the log; none where they could not be written.
        end: of the log.
    """
    folder = path / FOLDER
    for draft in folder.glob(f"*{DRAFT}"):
        shutil.rmtree(draft, ignore_errors=True)
    bound = _bound(path / LEARNED_FROM, openings, end)
    for checkpoint, offset in _checkpoints(folder):
        if offset > bound:
            _log.warning(
                "Checkpoint '%s' was made in a log that went on otherwise than this one (the same up to offset %d, end "
                "%d), as after a backup was put back; it is removed, and the log is learned anew.",
                checkpoint, max(bound, 0), end,
            )  # fmt: skip
            shutil.rmtree(checkpoint)
    _cut_journal(folder / JOURNAL, bound)
    if openings:
        try:
            with disk_errors(path / LEARNED_FROM):
                write_durably(path / LEARNED_FROM, msgspec.json.encode(openings))
        except StorageError as error:
            _log.warning("Which log the checkpoints belong to could not be written: %s", error)


def _bound(file: Path, openings: Sequence[Opening], end: int) -> int:
    """Up to which offset what was learned is this log's; -1 where nothing is."""
    try:
        learned_from = msgspec.json.decode(file.read_bytes(), type=list[Opening])
    except FileNotFoundError:  # an earlier version made them
        return end
    except (msgspec.MsgspecError, UnicodeDecodeError):
        _log.warning("'%s' is damaged; checkpoints are held against the end of the log alone.", file)
        return end
    if not openings:
        return end
    common = held_in_common(openings, learned_from)
    return -1 if common is None else min(common, end)


def _checkpoints(folder: Path) -> list[tuple[Path, int]]:
    """Of the server and of the learner, with their offsets."""
    found = []
    for path in sorted(folder.glob("*")):
        offset = path.name.removeprefix(PREFIX)
        if path.is_dir() and offset.isdecimal():
            found.append((path, int(offset)))
    return found


def _cut_journal(file: Path, bound: int) -> None:
    if bound < 0 and file.exists():
        _log.warning("The learner's journal '%s' is of another log; it is removed.", file)
        file.unlink()
        return
    first, entries = Journal.peek(file)
    at = next((at for at, entry in enumerate(entries) if _stop(entry) > bound), None)
    if at is not None:
        journal = Journal(file)
        journal.cut_back(first + at)
        journal.close()
        gone = len(entries) - at
        _log.warning("The learner's journal '%s' went beyond the log; %d entries are left out.", file, gone)


def _stop(entry: Entry) -> int:
    """Up to where the log was read for an entry; 0 for a command."""
    return entry if isinstance(entry, int) else int(entry[1].get("stop", 0))
