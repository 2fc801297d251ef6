"""Named arrays as files: safetensors, with names of any form."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from everbrook.errors import DataError
from everbrook.state.mapped import write_file
from everbrook.types import Arrays


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays into a new file."""
    write_file(path, arrays)


def read_arrays(path: Path) -> Arrays:
    """Read what `write_arrays` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise DataError(f"A checkpoint's file must be a whole safetensors file; got '{path}': {error}.") from error
