"""Which segment files may go: those that a mark says are being written, or made way for, and the log does not know.

A mark is an empty file beside the segment. A file without one is never taken for a leftover, for it may be the only
copy of what happened, as where the database beside it is not the one it was written with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from everbrook.events.log_files import disk_errors
from everbrook.events.segments import SegmentEntry, can_be_read, ids_path

MARK = ".loose"
_log = logging.getLogger(__name__)


def mark(path: Path) -> None:
    """Say, before a segment is written or made way for, that it may go as long as the log does not know it.

    Args:
        path: of the segment.
    """
    with disk_errors(path):
        path.with_suffix(MARK).touch()


def unmark(path: Path) -> None:
    """The log knows the segment, or it is gone."""
    path.with_suffix(MARK).unlink(missing_ok=True)


def unknown_files(folder: Path, entries: Iterable[SegmentEntry]) -> tuple[list[Path], list[Path]]:
    """The files of segments that the log does not know: leftovers, which may go, and those that must stay.

    A leftover has a mark. Without one it is only what nobody could read, and only where the log knows other segments.

    Args:
        folder: of the segments.
        entries: of those that the log knows.
    """
    known = {entry.file for entry in entries}
    known |= {ids_path(Path(name)).name for name in known}
    leftovers: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.glob("*.arrow")):
        if path.name not in known:
            marked = (folder / f"{path.name.partition('.')[0]}{MARK}").exists()
            may_go = marked or (bool(known) and not can_be_read(path))
            (leftovers if may_go else others).append(path)
    return leftovers, others


def clear_leftovers(folder: Path, entries: Iterable[SegmentEntry]) -> None:
    """Remove the files that a crash left before they were registered, or after they were replaced.

    Args:
        folder: of the segments.
        entries: of those that the log knows.
    """
    leftovers, others = unknown_files(folder, entries)
    for path in leftovers:
        path.unlink()
    for path in folder.glob(f"*{MARK}"):
        path.unlink()
    if others:
        _log.warning(
            "%d files in '%s' have no entry in the log's database and are left alone: %s. Is the database of the same "
            "moment as the segments?", len(others), folder, ", ".join(path.name for path in others[:5]),
        )  # fmt: skip
