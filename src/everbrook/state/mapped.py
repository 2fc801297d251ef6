"""Arrays in files, looked at where they lie: a mapping of one's own, of which a page is copied when it is written.

Reading hundreds of megabytes into memory of one's own takes seconds, and most of it is not touched for long.
"""

from __future__ import annotations

import mmap
import zlib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from everbrook.types import Arrays

ArrayT = TypeVar("ArrayT", bound=NDArray[Any])
_SIZE_BYTES = 8  # before the header of a safetensors file: how long it is
_TYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16,
    "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip


def map_file(path: Path) -> mmap.mmap:
    """A file's bytes; what is written to them stays in this process. Removing the file does them no harm."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def crc_of(mapped: mmap.mmap) -> int:
    """The checksum of all bytes."""
    return zlib.crc32(mapped)


def arrays_in(mapped: mmap.mmap) -> Arrays:
    """The arrays of a safetensors file by name, in the mapping itself.

    Raises:
        ValueError: the bytes are no such file.
        KeyError: an array is of a type that has no name here.
    """
    size = int.from_bytes(mapped[:_SIZE_BYTES], "little")
    header: dict[str, Any] = msgspec.json.decode(mapped[_SIZE_BYTES : _SIZE_BYTES + size])
    found: Arrays = {}
    for name, told in header.items():
        if name != "__metadata__":
            first, stop = (_SIZE_BYTES + size + place for place in told["data_offsets"])
            kind = np.dtype(_TYPES[told["dtype"]])
            count = (stop - first) // kind.itemsize
            found[name] = np.frombuffer(mapped, kind, count, first).reshape(told["shape"]) if count else (
                np.empty(told["shape"], kind)
            )  # fmt: skip
    return found


def owned(array: ArrayT) -> ArrayT:
    """An array to keep and to write: itself where it lies in a mapping of one's own, else a copy."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    is_ours = isinstance(base, mmap.mmap) and array.flags.writeable and array.flags.c_contiguous and array.flags.aligned
    return array if is_ours else array.copy()
