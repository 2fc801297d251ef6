"""Segments: immutable Arrow files of many events, checksummed, read by mapping them into memory.

A segment of imported events lies at one range of offsets without holes. A sealed one took over live events, between
whose offsets other records lie, so it has a column of offsets. The log's database says which segments there are.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from everbrook.errors import DataError
from everbrook.events.columns import EventColumns
from everbrook.events.log_files import disk_errors, sync_directory
from everbrook.events.segment_ids import U64, candidates, hash_texts, sorted_hashes
from everbrook.types import I64

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """What the log's database knows of a segment."""

    first: int
    stop: int
    file: str
    size_bytes: int
    crc: int
    sealed: bool  # has a column of offsets
    ids_size_bytes: int = 0  # of the file of hashed ids; 0: there is none, the ids are in the database
    ids_crc: int = 0


class Segment:
    """One segment, verified when it is first read."""

    def __init__(self, folder: Path, entry: SegmentEntry) -> None:
        self.entry = entry
        self._path = folder / entry.file

    @cached_property
    def _table(self) -> pa.Table:
        return _open_table(self._path, self.entry.size_bytes, self.entry.crc)

    def verify(self) -> None:
        """Look at every byte of its files, unless they were looked at.

        Raises:
            DataError: one is missing or damaged.
        """
        _ = self._table
        if self.entry.ids_size_bytes:
            _ = self._hashed_ids

    @cached_property
    def offsets(self) -> I64:
        """(B,) offset of each event, ascending."""
        if self.entry.sealed:
            return self._table.column("offset").to_numpy()
        return np.arange(self.entry.first, self.entry.stop)

    def table(self, start: int, stop: int, leave_out: Collection[str] = ()) -> pa.Table:
        """Its events at the log's offsets start..stop-1, as views of the file."""
        low, high = np.searchsorted(self.offsets, (start, stop)).tolist()
        names = [name for name in self._table.column_names if name != "offset" and name not in leave_out]
        return self._table.select(names).slice(low, max(0, high - low))

    def columns(self, leave_out: Collection[str] = ()) -> EventColumns:
        """All its events; codes and numbers are views of the file."""
        return EventColumns.from_table(self._table, leave_out)

    def ids_among(self, ids: Sequence[str], wanted: U64) -> set[str]:
        """Those of the ids, whose hashes are `wanted`, that an event of this imported segment has."""
        hashes, codes = self._hashed_ids
        known = self._id_names
        return {
            ids[position]
            for position, low, high in candidates(hashes, wanted)
            if any(known[int(code)].as_py() == ids[position] for code in codes[low:high])
        }

    @cached_property
    def _hashed_ids(self) -> tuple[Any, Any]:
        path = ids_path(self._path)
        table = _open_table(path, self.entry.ids_size_bytes, self.entry.ids_crc)
        return table.column("hash").to_numpy(), table.column("code").to_numpy()

    @cached_property
    def _id_names(self) -> pa.Array:
        return self._table.column("id").chunk(0).dictionary


def ids_in_segments(segments: Sequence[Segment], ids: Sequence[str]) -> set[str]:
    """Those of the ids that an event of the imported segments has; a sealed segment's ids are in the database."""
    known: set[str] = set()
    if segments and ids:
        wanted = hash_texts(ids)
        for segment in segments:
            known |= segment.ids_among(ids, wanted)
    return known


def ids_path(path: Path) -> Path:
    """Where the hashed ids of a segment lie."""
    return path.with_suffix(".ids.arrow")


def write_segment(
    path: Path, columns: EventColumns, offsets: I64 | None = None, with_ids: bool | None = None
) -> SegmentEntry:
    """Write events to a new file, durably.

    Args:
        path: the file; half of it is removed where the disk refuses it.
        columns: the events, at least one.
        offsets: (B,) where each lies; None where that is not known yet and they will lie side by side.
        with_ids: whether to write their hashed ids beside them; None does where no offsets are given.

    Returns:
        Its entry, at the offsets from 0 on where none were given.
    """
    import pyarrow as pa

    table = columns.to_table()
    first, stop = 0, len(columns)
    if offsets is not None:
        table = table.add_column(0, "offset", pa.array(offsets))
        first, stop = int(offsets[0]), int(offsets[-1]) + 1
    with disk_errors(path):
        try:
            size_bytes, crc = _write_table(path, table)
            ids_size_bytes, ids_crc = 0, 0
            if columns.id is not None and (offsets is None if with_ids is None else with_ids):
                hashes, codes = sorted_hashes(columns.id.names)
                hashed = pa.table({"hash": hashes, "code": codes})
                ids_size_bytes, ids_crc = _write_table(ids_path(path), hashed)
            sync_directory(path.parent)
        except FileExistsError:  # it is someone else's
            raise
        except BaseException:
            remove_segment(path)
            raise
    return SegmentEntry(first, stop, path.name, size_bytes, crc, offsets is not None, ids_size_bytes, ids_crc)


def remove_segment(path: Path) -> None:
    """Remove a segment's files, where they are."""
    path.unlink(missing_ok=True)
    ids_path(path).unlink(missing_ok=True)


def can_be_read(path: Path) -> bool:
    """Whether a file is a whole Arrow file, whatever is in it; its checksum is not looked at."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as mapped:
            return bool(pa.ipc.open_file(mapped).num_record_batches)
    except (pa.ArrowInvalid, OSError):
        return False


class _Summed:
    """A file being written, with the checksum of what went in."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.crc = 0

    def write(self, body: bytes) -> int:
        self.crc = zlib.crc32(body, self.crc)
        return self._file.write(body)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """The file is closed by who opened it."""


def _write_table(path: Path, table: pa.Table) -> tuple[int, int]:
    import pyarrow as pa

    with path.open("xb") as file:
        summed = _Summed(file)
        with pa.PythonFile(summed, "w") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        file.flush()
        os.fsync(file.fileno())
        return file.tell(), summed.crc


def _open_table(path: Path, size_bytes: int, crc: int) -> pa.Table:
    import pyarrow as pa

    try:
        mapped = pa.memory_map(str(path))
    except FileNotFoundError:
        raise DataError(
            f"The log's segment '{path}' must be there; it is missing. Restore it from a backup."
        ) from None
    found = 0
    view = memoryview(mapped.read_buffer()) if mapped.size() == size_bytes else memoryview(b"")
    for start in range(0, len(view), CHUNK_BYTES):
        found = zlib.crc32(view[start : start + CHUNK_BYTES], found)
    if mapped.size() != size_bytes or found != crc:
        raise DataError(
            f"The log's segment '{path}' must be as it was written ({size_bytes} bytes, checksum {crc:08x}); it has "
            f"{mapped.size()} bytes, checksum {found:08x}. Restore it from a backup."
        )
    mapped.seek(0)
    return pa.ipc.open_file(mapped).read_all()
