"""Which named labels (categories) each item carries, as CSR arrays with spare room. Knows nothing else of items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numba import njit

from everbrook.errors import UnknownNameError
from everbrook.state.ids import IdMap
from everbrook.types import I32, I64, Bool

_CACHED = 16
RowsT = TypeVar("RowsT", I32, I64)


class Labels:
    """Sets of labels of item rows; a set is replaced whole."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.names = IdMap()
        self._starts: I64 = np.zeros(64, np.int64)
        self._counts: I32 = np.zeros(64, np.int32)
        self._codes: I32 = np.empty(64, np.int32)
        self._used = 0
        self._wasted = 0
        self._masks: dict[tuple[int, frozenset[str]], Bool] = {}

    def put(self, row: int, labels: Sequence[str]) -> None:
        """Give a row these labels in place of the ones it had."""
        if row >= len(self._counts):
            size = max(row + 1, int(1.5 * len(self._counts)))
            self._starts, self._counts = _longer(self._starts, size), _longer(self._counts, size)
        codes = [self.names.add(label) for label in dict.fromkeys(labels)]
        before = self._codes[self._starts[row] : self._starts[row] + self._counts[row]]
        if before.tolist() == codes:
            return
        self._masks.clear()
        self._wasted += int(self._counts[row])
        if self._used + len(codes) > len(self._codes):
            self._codes = _longer(self._codes, int(1.5 * (self._used + len(codes))))
        self._starts[row], self._counts[row] = self._used, len(codes)
        self._codes[self._used : self._used + len(codes)] = codes
        self._used += len(codes)
        if self._wasted > 1024 and 2 * self._wasted > self._used:
            self._starts, self._counts, self._codes = self.csr(len(self._counts))
            self._used, self._wasted = len(self._codes), 0

    def csr(self, n_items: int) -> tuple[I64, I32, I32]:
        """The labels of all items without gaps.

        Returns:
            Where each item's codes start (N,), how many it has (N,), and the codes, rows of `names`.
        """
        starts, counts = self._arrays(n_items)
        packed = np.cumsum(counts, dtype=np.int64) - counts
        places = np.arange(int(counts.sum())) + np.repeat(starts - packed, counts)
        return packed, counts.copy(), self._codes[places]

    def of(self, rows: I32) -> tuple[I64, I32]:
        """The labels of some rows.

        Returns:
            Where the codes of each begin (one more than there are rows), and the codes, rows of `names`.
        """
        known = np.minimum(rows, len(self._counts) - 1)
        counts = np.where(rows < len(self._counts), self._counts[known], 0)
        begins = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(counts, out=begins[1:])
        places = np.arange(int(begins[-1])) + np.repeat(self._starts[known] - begins[:-1], counts)
        return begins, self._codes[places]

    def _arrays(self, n_items: int) -> tuple[I64, I32]:
        if n_items <= len(self._counts):
            return self._starts[:n_items], self._counts[:n_items]
        return _longer(self._starts, n_items), _longer(self._counts, n_items)

    def carried(self, labels: Iterable[str], n_items: int) -> Bool:
        """(N,) whether each item carries one of the labels; the caller must not write into it.

        Raises:
            UnknownNameError: no item ever had one of them.
        """
        key = (n_items, frozenset(labels))
        mask = self._masks.get(key)
        if mask is None:
            wanted = np.zeros(len(self.names), np.bool_)
            for label in sorted(key[1]):
                if label not in self.names:
                    raise UnknownNameError(self.what, label, self.names)
                wanted[self.names.row(label)] = True
            mask = _carried(*self._arrays(n_items), self._codes, wanted)
            if len(self._masks) >= _CACHED:
                self._masks.clear()
            self._masks[key] = mask
        return mask


@njit(cache=True)
def _carried(starts: I64, counts: I32, codes: I32, wanted: Bool) -> Bool:
    mask = np.zeros(len(starts), np.bool_)
    for row in range(len(starts)):
        for at in range(starts[row], starts[row] + counts[row]):
            if wanted[codes[at]]:
                mask[row] = True
                break
    return mask


def _longer(array: RowsT, size: int) -> RowsT:
    longer = np.zeros(size, array.dtype)
    longer[: len(array)] = array
    return longer
