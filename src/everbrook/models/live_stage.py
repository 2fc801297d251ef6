"""Whom the live weights serve, and the anchor's rows for those whom they do not."""

from __future__ import annotations

import numpy as np

from everbrook.types import F32, I32, NO_ROW

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF


def serves_live(stage: str, actor: int, canary_share: float) -> bool:
    """Whether an actor's lists are made by the live weights rather than by the anchor.

    Args:
        stage: 'shadow', 'canary' or 'live'.
        actor: row of who asks; strangers belong to the anchor in a canary.
        canary_share: share of the actors that the live weights serve in a canary, by a hash of the actor.
    """
    if stage == "canary":
        z = ((actor + 1) * _GOLDEN) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z ^= z >> 27
        return actor != NO_ROW and (z >> 11) / 2.0**53 < canary_share
    return stage == "live"


class AnchorRows:
    """The anchor's values of the rows in which it differs from the live table."""

    def __init__(self, width: int) -> None:
        self.place: I32 = np.empty(0, np.int32)  # (N,) where a row's value stands in `values`; negative: no difference
        self.values: F32 = np.zeros((1, width), np.float32)
        self._rows: I32 = np.empty(1, np.int32)
        self._count = 0

    @property
    def rows(self) -> I32:
        """(R,) the rows that differ."""
        return self._rows[: self._count]

    @property
    def kept(self) -> F32:
        """(R, D) the values, in the order of `rows`."""
        return self.values[: self._count]

    def share(self, place: I32, values: F32, rows: I32) -> None:
        """Look at what is kept elsewhere.

        Args:
            place: (N,) where a row's value stands in `values`; negative where the anchor does not differ.
            values: (R, D) or longer.
            rows: (R,)
        """
        self.place, self.values, self._rows, self._count = place, values, rows, len(rows)

    def replace(self, rows: I32, values: F32, items: int) -> None:
        """Take over all rows that differ.

        Args:
            rows: (R,)
            values: (R, D)
            items: N.
        """
        self.place = np.full(items, NO_ROW, np.int32)
        self._count = 0
        self.add(rows, values, items)

    def add(self, rows: I32, values: F32, items: int) -> None:
        """Take in rows that differ from now on; those that are known already stay as they are."""
        self._grow(items, self._count + len(rows))
        new = self.place[rows] < 0
        stop = self._count + int(new.sum())
        self._rows[self._count : stop] = rows[new]
        self.values[self._count : stop] = values[new]
        self.place[rows[new]] = np.arange(self._count, stop, dtype=np.int32)
        self._count = stop

    def _grow(self, items: int, count: int) -> None:
        if items > len(self.place):
            place = np.full(max(items, len(self.place) * 3 // 2), NO_ROW, np.int32)
            place[: len(self.place)] = self.place
            self.place = place
        if count > len(self._rows) or count > len(self.values):
            room = max(count, 2 * self._count)
            rows, values = np.empty(room, np.int32), np.empty((room, self.values.shape[1]), np.float32)
            rows[: self._count], values[: self._count] = self.rows, self.kept
            self._rows, self.values = rows, values
