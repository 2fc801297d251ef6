"""Arrays in files, looked at where they lie: a mapping of one's own, of which a page is copied when it is written.

Reading hundreds of megabytes into memory of one's own takes seconds, and most of it is not touched for long. For the
same reason an array that will grow gets room behind it in the address space, which costs no memory until it is used.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
import weakref
import zlib
from collections.abc import Sequence
from functools import cache
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
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_AT_ONCE = 2 << 20  # bytes that are written before they are synced


AHEAD = 4
"""How many times longer an array that grows becomes at a time, in the address space."""


class Mapping(mmap.mmap):
    """A mapping that still knows its file."""

    handle: int


def map_file(path: Path) -> Mapping:
    """A file's bytes; what is written to them stays in this process. Removing the file does them no harm."""
    with path.open("rb") as file:
        found = Mapping(file.fileno(), 0, access=mmap.ACCESS_COPY)
        found.handle = os.dup(file.fileno())
    weakref.finalize(found, _close, found.handle, os.getpid())
    return found


def _close(handle: int, owner: int) -> None:
    """Close a file of this process; in one that was forked off it the number may be that of another by now."""
    if os.getpid() == owner:
        os.close(handle)


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


def write_file(path: Path, arrays: Arrays) -> None:
    """Write a safetensors file, a few megabytes at a time, each on the disk before the next is written.

    A journalling file system lets whoever syncs a line of a log wait for all that anybody has written: of a large file
    in one piece that is a fifth of a second.

    Args:
        path: the file; one that is there is written over.
        arrays: of any layout.

    Raises:
        OSError: the disk refused.
    """
    dense = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    names = sorted(dense, key=lambda name: (-dense[name].dtype.itemsize, name))  # so each lies where its type wants it
    header: dict[str, Any] = {}
    stop = 0
    for name in names:
        first, stop = stop, stop + dense[name].nbytes
        header[name] = {"dtype": _NAMES[dense[name].dtype], "shape": dense[name].shape, "data_offsets": (first, stop)}
    head = msgspec.json.encode(header)
    head += b" " * (-len(head) % _SIZE_BYTES)
    with path.open("wb", buffering=0) as file:
        file.write(len(head).to_bytes(_SIZE_BYTES, "little") + head)
        waiting = 0
        for name in names:
            left = memoryview(dense[name].reshape(-1).view(np.uint8).data)
            while left:
                done = file.write(left[: _AT_ONCE - waiting])
                left, waiting = left[done:], waiting + done
                if waiting >= _AT_ONCE:
                    os.fsync(file.fileno())
                    waiting = 0
        os.fsync(file.fileno())


def owned(array: ArrayT) -> ArrayT:
    """An array to keep and to write: itself where it lies in a mapping of one's own, else a copy."""
    return array if _mapping_of(array) is not None else array.copy()


def with_room(array: ArrayT, rows: int) -> ArrayT:
    """An array to keep and to write, of more rows: zeros behind those it has.

    Of an array that lies in a mapping, and was not written to, nothing is copied: its pages of the file are mapped once
    more with empty ones behind them. Elsewhere, and where the system cannot do that, it is a copy.

    Args:
        array: (N, ...)
        rows: R, at least N.
    """
    mapping = _mapping_of(array)
    again = None if mapping is None or rows <= len(array) else _mapped_again(mapping, array, rows)
    return _copied(array, max(rows, len(array))) if again is None else again


def grown(arrays: Sequence[NDArray[Any]], rows: int) -> list[Any]:
    """Arrays of one length with room for at least so many rows, zeros behind those they have; copies, of one length.

    They become `AHEAD` times as long where there are addresses for that, so that it is seldom done.

    Args:
        arrays: (N, ...) each.
        rows: how many at least.
    """
    long = len(arrays[0])
    for size in (max(rows, AHEAD * long), max(rows, long * 5 // 4)):
        with contextlib.suppress(MemoryError):
            return [_copied(array, size) for array in arrays]
    return [_copied(array, rows) for array in arrays]


def _copied(array: ArrayT, rows: int) -> ArrayT:
    longer: ArrayT = np.zeros((rows, *array.shape[1:]), array.dtype)  # type: ignore[assignment]
    longer[: len(array)] = array
    return longer


def _mapping_of(array: NDArray[Any]) -> mmap.mmap | None:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    is_fit = array.flags.writeable and array.flags.c_contiguous and array.flags.aligned
    return base if isinstance(base, mmap.mmap) and is_fit else None


def _mapped_again(mapping: mmap.mmap, array: ArrayT, rows: int) -> ArrayT | None:
    system = _system()
    if system is None or not isinstance(mapping, Mapping) or not array.nbytes:
        return None
    begin = array.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data  # of the array in the file
    lead = begin % mmap.PAGESIZE
    filled = lead + array.nbytes
    size = lead + rows * (array.nbytes // len(array))
    reads, anonymous = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    at = system.mmap(None, size, reads, anonymous, -1, 0)
    if at in (None, _FAILED):
        return None
    if system.mmap(at, filled, reads, mmap.MAP_PRIVATE | _FIXED, mapping.handle, begin - lead) != at:
        system.munmap(at, size)
        return None
    room = (ctypes.c_char * size).from_address(at)
    weakref.finalize(room, system.munmap, at, size).atexit = False
    whole = np.frombuffer(memoryview(room).cast("B"), np.uint8)
    whole[filled : min(size, -(-filled // mmap.PAGESIZE) * mmap.PAGESIZE)] = 0  # what follows it in the file
    found: ArrayT = whole[lead:].view(array.dtype).reshape(rows, *array.shape[1:])  # type: ignore[assignment]
    return found


_FIXED, _NO_RESERVE = 0x10, 0x4000  # of MAP_, on Linux
_FAILED = 2 ** (8 * ctypes.sizeof(ctypes.c_void_p)) - 1


@cache
def _system() -> Any:
    """The C library's mmap and munmap; None where they are not those of Linux."""
    if sys.platform != "linux":
        return None
    found = ctypes.CDLL(None)
    word, size, flag = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    found.mmap.restype, found.mmap.argtypes = word, (word, size, flag, flag, flag, ctypes.c_long)
    found.munmap.restype, found.munmap.argtypes = flag, (word, size)
    return found
