"""Items drawn for comparison from what was lately taken: windows of the last targets, with exact chances."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I32, I64, Arrays


class RecentNegatives:
    """A ring of the last targets, and how often each item stands in each of its windows."""

    def __init__(self, settings: LiveSettings) -> None:
        self.windows: I64 = np.array(sorted(settings.windows_events), np.int64)
        self.uniform = settings.uniform
        self._ring: I32 = np.zeros(int(self.windows[-1]), np.int32)
        self._counts: I32 = np.zeros((len(self.windows), 0), np.int32)
        self._seen: I64 = np.zeros(1, np.int64)

    def grow(self, items: int) -> None:
        """Make room for item rows below `items`."""
        if items > self._counts.shape[1]:
            grown = np.zeros((len(self.windows), max(items, 2 * self._counts.shape[1])), np.int32)
            grown[:, : self._counts.shape[1]] = self._counts
            self._counts = grown

    def add(self, targets: I32) -> None:
        """Take note of what was taken, in order."""
        _add(targets, self._ring, self._counts, self.windows, self._seen)

    def draw(self, count: int, items: int, rng: np.random.Generator) -> tuple[I32, F32]:
        """Rows drawn with replacement, and the logarithm of the chance that each had at one draw.

        Args:
            count: how many.
            items: N, rows below which all are possible.
            rng: of the draws.
        """
        seen = int(self._seen[0])
        parts = rng.random(count)
        places = rng.random(count)
        rows = (places * items).astype(np.int32)
        if seen:
            J = len(self.windows)
            which = np.minimum(((parts - self.uniform) / (1 - self.uniform) * J).astype(np.int64), J - 1)
            recent = parts >= self.uniform
            size = np.minimum(self.windows[np.maximum(which, 0)], seen)
            back = 1 + (places * size).astype(np.int64)
            rows = np.where(recent, self._ring[(seen - back) % len(self._ring)], rows).astype(np.int32)
        return rows, self.log_chance(rows, items)

    def log_chance(self, rows: I32, items: int) -> F32:
        """(M,) logarithm of the chance that each row has at one draw."""
        seen = int(self._seen[0])
        chance = np.full(len(rows), (self.uniform if seen else 1.0) / max(items, 1))
        if seen:
            size = np.minimum(self.windows, seen)
            shares = self._counts[:, rows] / size[:, None]
            chance += (1 - self.uniform) * shares.mean(0)
        return np.log(chance).astype(np.float32)

    def state(self) -> Arrays:
        """Everything it remembers."""
        held = int(min(self._seen[0], len(self._ring)))
        back = (int(self._seen[0]) - held + np.arange(held)) % len(self._ring)
        return {"seen": self._seen.copy(), "recent": self._ring[back]}

    def load(self, arrays: Arrays, items: int) -> None:
        """Take over what `state` gave.

        Args:
            arrays: as given.
            items: N.
        """
        recent = arrays["recent"]
        self._counts = np.zeros((len(self.windows), 0), np.int32)
        self.grow(items)
        self._seen[0] = int(arrays["seen"][0]) - len(recent)
        start = int(self._seen[0])
        self._seen[0] = arrays["seen"][0]
        self._ring[(start + np.arange(len(recent))) % len(self._ring)] = recent
        for j, size in enumerate(self.windows):
            np.add.at(self._counts[j], recent[-int(min(size, len(recent))) :] if len(recent) else recent, 1)


@njit(cache=True)
def _add(targets: I32, ring: I32, counts: I32, windows: I64, seen: I64) -> None:
    size = len(ring)
    for item in targets:
        for j in range(len(windows)):
            if seen[0] >= windows[j]:
                counts[j, ring[(seen[0] - windows[j]) % size]] -= 1
            counts[j, item] += 1
        ring[seen[0] % size] = item
        seen[0] += 1
