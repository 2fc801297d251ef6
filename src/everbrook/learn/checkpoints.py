"""Checkpoints: everything learned at one offset, written whole or not at all, noticed when damaged.

A checkpoint is a folder named by its offset with one safetensors file a part and `checkpoint.json` (format number,
offset, settings digest, CRC-32 of every file), written under another name, synced, and renamed.
"""

from __future__ import annotations

import logging
import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import load_file, save_file

from everbrook.errors import StorageError
from everbrook.types import Arrays

FORMAT = 1
INDEX = "checkpoint.json"
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
    final = folder / f"{offset:016d}"
    draft = folder / f"{offset:016d}.draft"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, arrays in parts.items():
            dense = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
            save_file(dense, draft / f"{name}.safetensors")
        for name, write in (extra or {}).items():
            write(draft / name)
        sums = {path.name: _crc(path) for path in sorted(draft.iterdir())}
        index = {"format": FORMAT, "offset": offset, "notes": notes, "crc32": sums}
        (draft / INDEX).write_bytes(msgspec.json.encode(index))
        for path in draft.iterdir():
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(f"A checkpoint must be written to '{folder}'; got {error.strerror or error}.") from error
    return final


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
        except (OSError, ValueError, KeyError, msgspec.DecodeError) as error:
            _log.warning("Checkpoint '%s' is damaged (%s) and is passed over.", path, error)
            continue
        if found.notes.get("settings") != digest:
            _log.info("Checkpoint '%s' was made under other settings and is passed over.", path)
            continue
        return found
    return None


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    whole = sorted(path for path in folder.glob("[0-9]*") if path.is_dir() and not path.suffix)
    for path in whole[:-keep]:
        shutil.rmtree(path, ignore_errors=True)


def _load(path: Path) -> Checkpoint:
    index = msgspec.json.decode((path / INDEX).read_bytes())
    if index["format"] != FORMAT:
        raise ValueError(f"format must be {FORMAT}; got {index['format']}")
    for name, crc in index["crc32"].items():
        if _crc(path / name) != crc:
            raise ValueError(f"'{name}' does not have the checksum written beside it")
    parts = {
        name.removesuffix(".safetensors"): load_file(path / name)
        for name in index["crc32"]
        if name.endswith(".safetensors") and not name.startswith("model")
    }
    return Checkpoint(path, int(index["offset"]), index["notes"], parts)


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
