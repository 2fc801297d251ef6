"""Small files of arrays with which a restart goes on: whole or not there, and about whom.

The evidence of a trial (not the candidate, which is a model's file beside it), and how right lists were.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from everbrook.errors import DataError
from everbrook.events.log_files import disk_errors, write_durably
from everbrook.types import Arrays

FORMAT = 1


def write_kept(path: Path, whose: str, arrays: Arrays) -> None:
    """Write arrays, in the place of what was there.

    Args:
        path: the file.
        whose: whom they are about; about any others they are worth nothing.
        arrays: by name.

    Raises:
        StorageError: the disk refused; what was there stands as it was.
    """
    dense = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    head = json.dumps({"format": FORMAT, "whose": whose, "crc32": _crc(dense)})
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True)
        write_durably(path, save(dense, {"everbrook": head}))


def read_kept(path: Path, whose: str, what: str) -> Arrays | None:
    """What `write_kept` wrote; None where there is nothing, or it is about others.

    Args:
        path: the file.
        whose: as it was written.
        what: how errors call it, capitalised.

    Raises:
        DataError: the file is damaged, or of another format.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "np") as file:
            head = json.loads((file.metadata() or {}).get("everbrook", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{what} must be a safetensors file; got '{path}': {error}.") from error
    if head.get("format") != FORMAT or head.get("crc32") != _crc(arrays):
        raise DataError(f"{what} must be as it was written, of format {FORMAT}; '{path}' is not.")
    return arrays if head.get("whose") == whose else None


def _crc(arrays: Arrays) -> int:
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].tobytes(), zlib.crc32(name.encode(), crc))
    return crc
