"""The item rows of the live model: one vector an item, which begins near nothing as its row number and the seed say.

A row that no event has moved is a function of its number, so that nothing has to be kept for it, and a copy made
elsewhere begins alike.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.types import F32, I32, Arrays


class LiveRows:
    """A table of N rows that grows; written in place by whoever learns."""

    def __init__(self, width: int, start: float, seed: int) -> None:
        """Prepare.

        Args:
            width: D.
            start: spread of a new row's numbers.
            seed: of the new rows.
        """
        self.width, self.start, self.seed = width, start, seed
        self.table: F32 = np.zeros((0, width), np.float32)
        self.origin = object()  # stays while the table only becomes longer
        self.count = 0

    def grow(self, items: int) -> None:
        """Make room for rows below `items`; new ones get their first values."""
        if items <= self.count:
            return
        if items > len(self.table):
            bigger = np.zeros((max(1024, items, len(self.table) * 3 // 2), self.width), np.float32)
            bigger[: self.count] = self.table[: self.count]
            self.table = bigger
        first_values(self.table, self.count, items, self.start, self.seed)
        self.count = items

    def reset(self, rows: I32) -> None:
        """Let rows begin again."""
        for row in rows.tolist():
            first_values(self.table, row, row + 1, self.start, self.seed)

    def arrays(self) -> Arrays:
        """The rows."""
        return {"table": self.table[: self.count]}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self.table, self.origin = np.array(arrays["table"], np.float32), object()
        self.count = len(self.table)


@njit(cache=True)
def first_values(table: F32, first: int, stop: int, start: float, seed: int) -> None:
    """Normal numbers for rows first..stop-1, by their row and column alone (splitmix64 and Box-Muller)."""
    width = table.shape[1]
    for row in range(first, stop):
        key = np.uint64(row) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        for d in range(0, width, 2):
            key += np.uint64(0x9E3779B97F4A7C15)
            z = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            high = (float(z >> np.uint64(32)) + 1.0) / 4294967297.0
            low = float(z & np.uint64(0xFFFFFFFF)) / 4294967296.0
            radius = start * math.sqrt(-2.0 * math.log(high))
            table[row, d] = radius * math.cos(2.0 * math.pi * low)
            if d + 1 < width:
                table[row, d + 1] = radius * math.sin(2.0 * math.pi * low)
