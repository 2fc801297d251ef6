"""Numeric properties on one scale: how many running standard deviations from the running mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from everbrook.state import texts
from everbrook.types import F32, F64, Arrays, Bool

_LARGEST = 1e150  # beyond it a square is not finite


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
        self._table: tuple[F32, Bool] | None = None

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
        self._table = None

    def table(self) -> tuple[F32, Bool]:
        """All rows on one scale.

        Returns:
            (names, N) deviations from the mean, cut off at `clip`, 0 where a row has no such number; and (names, N)
            whether it has. Rows beyond the last that ever had one are left out.
        """
        if self._table is None:
            mean = np.array([spread.mean for spread in self.spreads.values()])
            deviation = np.array([spread.deviation for spread in self.spreads.values()])
            known = ~np.isnan(self._held)
            scaled = np.clip((self._held - mean) / deviation, -self.clip, self.clip)
            table = np.where(known, scaled, 0.0).astype(np.float32)
            self._table = np.ascontiguousarray(table.T), np.ascontiguousarray(known.T)
        return self._table

    def arrays(self) -> Arrays:
        """All numbers and how they spread."""
        spreads = [(spread.n, spread.mean, spread.squares) for spread in self.spreads.values()]
        names = texts.under("names", texts.pack(name.encode() for name in self.spreads))
        return {"held": self._held, "spreads": np.array(spreads, np.float64).reshape(-1, 3), **names}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        names = [name.decode() for name in texts.unpack(texts.within(arrays, "names"))]
        spreads = arrays["spreads"].tolist()
        kept = zip(names, spreads, strict=True)
        self.spreads = {name: Spread(int(n), mean, squares) for name, (n, mean, squares) in kept}
        self._held = np.array(arrays["held"])
        self._table = None

    def _widen(self, rows: int) -> None:
        """Make room for rows, by half as many again where there is too little, and for the names there are."""
        had, columns = self._held.shape
        size = max(rows, int(1.5 * had)) if rows > had else had
        if (size, len(self.spreads)) != (had, columns):
            wider = np.full((size, len(self.spreads)), np.nan)
            wider[:had, :columns] = self._held
            self._held = wider


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
