"""Vectors that callers give with items (of pictures, of texts), scaled to length 1, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from everbrook.state import texts
from everbrook.types import F32, Arrays, Bool

PARTS = ("rows", "known")


@dataclass(slots=True)
class _Table:
    rows: F32  # (N, D), zero where there is none
    known: Bool  # (N,)


class GivenVectors:
    """A table of unit vectors for each name; the first vector of a name sets its width."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self.refused = 0
        """Vectors passed over because of another width, or because they are all zero or not finite."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names seen so far."""
        return tuple(self._tables)

    def width(self, name: str) -> int:
        """How many numbers a vector of this name has; 0 where there is none yet."""
        return self._tables[name].rows.shape[1] if name in self._tables else 0

    def put(self, row: int, vectors: Mapping[str, Sequence[float] | None]) -> None:
        """Give a row these vectors in place of the ones it had."""
        for table in self._tables.values():
            if row < len(table.known):
                table.known[row] = False
                table.rows[row] = 0.0
        for name, numbers in vectors.items():
            if numbers:
                self._put(row, name, np.array(numbers, np.float64))

    def _put(self, row: int, name: str, numbers: np.ndarray) -> None:
        length = float(np.linalg.norm(numbers))
        width = self.width(name) or len(numbers)
        if len(numbers) != width or not np.isfinite(length) or length == 0.0:
            self.refused += 1
            return
        table = self._tables.setdefault(name, _Table(np.zeros((0, width), np.float32), np.zeros(0, np.bool_)))
        if row >= len(table.known):
            size = max(row + 1, int(1.5 * len(table.known)))
            table.rows = np.concatenate([table.rows, np.zeros((size - len(table.rows), width), np.float32)])
            table.known = np.concatenate([table.known, np.zeros(size - len(table.known), np.bool_)])
        table.rows[row] = numbers / length
        table.known[row] = True

    def table(self, name: str) -> tuple[F32, Bool]:
        """The vectors of a name that was seen.

        Returns:
            (N, D) unit vectors, zero where a row has none, and (N,) which rows have one; N reaches at least the last.
        """
        held = self._tables[name]
        return held.rows, held.known

    def arrays(self) -> Arrays:
        """All vectors."""
        parts = {f"{k}/{part}": getattr(one, part) for k, one in enumerate(self._tables.values()) for part in PARTS}
        return {**parts, **texts.under("names", texts.pack(name.encode() for name in self._tables))}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        names = [name.decode() for name in texts.unpack(texts.within(arrays, "names"))]
        self._tables = {
            name: _Table(*(np.array(arrays[f"{k}/{part}"]) for part in PARTS)) for k, name in enumerate(names)
        }
