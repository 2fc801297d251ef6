"""How varied the lists of one system were, summed over a replay."""

from __future__ import annotations

import numpy as np

from everbrook.metrics import variety
from everbrook.types import F32, F64, I32, I64, Bool


class Shown:
    """Coverage, novelty and diversity of lists as they come.

    Args:
        ks: how many places count.
    """

    def __init__(self, ks: tuple[int, ...]) -> None:
        self._ks = ks
        self._seen: dict[int, Bool] = {k: np.zeros(0, np.bool_) for k in ks}
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, lists: I32, popularity: I64 | None, vectors: F32 | None, categories: F32 | None) -> None:
        """Count B more lists, (B, T) rows; see `everbrook.metrics.variety` for the rest."""
        size = int(lists.max(initial=-1)) + 1
        for k in self._ks:
            if size > len(self._seen[k]):
                self._seen[k] = np.pad(self._seen[k], (0, size - len(self._seen[k])))
            variety.mark_shown(lists, self._seen[k], k)
            if popularity is not None:
                self._count(f"novelty@{k}", variety.novelty(lists, popularity, k))
            if vectors is not None:
                self._count(f"diversity@{k}", variety.diversity(lists, vectors, k))
            if categories is not None:
                self._count(f"category_diversity@{k}", variety.diversity(lists, categories, k))

    def metrics(self, known_items: int) -> dict[str, float]:
        """All that was measured; coverage as a share of the known items where their number is given."""
        found = {name: total / count for name, (total, count) in self._sums.items() if count}
        for k, seen in self._seen.items():
            found[f"items_shown@{k}"] = float(seen.sum())
            if known_items:
                found[f"coverage@{k}"] = variety.coverage(seen, known_items)
        return found

    def _count(self, name: str, values: F64) -> None:
        total, count = self._sums.get(name, (0.0, 0))
        here = values[~np.isnan(values)]
        self._sums[name] = (total + float(here.sum()), count + len(here))
