"""Folders that `export` wrote, known by a small file in them: what a log held is taken back as it was.

The cleaning that files of elsewhere need would lose some of it: events that are equal, ids with spaces around them,
times before 1990.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from everbrook.events.deletions import REST
from everbrook.events.mapping import Mapping
from everbrook.settings.data import DataSettings

MARK = "export.json"
FORMAT = 1


class _Mark(msgspec.Struct, frozen=True):
    """What the small file says."""

    format: int


def mark_exported(folder: Path) -> None:
    """Say that a folder is an export."""
    (folder / REST).mkdir(exist_ok=True)
    (folder / REST / MARK).write_bytes(msgspec.json.encode(_Mark(FORMAT)))


def is_exported(folder: Path) -> bool:
    """Whether a folder says that it is an export, of the format that is known here."""
    try:
        return msgspec.json.decode((folder / REST / MARK).read_bytes(), type=_Mark).format == FORMAT
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return False


def as_it_was(settings: DataSettings, mapping: Mapping) -> tuple[DataSettings, Mapping]:
    """What to do about an export's events: nothing; its times are milliseconds."""
    kept = msgspec.structs.replace(settings, duplicates="keep", strip_spaces=False, times="keep")
    return kept, msgspec.structs.replace(mapping, time="ms") if mapping.time == "auto" else mapping
