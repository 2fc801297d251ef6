"""Items drawn as negatives for a batch, and the chance that each had."""

from __future__ import annotations

import numpy as np

from everbrook.types import F32, F64, I64

UNIFORM_SHARE = 0.2
"""Share of the draws that take all items alike, so that an item without a count is pushed down too."""


class Negatives:
    """Draws of item rows, by a power of their count or all alike."""

    def __init__(self, counts: I64, power: float) -> None:
        """Prepare the draws.

        Args:
            counts: (N,) how often each item is a target.
            power: 0 draws all alike, 1 by count.
        """
        weight = counts.astype(np.float64) ** power if power else np.ones(len(counts))
        total = weight.sum()
        share = weight / total if total else np.full(len(counts), 1 / len(counts))
        self._chance: F64 = (1 - UNIFORM_SHARE) * share + UNIFORM_SHARE / len(counts)
        self._edges: F64 = np.cumsum(self._chance)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[I64, F32]:
        """At most `count` different rows, ascending, and the logarithm of the chance that each is among them."""
        if count >= len(self._chance):
            return np.arange(len(self._chance)), np.zeros(len(self._chance), np.float32)
        points = rng.random(count) * self._edges[-1]
        rows = np.unique(np.searchsorted(self._edges, points, side="right").clip(max=len(self._edges) - 1))
        missed = count * np.log1p(-self._chance[rows])  # logarithm of the chance of not being drawn
        return rows, np.log(-np.expm1(missed)).astype(np.float32)
