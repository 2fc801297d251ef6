"""Numeric properties on one scale: how many running standard deviations from the running mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from everbrook.state import texts
from everbrook.types import F32, F64, Arrays, Bool

_LARGEST = 1e150  # beyond it a square is not finite
DRIFT = 0.01
"""Deviations by which the scale may be off before all rows are brought onto another one."""
MOST_MOVED = 4096
"""Rows that are followed one by one; when more change, all are looked at."""


@dataclass(slots=True)
class Spread:
    """Count, mean and sum of squared deviations of the numbers at hand.

    Source: Welford (1962); the step backwards takes a number out again.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, number: float) -> None:
        """Take a number in."""
        self.n += 1
        before = number - self.mean
        self.mean += before / self.n
        self.squares += before * (number - self.mean)

    def remove(self, number: float) -> None:
        """Take a number out that was taken in before."""
        self.n -= 1
        if self.n == 0:
            self.mean = self.squares = 0.0
            return
        after = number - self.mean
        self.mean -= after / self.n
        self.squares = max(0.0, self.squares - after * (number - self.mean))

    @property
    def deviation(self) -> float:
        """The standard deviation; 1 where all numbers are the same."""
        deviation = math.sqrt(self.squares / self.n) if self.n else 0.0
        return deviation if deviation > 1e-9 * max(1.0, abs(self.mean)) else 1.0


class Numbers:
    """The numeric properties of rows, by name.

    Args:
        clip: normalised numbers are cut off so far from the mean.
        names: how many names are kept, the first that come.
    """

    def __init__(self, clip: float, names: int) -> None:
        self.clip, self.most_names = clip, names
        self.spreads: dict[str, Spread] = {}
        self.refused = 0
        """Numbers passed over because there were enough names."""
        self._held: F64 = np.full((0, 0), np.nan)  # (N, names) as given, NaN where there is none
        self._kept: F64 = np.zeros((0, 2))  # (names, 2) mean and deviation of the scale that holds
        self._table: tuple[F32, Bool] = np.empty((0, 0), np.float32), np.empty((0, 0), np.bool_)
        self._moved: set[int] = set()  # rows that are not in the table as they are
        self._rescaled: set[int] = set()  # columns, likewise

    @property
    def names(self) -> tuple[str, ...]:
        """The names seen so far, in order of arrival: the columns of `table`."""
        return tuple(self.spreads)

    def put(self, row: int, properties: Mapping[str, Any]) -> None:
        """Give a row these properties in place of the ones it had; what is not a number is passed over."""
        given = {name: float(value) for name, value in properties.items() if _is_number(value)}
        for name in given:
            if len(self.spreads) < self.most_names:
                self.spreads.setdefault(name, Spread())
        self.refused += sum(name not in self.spreads for name in given)
        self._widen(row + 1 if given else 0)
        if row >= len(self._held):
            return
        for column, (name, spread) in enumerate(self.spreads.items()):
            before, after = float(self._held[row, column]), given.get(name, math.nan)
            if not math.isnan(before):
                spread.remove(before)
            if not math.isnan(after):
                spread.add(after)
            self._held[row, column] = after
            self._follow(column, spread)
        self._moved.add(row)
        if len(self._moved) > MOST_MOVED:
            self._rescaled.update(range(len(self.spreads)))
            self._moved.clear()

    def _follow(self, column: int, spread: Spread) -> None:
        """Let the scale of a column be another one where it is off by too much."""
        mean, deviation = self._kept[column].tolist()
        off = max(abs(spread.mean - mean), abs(spread.deviation - deviation))
        if off > DRIFT * deviation:
            self._kept[column] = spread.mean, spread.deviation
            self._rescaled.add(column)

    def table(self) -> tuple[F32, Bool]:
        """All rows on one scale.

        Returns:
            (names, N) deviations from the mean, cut off at `clip`, 0 where a row has no such number; and (names, N)
            whether it has. Rows beyond the last that ever had one are left out. Mean and deviation are those of what is
            held now, or off by `DRIFT` deviations at most: a change would else move all rows. What changed since the
            last call is written into the same arrays.
        """
        shape = self._held.shape[::-1]
        if self._table[0].shape != shape:
            self._table = np.empty(shape, np.float32), np.empty(shape, np.bool_)
            self._rescaled.update(range(shape[0]))
        for column in self._rescaled:
            _scale(self._held, self._kept, self.clip, column, *self._table)
        if self._moved and len(self._rescaled) < shape[0]:
            rows = np.fromiter(self._moved, np.int64, len(self._moved))
            held, M = self._held[rows], len(rows)
            table, known = np.empty((shape[0], M), np.float32), np.empty((shape[0], M), np.bool_)
            for column in range(shape[0]):
                _scale(held, self._kept, self.clip, column, table, known)
            self._table[0][:, rows], self._table[1][:, rows] = table, known
        self._rescaled.clear()
        self._moved.clear()
        return self._table

    def arrays(self) -> Arrays:
        """All numbers and how they spread."""
        spreads = [(spread.n, spread.mean, spread.squares) for spread in self.spreads.values()]
        names = texts.under("names", texts.pack(name.encode() for name in self.spreads))
        kept = {"held": self._held, "kept": self._kept, "spreads": np.array(spreads, np.float64).reshape(-1, 3)}
        return {**kept, **names}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        names = [name.decode() for name in texts.unpack(texts.within(arrays, "names"))]
        spreads = arrays["spreads"].tolist()
        kept = zip(names, spreads, strict=True)
        self.spreads = {name: Spread(int(n), mean, squares) for name, (n, mean, squares) in kept}
        self._held = np.array(arrays["held"])
        now = np.array([(spread.mean, spread.deviation) for spread in self.spreads.values()]).reshape(-1, 2)
        self._kept = np.array(arrays["kept"]) if "kept" in arrays else now
        self._moved.clear()
        self._rescaled = set(range(len(self.spreads)))

    def _widen(self, rows: int) -> None:
        """Make room for rows, by half as many again where there is too little, and for the names there are."""
        had, columns = self._held.shape
        size = max(rows, int(1.5 * had)) if rows > had else had
        if (size, len(self.spreads)) != (had, columns):
            wider = np.full((size, len(self.spreads)), np.nan)
            wider[:had, :columns] = self._held
            self._held = wider
            unknown = np.tile((0.0, 0.0), (len(self.spreads) - columns, 1))  # any mean is too far from that
            self._kept = np.concatenate((self._kept, unknown))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


@njit(cache=True)
def _scale(held: F64, kept: F64, clip: float, column: int, table: F32, known: Bool) -> None:
    """Bring a column of (N, names) `held` onto one scale, in (names, N) `table` and `known`; see `Numbers.table`."""
    for row in range(held.shape[0]):
        number = held[row, column]
        scaled = min(max((number - kept[column, 0]) / kept[column, 1], -clip), clip)
        known[column, row] = number == number
        table[column, row] = scaled if number == number else 0.0
