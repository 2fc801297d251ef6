"""Numeric properties on one scale: how many running standard deviations from the running mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from everbrook.types import F32


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
    """The numeric properties of rows, by name."""

    def __init__(self, clip: float) -> None:
        self.clip = clip
        self.spreads: dict[str, Spread] = {}
        self._held: dict[int, dict[str, float]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names seen so far, in order of arrival: the columns of `normalised`."""
        return tuple(self.spreads)

    def put(self, row: int, properties: Mapping[str, Any]) -> None:
        """Give a row these properties in place of the ones it had; what is not a number is passed over."""
        for name, number in self._held.pop(row, {}).items():
            self.spreads[name].remove(number)
        held = {name: float(value) for name, value in properties.items() if _is_number(value)}
        for name, number in held.items():
            self.spreads.setdefault(name, Spread()).add(number)
        if held:
            self._held[row] = held

    def normalised(self, rows: Sequence[int]) -> F32:
        """(M, names) deviations from the mean, cut off at `clip`; 0, which is the mean, where a row has no number."""
        out = np.zeros((len(rows), len(self.spreads)), np.float32)
        scales = [(name, spread.mean, spread.deviation) for name, spread in self.spreads.items()]
        for place, row in enumerate(rows):
            held = self._held.get(row)
            if held:
                out[place] = [(held[name] - mean) / scale if name in held else 0.0 for name, mean, scale in scales]
        return np.clip(out, -self.clip, self.clip, out=out)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
