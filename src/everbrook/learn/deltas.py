"""Deltas: what learning changed between two versions, as bytes that are whole or noticed to be not.

Layout: a head of fixed size (mark, format number, size and CRC-32 of what follows), the size of a JSON table of
contents, the table, and the arrays, each at a multiple of eight bytes. A large delta travels in frames, each with a
checksum of its own; a reader has the delta when it has all of them, and nothing before.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from everbrook.errors import DataError
from everbrook.types import F32, I32, Arrays

FORMAT = 1
MARK = b"EVBD"
FRAME_MARK = b"EVBF"
_HEAD = struct.Struct("<4sIQQ")  # mark, format, size and checksum of what follows
_FRAME = struct.Struct("<4sIIIII")  # mark, serial of the delta, part, parts, size and checksum of what follows
_SIZE = struct.Struct("<Q")
_TYPES = {"<f4", "<f8", "<f2", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1"}
_DENSE = "dense."
NETWORK = "network/"  # before the names of a network's numbers in the dense part
ANCHOR_NETWORK = "anchor/"  # the same of the anchor's


@dataclass(frozen=True, slots=True)
class Delta:
    """The rows that are different in a version, and the dense part whole."""

    version: str
    offset: int  # of the log, up to which was learned
    ts_ms: int
    digest: str  # of the settings
    rows: I32  # (R,) without repeats
    values: F32  # (R, D)
    dense: Arrays = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)  # JSON-able: the gate's state, metrics, times

    def most_changed_first(self, changes: F32, limit: int | None = None) -> tuple[Delta, I32]:
        """The same delta with its rows in descending order of change, and only the first `limit` of them.

        Args:
            changes: (R,) how much each row changed.
            limit: most rows; None for all.

        Returns:
            The delta, and the rows that were left out.
        """
        order = np.argsort(-changes, kind="stable")
        kept, left = order[:limit], order[len(order) if limit is None else limit :]
        return replace(self, rows=self.rows[kept], values=self.values[kept]), self.rows[left]

    def check_fits(self, table: F32) -> None:
        """See that a table has room for all of the rows.

        Raises:
            DataError: it has not.
        """
        if len(self.rows) and not 0 <= int(self.rows.min()) <= int(self.rows.max()) < len(table):
            raise DataError(f"A delta's rows must be from 0 to {len(table) - 1}; got {self.rows.max()} as the last.")

    def apply(self, table: F32) -> None:
        """Write the rows into a table that has room for all of them."""
        self.check_fits(table)
        table[self.rows] = self.values


def encode(delta: Delta) -> bytes:
    """The bytes of a delta.

    Raises:
        DataError: a value is not finite, or rows and values do not fit together.
    """
    _check(delta)
    arrays: Arrays = {"rows": delta.rows, "values": delta.values}
    arrays |= {_DENSE + name: array for name, array in delta.dense.items()}
    dense = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    contents = {
        "version": delta.version, "offset": delta.offset, "ts_ms": delta.ts_ms, "digest": delta.digest,
        "notes": delta.notes, "arrays": [(name, array.dtype.str, array.shape) for name, array in dense.items()],
    }  # fmt: skip
    table = msgspec.json.encode(contents)
    parts = [_SIZE.pack(len(table)), _padded(table)]
    parts += [_padded(array.tobytes()) for array in dense.values()]
    body = b"".join(parts)
    return _HEAD.pack(MARK, FORMAT, len(body), zlib.crc32(body)) + body


def decode(body: bytes | bytearray | memoryview) -> Delta:
    """The delta of bytes; its arrays are views of them.

    Raises:
        DataError: the bytes are cut off, changed, of another format, or hold what a delta must not.
    """
    view = memoryview(body)
    inner = view[_HEAD.size :]
    if len(view) < _HEAD.size:
        raise DataError(f"A delta must have at least {_HEAD.size} bytes; got {len(view)}.")
    mark, number, size, crc = _HEAD.unpack_from(view)
    if mark != MARK:
        raise DataError(f"A delta must begin with {MARK!r}; got {mark!r}.")
    if number != FORMAT:
        raise DataError(f"A delta must have format {FORMAT}; got {number}.")
    if size != len(inner):
        raise DataError(f"A delta must have the size its head tells, {size} bytes; got {len(inner)}.")
    if (found := zlib.crc32(inner)) != crc:
        raise DataError(f"A delta must have the checksum its head tells, {crc:08x}; got {found:08x}.")
    try:
        delta = _unpack(inner)
    except (msgspec.MsgspecError, struct.error, KeyError, TypeError, ValueError) as error:
        raise DataError(f"A delta must hold a table of contents and its arrays; {error}.") from None
    _check(delta)
    return delta


def frames(delta: Delta, serial: int, frame_bytes: int) -> Iterator[bytes]:
    """A delta in pieces for the way.

    Args:
        delta: what is sent.
        serial: a number that the delta before it did not have.
        frame_bytes: most bytes of the delta in a piece.
    """
    body = memoryview(encode(delta))
    parts = max(1, -(-len(body) // frame_bytes))
    for part in range(parts):
        piece = body[part * frame_bytes : (part + 1) * frame_bytes]
        yield _FRAME.pack(FRAME_MARK, serial % (1 << 32), part, parts, len(piece), zlib.crc32(piece)) + piece


class Assembler:
    """Puts frames together again: a delta is there when all of its frames are."""

    def __init__(self) -> None:
        self.serial = -1  # of the delta that was begun last
        self._pieces: list[memoryview] = []

    def take(self, frame: bytes | bytearray | memoryview) -> Delta | None:
        """Take the next frame; gives the delta where it was the last one.

        Raises:
            DataError: the frame is damaged or out of turn; what was begun is dropped.
        """
        try:
            piece, is_last = self._open(memoryview(frame))
        except DataError:
            self._pieces = []
            raise
        self._pieces.append(piece)
        if not is_last:
            return None
        pieces, self._pieces = self._pieces, []
        return decode(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _open(self, view: memoryview) -> tuple[memoryview, bool]:
        if len(view) < _FRAME.size:
            raise DataError(f"A frame must have at least {_FRAME.size} bytes; got {len(view)}.")
        mark, serial, part, parts, size, crc = _FRAME.unpack_from(view)
        piece = view[_FRAME.size :]
        if mark != FRAME_MARK:
            raise DataError(f"A frame must begin with {FRAME_MARK!r}; got {mark!r}.")
        if size != len(piece) or zlib.crc32(piece) != crc:
            raise DataError(f"A frame must have its {size} bytes and checksum; frame {part} of {parts} has not.")
        if part == 0:
            self._pieces, self.serial = [], serial
        if part != len(self._pieces) or serial != self.serial or part >= parts:
            raise DataError(f"A delta's frames must come in turn; got frame {part} of {parts} out of turn.")
        return piece, part == parts - 1


def _check(delta: Delta) -> None:
    rows, values = delta.rows, delta.values
    if rows.ndim != 1 or values.ndim != 2 or len(rows) != len(values):
        raise DataError(f"A delta must have a value for each row; got rows {rows.shape}, values {values.shape}.")
    if rows.dtype != np.int32 or values.dtype != np.float32:
        raise DataError(f"A delta's rows must be int32, its values float32; got {rows.dtype}, {values.dtype}.")
    if len(rows) and rows.min() < 0:
        raise DataError(f"A delta's rows must be >= 0; got {rows.min()}.")
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise DataError(f"A delta's values must be finite; row {rows[at]} has others.")
    for name, array in delta.dense.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"A delta's values must be finite; '{name}' has others.")


def _unpack(inner: memoryview) -> Delta:
    (size,) = _SIZE.unpack_from(inner)
    contents = msgspec.json.decode(inner[_SIZE.size : _SIZE.size + size])
    at = _SIZE.size + _room(size)
    arrays: Arrays = {}
    for name, kind, shape in contents["arrays"]:
        if kind not in _TYPES:
            raise ValueError(f"'{name}' is of type {kind}")
        arrays[name] = np.frombuffer(inner, np.dtype(kind), math.prod(shape), at).reshape(shape)
        at += _room(arrays[name].nbytes)
    return Delta(
        contents["version"], contents["offset"], contents["ts_ms"], contents["digest"], arrays["rows"],
        arrays["values"], notes=contents["notes"],
        dense={name.removeprefix(_DENSE): one for name, one in arrays.items() if name.startswith(_DENSE)},
    )  # fmt: skip


def _room(size_bytes: int) -> int:
    return -(-size_bytes // 8) * 8


def _padded(body: bytes) -> bytes:
    return body.ljust(_room(len(body)), b"\0")
