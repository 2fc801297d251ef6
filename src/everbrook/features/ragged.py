"""Sparse rows of different lengths in one growing pool; a row is replaced whole. Knows nothing of what they mean."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from everbrook.types import F32, I32, I64, Arrays

RowsT = TypeVar("RowsT", I32, I64, F32)


class Ragged:
    """Rows of columns and values."""

    def __init__(self) -> None:
        self._starts: I64 = np.zeros(64, np.int64)
        self._counts: I32 = np.zeros(64, np.int32)
        self._columns: I32 = np.empty(1024, np.int32)
        self._values: F32 = np.empty(1024, np.float32)
        self._used = 0
        self._wasted = 0
        self.n_rows = 0
        """One more than the highest row ever put."""

    def put(self, row: int, columns: I32, values: F32) -> None:
        """Give a row these entries in place of the ones it had."""
        if row >= len(self._counts):
            size = max(row + 1, int(1.5 * len(self._counts)))
            self._starts, self._counts = _longer(self._starts, size), _longer(self._counts, size)
        n = len(columns)
        if self._used + n > len(self._columns):
            size = int(1.5 * (self._used + n))
            self._columns, self._values = _longer(self._columns, size), _longer(self._values, size)
        self._wasted += int(self._counts[row])
        self._starts[row], self._counts[row] = self._used, n
        self._columns[self._used : self._used + n] = columns
        self._values[self._used : self._used + n] = values
        self._used += n
        self.n_rows = max(self.n_rows, row + 1)
        if self._wasted > 4096 and 2 * self._wasted > self._used:
            self._pack()

    def get(self, row: int) -> tuple[I32, F32]:
        """The columns and values of a row; none of an unknown one."""
        if not 0 <= row < self.n_rows:
            return self._columns[:0], self._values[:0]
        start = int(self._starts[row])
        stop = start + int(self._counts[row])
        return self._columns[start:stop], self._values[start:stop]

    def csr(self, rows: I32 | None = None) -> tuple[I64, I32, F32]:
        """Rows laid end to end.

        Args:
            rows: which ones, in this order; all where it is None.

        Returns:
            Where each row starts (one more than there are rows), columns, values.
        """
        chosen = np.arange(self.n_rows) if rows is None else rows
        counts = self._counts[chosen].astype(np.int64)
        indptr = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=indptr[1:])
        places = np.arange(int(indptr[-1])) + np.repeat(self._starts[chosen] - indptr[:-1], counts)
        return indptr, self._columns[places], self._values[places]

    def _pack(self) -> None:
        indptr, self._columns, self._values = self.csr()
        self._starts = _longer(indptr[:-1], len(self._counts))
        self._used, self._wasted = len(self._columns), 0

    def arrays(self) -> Arrays:
        """All rows, packed."""
        indptr, columns, values = self.csr()
        return {"indptr": indptr, "columns": columns, "values": values}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        indptr = arrays["indptr"]
        self.n_rows = len(indptr) - 1
        size = max(64, self.n_rows)
        self._starts = _longer(indptr[:-1].astype(np.int64), size)
        self._counts = _longer(np.diff(indptr).astype(np.int32), size)
        self._columns, self._values = arrays["columns"].copy(), arrays["values"].copy()
        self._used, self._wasted = len(self._columns), 0


def _longer(array: RowsT, size: int) -> RowsT:
    longer = np.zeros(size, array.dtype)
    longer[: len(array)] = array
    return longer
