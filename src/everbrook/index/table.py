"""The item table: one vector a row, written in place at any time and searched exactly at any time.

It is not an approximate index. Beside the float32 rows lies an int8 copy that makes the scan three times cheaper;
proven error bounds and an exact re-score see to it that the answer is that of a full scan in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbrook.errors import InputError
from everbrook.index import scan
from everbrook.settings.index import IndexSettings
from everbrook.types import F32, I32, I64, NO_ROW, Arrays, Bool

LARGEST = 1e15  # products of two such values still fit float32 with room for any width
FIRST_ROWS = 1024


class ItemTable:
    """Vectors of the items, (N, D), with exact search for the largest inner products."""

    def __init__(self, width: int, settings: IndexSettings | None = None) -> None:
        if width < 1:
            raise InputError(f"The width of an item table must be at least 1; got {width}.")
        self.width = width
        self.settings = settings or IndexSettings()
        self._levels = scan.query_levels(width)
        self._count = 0
        self._allocate(FIRST_ROWS)

    def __len__(self) -> int:
        return self._count

    @property
    def vectors(self) -> F32:
        """The rows as they are now, (N, D), read-only; zeros where none was put."""
        view = self._vectors[: self._count].view()
        view.flags.writeable = False
        return view

    def grow(self, rows: int) -> None:
        """Make room for row numbers below `rows`; new rows are absent until they are put."""
        if rows > len(self._vectors):
            before = self._columns()
            self._allocate(max(rows, 2 * len(self._vectors)))
            for source, target in zip(before, self._columns(), strict=True):
                target[: len(source)] = source
        self._count = max(self._count, rows)

    def put(self, rows: I32, values: F32) -> None:
        """Write vectors in place.

        Args:
            rows: (M,) row numbers; the table grows to hold them.
            values: (M, D) finite numbers.

        Raises:
            InputError: when shapes do not fit, a row is negative, or a value is not finite or beyond 1e15.
        """
        rows = np.ascontiguousarray(rows, np.int32)
        values = np.ascontiguousarray(values, np.float32)
        if values.shape != (len(rows), self.width):
            raise InputError(f"Item vectors must have shape ({len(rows)}, {self.width}); got {values.shape}.")
        if not len(rows):
            return
        if rows.min() < 0:
            raise InputError(f"Item rows must be >= 0; got {rows.min()}.")
        _check_values("Item vectors", values)
        self.grow(int(rows.max()) + 1)
        scan.put_rows(self._vectors, self._codes, self._scales, self._slack, self._norms, self._levels, rows, values)
        self._present[rows] = True

    def remove(self, rows: I32) -> None:
        """Make rows absent: no search finds them until they are put again."""
        self._present[rows] = False

    def score(self, query: F32, rows: I32) -> F32:
        """Exact inner products with given rows, (M,)."""
        query = self._checked(query)
        out = np.empty(len(rows), np.float32)
        scan.score_rows(self._vectors, np.ascontiguousarray(rows, np.int32), query, out)
        return out

    def search(self, query: F32, top: int, visible: Bool | None = None) -> tuple[I32, F32]:
        """The rows with the largest inner products, best first; equal scores in row order.

        Args:
            query: (D,) finite numbers.
            top: how many at most.
            visible: (N,) which rows may be found; a shorter mask hides the rows beyond it.

        Returns:
            (T,) rows and (T,) scores; fewer than `top` where fewer rows are present and visible.
        """
        return self._search(self._checked(query), top, visible, np.empty(0, np.float32))

    def search_with_total(self, query: F32, top: int) -> tuple[I32, F32, float]:
        """The same as `search`, and the logarithm of the sum of all rows' exponentials: a softmax's denominator.

        One scan gives both: the found rows, which make up most of the sum, count with their exact scores, all others
        with their coded products, each as near to the true one as the row's error bound says. Absent rows are zeros.

        Args:
            query: (D,) finite numbers.
            top: how many at most.
        """
        if not self._count:
            return np.empty(0, np.int32), np.empty(0, np.float32), -np.inf
        rough = np.empty(self._count, np.float32)
        found, scores = self._search(self._checked(query), max(top, 1), None, rough)
        rough[found] = scores
        peak = float(rough.max())
        np.exp(rough - np.float32(peak), out=rough)
        return found[:top], scores[:top], peak + float(np.log(rough.sum(dtype=np.float64)))

    def _search(self, query: F32, top: int, visible: Bool | None, rough: F32) -> tuple[I32, F32]:
        usable = self._usable(visible)
        n = self._count
        if not n or top < 1:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        top = min(top, n)
        if self.settings.quantised:
            found, scores = scan.search_codes(
                self._vectors[:n], self._codes[:n], self._scales, self._slack, usable, query, self._levels, top, rough
            )
        else:
            products = self._vectors[:n] @ query
            rough[:] = products[: len(rough)]
            found, scores = scan.search_rough(self._vectors[:n], products, self._norms, usable, query, top)
        order = _best_first(scores, top)
        return found[order], scores[order]

    def search_batch(self, queries: F32, top: int, visible: Bool | None = None) -> tuple[I32, F32]:
        """The same for many queries at once, by blocks of matrix products.

        Args:
            queries: (B, D) finite numbers.
            top: how many at most for each.
            visible: (N,) which rows may be found.

        Returns:
            (B, top) rows, filled up with NO_ROW, and (B, top) scores, filled up with -inf.
        """
        B = len(queries)
        rows = np.full((B, top), NO_ROW, np.int32)
        scores = np.full((B, top), -np.inf, np.float32)
        n = self._count
        if not n or top < 1 or not B:
            return rows, scores
        queries = self._checked(queries)
        usable = self._usable(visible)
        block = max(1, self.settings.batch_bytes // (4 * n))
        for start in range(0, B, block):
            rough = queries[start : start + block] @ self._vectors[:n].T
            for b, line in enumerate(rough, start):
                found, best = scan.search_rough(self._vectors[:n], line, self._norms, usable, queries[b], min(top, n))
                order = _best_first(best, top)
                rows[b, : len(order)] = found[order]
                scores[b, : len(order)] = best[order]
        return rows, scores

    def state(self) -> Arrays:
        """The rows and which of them are present."""
        return {"vectors": self._vectors[: self._count].copy(), "present": self._present[: self._count].copy()}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        values = arrays["vectors"]
        self._count = 0
        self._allocate(max(FIRST_ROWS, len(values)))
        self.grow(len(values))
        self.put(np.arange(len(values), dtype=np.int32), values)
        self._present[: len(values)] = arrays["present"]

    def _allocate(self, rows: int) -> None:
        coded = rows if self.settings.quantised else 0
        self._vectors: F32 = np.zeros((rows, self.width), np.float32)
        self._codes: NDArray[np.int8] = np.zeros((coded, self.width), np.int8)
        self._scales: F32 = np.zeros(rows, np.float32)
        self._slack: F32 = np.zeros(rows, np.float32)
        self._norms: F32 = np.zeros(rows, np.float32)
        self._present: Bool = np.zeros(rows, np.bool_)

    def _columns(self) -> tuple[NDArray[Any], ...]:
        """All that is kept of each row; said to be of any type, since what checks types joins them as it happens."""
        return self._vectors, self._codes, self._scales, self._slack, self._norms, self._present

    def _usable(self, visible: Bool | None) -> Bool:
        if visible is None:
            return self._present
        usable = np.zeros(self._count, np.bool_)
        shared = min(self._count, len(visible))
        np.logical_and(self._present[:shared], visible[:shared], out=usable[:shared])
        return usable

    def _checked(self, query: F32) -> F32:
        query = np.ascontiguousarray(query, np.float32)
        if query.shape[-1] != self.width:
            raise InputError(f"A query must have {self.width} numbers; got {query.shape[-1]}.")
        _check_values("A query", query)
        return query


def _best_first(scores: F32, top: int) -> I64:
    """Where the best scores stand; a stable sort, so that equal ones stay in row order."""
    return np.argsort(-scores, kind="stable")[:top]


def _check_values(what: str, values: F32) -> None:
    # A NaN makes the comparison false too.
    if not bool((np.abs(values) <= LARGEST).all()):
        raise InputError(f"{what} must be finite numbers of at most {LARGEST:g}; got {_first_bad(values)}.")


def _first_bad(values: F32) -> float:
    return float(values[~(np.abs(values) <= LARGEST)].flat[0])
