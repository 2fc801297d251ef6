"""Items by given vectors and by numeric properties: what a scan of the features' tables finds alike. Not a model."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from everbrook.features.numbers import Numbers
from everbrook.features.vectors import GivenVectors
from everbrook.models import content_kernels as kernels
from everbrook.types import F32, F64, I32, NO_ROW


class Scan(ABC):
    """A likeness of all items to a few, between 0 (not alike, or nothing to compare) and 1."""

    @property
    @abstractmethod
    def empty(self) -> bool:
        """Whether no item has anything to compare."""

    @abstractmethod
    def likeness(self, recent: I32, pull: F64, rows: I32 | None = None) -> F32:
        """How much items are like the mean of some.

        Args:
            recent: (R,) rows of those.
            pull: (R,) their weights.
            rows: (M,) which items; all that have anything to compare where None.

        Returns:
            (M,) or, for all, one for each row from 0 on.
        """

    def alike(self, recent: I32, decay: float, left_out: I32, top: int) -> tuple[I32, F32]:
        """(C,) the items most like the recent ones and (C,) how much, above 0; equal ones in row order.

        Args:
            recent: rows, newest first.
            decay: weight of a row for each place further back.
            left_out: rows that are not wanted.
            top: the most items.
        """
        if self.empty or not len(recent):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        found = self.likeness(recent, decay ** np.arange(len(recent), dtype=np.float64))
        found[left_out[(left_out >= 0) & (left_out < len(found))]] = 0.0
        floor = np.partition(found, -top)[-top] if top < len(found) else 0.0
        items = np.flatnonzero((found > 0) & (found >= floor))[:top]
        return items.astype(np.int32), np.minimum(found[items], np.float32(1))

    def because(self, recent: I32, rows: I32) -> I32:
        """(M,) the recent item that is most like each row; NO_ROW where none is."""
        out = np.full(len(rows), NO_ROW, np.int32)
        best = np.zeros(len(rows), np.float32)
        for row in recent:
            found = self.likeness(row[None], np.ones(1), rows)
            better = (found > best) & (rows != row)
            out[better], best[better] = row, found[better]
        return out


class VectorScan(Scan):
    """The cosine of given vectors, mean over the names that an item shares with the recent ones."""

    def __init__(self, vectors: GivenVectors) -> None:
        self.vectors = vectors

    @property
    def empty(self) -> bool:
        """See `Scan.empty`."""
        return not self.vectors.names

    def likeness(self, recent: I32, pull: F64, rows: I32 | None = None) -> F32:
        """See `Scan.likeness`."""
        tables = [self.vectors.table(name) for name in self.vectors.names]
        size = max((len(known) for _, known in tables), default=0) if rows is None else len(rows)
        total, names = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for table, known in tables:
            profile = _mean(table, known, recent, pull)
            if profile is None:
                continue
            if rows is None:
                total[: len(table)] += table @ profile
                names[: len(table)] += known
            else:
                inside = np.flatnonzero((rows >= 0) & (rows < len(table)))
                total[inside] += table[rows[inside]] @ profile
                names[inside] += known[rows[inside]]
        return np.divide(total, np.maximum(names, 1), dtype=np.float32)


class NumberScan(Scan):
    """How near numeric properties lie, in deviations: a bell curve of their mean square distance over shared names.

    An item that lacks some of the recent ones' numbers is alike by the share that it has.

    Args:
        numbers: where they are.
        width: of the bell curve, in deviations.
    """

    def __init__(self, numbers: Numbers, width: float) -> None:
        self.numbers, self.width = numbers, width

    @property
    def empty(self) -> bool:
        """See `Scan.empty`."""
        return not self.numbers.spreads

    def likeness(self, recent: I32, pull: F64, rows: I32 | None = None) -> F32:
        """See `Scan.likeness`."""
        table, known = self.numbers.table()
        wanted = np.arange(table.shape[1], dtype=np.int32) if rows is None else np.ascontiguousarray(rows, np.int32)
        out = np.zeros(len(wanted), np.float32)
        kernels.near_numbers(table, known, np.ascontiguousarray(recent, np.int32), pull, wanted, self.width, out)
        return out

    def alike(self, recent: I32, decay: float, left_out: I32, top: int) -> tuple[I32, F32]:
        """See `Scan.alike`; the bell curve is computed only where it may be among the highest."""
        if self.empty or not len(recent):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        table, known = self.numbers.table()
        pull = decay ** np.arange(len(recent), dtype=np.float64)
        own = np.ascontiguousarray(left_out, np.int32)
        rows = kernels.nearest_numbers(table, known, np.ascontiguousarray(recent, np.int32), pull, own, self.width, top)
        found = self.likeness(recent, pull, rows)
        floor = np.partition(found, -top)[-top] if top < len(found) else 0.0
        kept = np.flatnonzero((found > 0) & (found >= floor))[:top]
        return rows[kept], np.minimum(found[kept], np.float32(1))


def _mean(table: F32, known: np.ndarray, recent: I32, pull: F64) -> F32 | None:
    """The direction of some rows' weighted sum; None where there is none."""
    inside = np.flatnonzero((recent >= 0) & (recent < len(table)))
    inside = inside[known[recent[inside]]]
    summed = pull[inside] @ table[recent[inside]]
    length = float(np.linalg.norm(summed))
    return (summed / length).astype(np.float32) if length > 0.0 else None
