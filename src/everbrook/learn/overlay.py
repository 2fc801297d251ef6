"""An overlay: the old values of those rows of a table that changed since a moment. The table itself is never copied.

A row is kept when it is noted for the first time, just before it changes. The table as it was at that moment is then
`buffer[place[row]]` where `place[row] >= 0`, and the table's own row elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from everbrook.errors import InputError
from everbrook.types import F32, I32, I64, NO_ROW

FIRST_ROWS = 256

Tables = F32 | tuple[F32, ...]
"""One array with a row an item, (N, D) or (N,), or several that change together (vectors, optimiser columns)."""


class KeptRows:
    """Rows and the values they had: a growing list, each row at most once, in the order of keeping."""

    def __init__(self, widths: Sequence[int], rows: int = FIRST_ROWS) -> None:
        self.widths = tuple(widths)
        self.count = 0
        self.row_buffer: I32 = np.empty(rows, np.int32)
        self.buffers: tuple[F32, ...] = tuple(np.empty((rows, width), np.float32) for width in self.widths)

    @property
    def rows(self) -> I32:
        """(R,) the rows, a view."""
        return self.row_buffer[: self.count]

    @property
    def values(self) -> tuple[F32, ...]:
        """(R, D) of each table, views."""
        return tuple(buffer[: self.count] for buffer in self.buffers)

    @property
    def size_bytes(self) -> int:
        """Memory that is held."""
        return self.row_buffer.nbytes + sum(buffer.nbytes for buffer in self.buffers)

    def reserve(self, rows: int) -> None:
        """Make room for so many more rows; the room at least doubles, so that all growing costs what one copy costs."""
        if self.count + rows <= len(self.row_buffer):
            return
        room = max(self.count + rows, 2 * len(self.row_buffer))
        wider = KeptRows(self.widths, room)
        wider.row_buffer[: self.count] = self.rows
        for target, source in zip(wider.buffers, self.values, strict=True):
            target[: self.count] = source
        self.row_buffer, self.buffers = wider.row_buffer, wider.buffers

    def take_over(self, newer: KeptRows, place: I32) -> None:
        """Add those rows of a list kept later that are not in this one: what they were then, they were here, too.

        Args:
            newer: the list of the time just after this one's.
            place: (N,) scratch, NO_ROW everywhere, and so again afterwards.
        """
        picked = _missing(self.rows, newer.rows, place)
        self.reserve(len(picked))
        stop = self.count + len(picked)
        self.row_buffer[self.count : stop] = newer.rows[picked]
        for target, source in zip(self.buffers, newer.values, strict=True):
            _gather(source, picked, target[self.count : stop])
        self.count = stop

    def write_back(self, tables: Tables) -> None:
        """Give the rows of the tables the kept values."""
        for table, values in zip(as_columns(tables, self.widths), self.values, strict=True):
            _scatter(table, self.rows, values)


class Overlay:
    """What rows of one or several tables were at the moment of the last `clear`."""

    def __init__(self, rows: int, *widths: int) -> None:
        """Begin with nothing noted.

        Args:
            rows: N, how many rows the tables have.
            widths: D of each table; 1 for an array of shape (N,).
        """
        self.place: I32 = np.full(rows, NO_ROW, np.int32)
        self._kept = KeptRows(widths)

    def __len__(self) -> int:
        return self._kept.count

    @property
    def buffer(self) -> F32:
        """(R, D) kept values of the first table, with room at the end; another array after more was noted."""
        return self._kept.buffers[0]

    @property
    def buffers(self) -> tuple[F32, ...]:
        """Those of all tables."""
        return self._kept.buffers

    @property
    def size_bytes(self) -> int:
        """Memory that is held."""
        return self.place.nbytes + self._kept.size_bytes

    def rows(self) -> I32:
        """(R,) the rows that were noted, in the order of noting; a view until the next change."""
        return self._kept.rows

    def values(self, table: int = 0) -> F32:
        """(R, D) what they were; a view until the next change."""
        return self._kept.values[table]

    def grow(self, rows: int) -> None:
        """Make room for row numbers below `rows`."""
        if rows > len(self.place):
            more = np.full(max(rows, len(self.place) + len(self.place) // 2), NO_ROW, np.int32)
            more[: len(self.place)] = self.place
            self.place = more

    def note(self, tables: Tables, rows: I32 | I64) -> None:
        """Keep the present values of those rows that are not kept yet. To be called just before they change.

        Args:
            tables: as many arrays as there are widths.
            rows: (M,) row numbers.

        Raises:
            InputError: a row is out of range, or the tables are not as the widths say; nothing is noted.
        """
        columns = as_columns(tables, self._kept.widths)
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= len(self.place)):
            raise InputError(
                f"Rows of an overlay must be from 0 to {len(self.place) - 1}; got {rows.min()} to {rows.max()}."
            )
        self._kept.reserve(len(rows))
        start = self._kept.count
        stop = _claim(rows, self.place, self._kept.row_buffer, start)
        self._kept.count = stop
        fresh = self._kept.row_buffer[start:stop]
        for column, buffer in zip(columns, self._kept.buffers, strict=True):
            _gather(column, fresh, buffer[start:stop])

    def gather(self, table: F32, rows: I32 | I64, which: int = 0) -> F32:
        """What rows of a table were at the moment.

        Args:
            table: one of the tables, as it is now.
            rows: (M,) row numbers.
            which: its position among the tables.

        Returns:
            (M, D), new.
        """
        column = as_columns(table, self._kept.widths[which : which + 1])[0]
        out = np.empty((len(rows), column.shape[1]), np.float32)
        _gather_over(column, rows, self.place, self._kept.buffers[which], out)
        return out

    def restore(self, tables: Tables) -> None:
        """Write the old values back. They stay noted."""
        self._kept.write_back(tables)

    def clear(self) -> None:
        """Begin anew: this is the moment. Costs what was noted, whatever the size of the tables; memory is kept."""
        _unmark(self._kept.rows, self.place)
        self._kept.count = 0

    def take(self) -> KeptRows:
        """Hand over what was noted, without a copy, and begin anew."""
        _unmark(self._kept.rows, self.place)
        taken, self._kept = self._kept, KeptRows(self._kept.widths)
        return taken

    def put(self, kept: KeptRows) -> None:
        """Take over what was kept as if it had been noted here, instead of what is noted."""
        _unmark(self._kept.rows, self.place)
        self._kept = kept
        self.place[kept.rows] = np.arange(kept.count, dtype=np.int32)

    def load(self, rows: I32, values: tuple[F32, ...]) -> None:
        """Take over what `rows` and `values` gave, instead of what is noted.

        Args:
            rows: (R,) there is room for them.
            values: (R, D) of each table.
        """
        kept = KeptRows(self._kept.widths, max(len(rows), 1))
        kept.count = len(rows)
        kept.row_buffer[: len(rows)] = rows
        for buffer, kept_values in zip(kept.buffers, values, strict=True):
            buffer[: len(rows)] = kept_values
        self.put(kept)

    def merge_older(self, newer: Overlay) -> None:
        """Add those rows of an overlay of a later moment that are not here, so that the time after it is covered too.

        Args:
            newer: an overlay whose moment was when this one was noted to last; it stays as it is.
        """
        picked = np.flatnonzero(self.place[newer.rows()] == NO_ROW)
        kept = self._kept
        kept.reserve(len(picked))
        stop = kept.count + len(picked)
        kept.row_buffer[kept.count : stop] = newer.rows()[picked]
        for target, source in zip(kept.buffers, newer._kept.values, strict=True):
            _gather(source, picked, target[kept.count : stop])
        self.place[kept.row_buffer[kept.count : stop]] = np.arange(kept.count, stop, dtype=np.int32)
        kept.count = stop


def as_columns(tables: Tables, widths: Sequence[int]) -> tuple[F32, ...]:
    """The tables as (N, D) arrays, none of them copied.

    Raises:
        InputError: there are not as many as widths, or one has another width or type.
    """
    given = tables if isinstance(tables, tuple) else (tables,)
    columns = tuple(table[:, None] if table.ndim == 1 else table for table in given)
    shapes = [(column.shape[1:], column.dtype) for column in columns]
    if shapes != [((width,), np.dtype(np.float32)) for width in widths]:
        raise InputError(
            f"An overlay must be given float32 tables of the widths {tuple(widths)}; got "
            f"{[(table.shape, str(table.dtype)) for table in given]}."
        )
    return columns


@njit(cache=True)
def _claim(rows: I32 | I64, place: I32, row_buffer: I32, count: int) -> int:
    """Give each row without a place the next one; gives how many there are now."""
    for i in range(rows.shape[0]):
        row = rows[i]
        if place[row] < 0:
            place[row] = count
            row_buffer[count] = row
            count += 1
    return count


@njit(cache=True)
def _unmark(rows: I32, place: I32) -> None:
    for i in range(rows.shape[0]):
        place[rows[i]] = -1


@njit(cache=True)
def _missing(older: I32, newer: I32, place: I32) -> I64:
    """Positions in `newer` of the rows that are not in `older`; `place` is scratch."""
    picked = np.empty(newer.shape[0], np.int64)
    count = 0
    for i in range(older.shape[0]):
        place[older[i]] = 0
    for i in range(newer.shape[0]):
        if place[newer[i]] < 0:
            picked[count] = i
            count += 1
    for i in range(older.shape[0]):
        place[older[i]] = -1
    return picked[:count]


@njit(cache=True)
def _gather(table: F32, rows: I32 | I64, out: F32) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        for d in range(table.shape[1]):
            out[i, d] = table[row, d]


@njit(cache=True)
def _scatter(table: F32, rows: I32, values: F32) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        for d in range(table.shape[1]):
            table[row, d] = values[i, d]


@njit(cache=True)
def _gather_over(table: F32, rows: I32 | I64, place: I32, buffer: F32, out: F32) -> None:
    for i in range(rows.shape[0]):
        row = rows[i]
        p = place[row]
        for d in range(table.shape[1]):
            out[i, d] = buffer[p, d] if p >= 0 else table[row, d]
