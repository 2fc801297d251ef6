"""Checkpoints: everything learned at one offset, written whole or not at all, noticed when damaged.

A checkpoint is a folder named by its offset with one safetensors file a part and `checkpoint.json` (format number,
offset, settings digest, CRC-32 of every file), written under another name, synced, and renamed.
"""

from __future__ import annotations

import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from everbrook.errors import DataError, StorageError
from everbrook.state.mapped import arrays_in, crc_of, map_file, write_file
from everbrook.types import Arrays

FORMAT = 1
INDEX = "checkpoint.json"
DRAFT = ".draft"  # what a folder is called until it is whole
_ENDING = ".safetensors"
_log = logging.getLogger("everbrook.checkpoints")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read back."""

    path: Path
    offset: int
    notes: dict[str, Any]
    parts: dict[str, Arrays]


def save_checkpoint(
    folder: Path,
    offset: int,
    parts: dict[str, Arrays],
    notes: dict[str, Any],
    extra: dict[str, Callable[[Path], None]] | None = None,
) -> Path:
    """Write a checkpoint.

    Args:
        folder: where checkpoints are kept.
        offset: of the log, up to which the parts have learned.
        parts: arrays by part.
        notes: what a reader wants to know, JSON-able.
        extra: further files by name, with what writes each.

    Raises:
        StorageError: the disk refused; earlier checkpoints stand as they were.
    """

    def fill(draft: Path) -> None:
        for name, arrays in parts.items():
            write_file(draft / f"{name}.safetensors", arrays)
        for name, write in (extra or {}).items():
            write(draft / name)

    return save_folder(checkpoint_path(folder, offset), offset, notes, fill)


def checkpoint_path(folder: Path, offset: int) -> Path:
    """Where the checkpoint of an offset lies."""
    return folder / f"{offset:016d}"


def save_folder(final: Path, offset: int, notes: dict[str, Any], fill: Callable[[Path], None]) -> Path:
    """Write a folder of files that is whole, with a checksum of each file, or not there.

    Args:
        final: the folder.
        offset: of the log, up to which what it holds has learned.
        notes: what a reader wants to know, JSON-able.
        fill: writes the files into the folder it is given.

    Raises:
        StorageError: the disk refused; what was there stands as it was.
    """
    draft = final.with_name(final.name + DRAFT)
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        fill(draft)
        sums = {path.name: _crc(path) for path in sorted(draft.iterdir())}
        index = {"format": FORMAT, "offset": offset, "notes": notes, "crc32": sums}
        (draft / INDEX).write_bytes(msgspec.json.encode(index | {"index_crc32": _index_crc(index)}))
        for path in draft.iterdir():
            _sync(path)
        _sync(draft)
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        _sync(final.parent)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        why = error.strerror or error
        raise StorageError(f"A checkpoint must be written to '{final.parent}'; got {why}.") from error
    return final


def check_folder(path: Path) -> dict[str, Any]:
    """The index of a folder that `save_folder` wrote, after all its files were looked at.

    Raises:
        DataError: a file is missing or damaged; it is named.
    """
    index = read_index(path)
    _check(path, index, index["crc32"])
    return index


def _check(path: Path, index: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        try:
            found = _crc(path / name)
        except OSError as error:
            raise DataError(f"'{path / name}' must be there; got: {error.strerror or error}.") from None
        _compare(path / name, index["crc32"][name], found)


def _compare(file: Path, crc: int, found: int) -> None:
    if found != crc:
        raise DataError(f"'{file}' must have the checksum {crc:08x}; it has {found:08x}.")


def read_index(path: Path) -> dict[str, Any]:
    """Format, offset, notes and checksums of a folder that `save_folder` wrote; its files are not looked at.

    Raises:
        DataError: there is no index, or it is damaged or of another format.
    """
    try:
        index: dict[str, Any] = msgspec.json.decode((path / INDEX).read_bytes())
        own_crc = index.pop("index_crc32", None)
        has_all = isinstance(index["offset"], int) and {"notes", "crc32"} < index.keys()
        number = index["format"]
    except OSError as error:
        raise DataError(f"'{path / INDEX}' must be there; got: {error.strerror or error}.") from None
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, msgspec.MsgspecError):
        raise DataError(f"'{path / INDEX}' must hold a checkpoint's index; it holds something else.") from None
    if number != FORMAT:
        raise DataError(f"'{path / INDEX}' must have format {FORMAT}; it has {number}.")
    if not has_all or own_crc not in (None, _index_crc(index)):
        raise DataError(f"'{path / INDEX}' must be as it was written; it was changed.")
    return index


def load_newest(folder: Path, digest: str) -> Checkpoint | None:
    """Read the newest checkpoint that is whole and was made under the same settings; damaged ones are passed over.

    Args:
        folder: where checkpoints are kept.
        digest: of the settings that hold now.
    """
    for path in sorted(folder.glob("[0-9]*"), reverse=True):
        if path.suffix or not path.is_dir():
            continue
        try:
            found = _load(path)
        except (OSError, ValueError, KeyError, DataError) as error:
            _log.warning("Checkpoint '%s' is damaged (%s) and is passed over.", path, error)
            continue
        if found.notes.get("settings") != digest:
            _log.info("Checkpoint '%s' was made under other settings and is passed over.", path)
            continue
        return found
    return None


def prune(folder: Path, keep: int) -> int:
    """Remove all but the newest `keep` checkpoints; how many went.

    Drafts older than the newest go too: whoever wrote them was killed. One that is being written now is not older.
    """
    whole = sorted(path for path in folder.glob("[0-9]*") if path.is_dir() and not path.suffix)
    unended = [path for path in folder.glob(f"[0-9]*{DRAFT}") if whole and path.stem < whole[-1].name]
    for path in [*whole[:-keep], *unended]:
        shutil.rmtree(path, ignore_errors=True)
    return len(whole[:-keep])


def _load(path: Path) -> Checkpoint:
    index = read_index(path)
    files = [name for name in index["crc32"] if name.endswith(_ENDING) and not name.startswith("model")]
    _check(path, index, [name for name in index["crc32"] if name not in files])
    parts = read_parts(path, index, [name.removesuffix(_ENDING) for name in files])
    return Checkpoint(path, int(index["offset"]), index["notes"], parts)


def read_parts(path: Path, index: dict[str, Any], names: Sequence[str]) -> dict[str, Arrays]:
    """Some parts of a folder that `save_folder` wrote; their arrays lie in mappings of this process alone.

    Args:
        path: the folder.
        index: its index.
        names: of the parts.

    Raises:
        DataError: a file is missing or damaged; it is named.
    """
    parts = {}
    for name in names:
        file = path / f"{name}{_ENDING}"
        try:
            mapped = map_file(file)
        except (OSError, ValueError) as error:
            raise DataError(f"'{file}' must be there, and not empty; got: {error}.") from None
        _compare(file, index["crc32"][file.name], crc_of(mapped))
        parts[name] = arrays_in(mapped)
    return parts


def _index_crc(index: dict[str, Any]) -> int:
    return zlib.crc32(msgspec.json.encode(index, order="deterministic"))


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
