"""The file in which a trial's evidence is kept, so that a restart goes on with it: whole or not there, and whose it is.

Not the candidate itself, which is a model's file beside it.
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


def write_trial(path: Path, whose: str, arrays: Arrays) -> None:
    """Write a trial's evidence, in the place of what was there.

    Args:
        path: the file.
        whose: names the two that are compared; evidence about any others is worth nothing.
        arrays: what `Trial.state` gave.

    Raises:
        StorageError: the disk refused; what was there stands as it was.
    """
    dense = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    head = json.dumps({"format": FORMAT, "whose": whose, "crc32": _crc(dense)})
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True)
        write_durably(path, save(dense, {"everbrook": head}))


def read_trial(path: Path, whose: str) -> Arrays | None:
    """What `write_trial` wrote; None where there is nothing, or it is about others.

    Args:
        path: the file.
        whose: as it was written.

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
        raise DataError(f"The evidence of a trial must be a safetensors file; got '{path}': {error}.") from error
    if head.get("format") != FORMAT or head.get("crc32") != _crc(arrays):
        raise DataError(f"The evidence of a trial must be as it was written, of format {FORMAT}; '{path}' is not.")
    return arrays if head.get("whose") == whose else None


def _crc(arrays: Arrays) -> int:
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].tobytes(), zlib.crc32(name.encode(), crc))
    return crc
