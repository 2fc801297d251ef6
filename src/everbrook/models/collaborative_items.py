"""Item-based filtering over users' long histories: cosine of the users that two items share, counted at every event.

Not transitions (see `transitions`): pairs count both ways and far apart, and popular items are divided out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from everbrook.models import collaborative_kernels as kernels
from everbrook.models.collaborative_query import RETURNS, UNIT
from everbrook.models.neighbours_query import latest
from everbrook.settings.collaborative import CollaborativeSettings
from everbrook.state.mapped import AHEAD, grown, owned, with_room
from everbrook.types import F64, I32, NO_ROW, Arrays, Query, Step

ARRAYS = ("clock", "at", "offsets", "rooms", "fills", "keys", "weights", "counts", "returns")
POOL = ("keys", "weights")
ROWS = ("offsets", "rooms", "fills", "counts")


class ItemSimilarities:
    """Which items are taken by the same users."""

    def __init__(self, settings: CollaborativeSettings) -> None:
        self.settings = settings
        self._limit = kernels.FIRST_ROOM << kernels.room_class(settings.row_items)
        at = np.full(kernels.FREE + kernels.CLASSES, kernels.EMPTY, np.int64)
        at[kernels.USED] = 0
        self._arrays: Arrays = {
            "clock": np.zeros(3, np.int64), "at": at,
            "offsets": np.zeros(0, np.int64), "rooms": np.zeros(0, np.int32), "fills": np.zeros(0, np.int32),
            "keys": np.zeros(0, np.int32), "weights": np.zeros(0, np.float32), "counts": np.zeros(0, np.float64),
            "returns": np.zeros(2, np.float64),
        }  # fmt: skip
        # For queries: settings, and what is known when they ask.
        self._floats: F64 = np.array([settings.query_decay, settings.shrinkage, settings.item_sharpness, 1.0, 0.0])

    def grow(self, items: int) -> None:
        """Make room for item rows below `items`."""
        for name in ROWS:
            self._widen(name, items)

    def learn(self, step: Step) -> None:
        """Count the pairs that the events make."""
        s, a, start = self.settings, self._arrays, 0
        while True:
            start = kernels.learn(
                start, step.ts_ms, step.item, step.weight, step.n, step.items, s.learn_window, s.learn_decay,
                1e3 * s.half_life_s, self._limit, a["clock"], a["at"], a["offsets"], a["rooms"], a["fills"],
                a["keys"], a["weights"], a["counts"], a["returns"],
            )  # fmt: skip
            if start >= len(step):
                return
            wanted = int(a["at"][kernels.USED]) + 8 * self._limit * (s.learn_window + 1)
            if wanted > len(a["keys"]):
                a |= dict(zip(POOL, grown([a[name] for name in POOL], wanted), strict=True))

    @property
    def items(self) -> int:
        """For how many item rows there is room."""
        return len(self._arrays["counts"])

    @property
    def most_found(self) -> int:
        """How many related items a query can find."""
        return self._limit * self.settings.query_items

    def asked(self) -> tuple[Any, ...]:
        """What kernels that ask need of it: everything that is kept; see `collaborative_query`."""
        s, a = self.settings, self._arrays
        self._floats[UNIT], self._floats[RETURNS] = self._unit(), a["returns"][kernels.SHARE]
        return (
            self._floats, a["offsets"], a["rooms"], a["keys"], a["weights"], a["counts"], s.query_items,
        )  # fmt: skip

    def because(self, query: Query, rows: I32) -> I32:
        """(M,) the recent item that is most similar to each row; NO_ROW where none is."""
        s, a = self.settings, self._arrays
        out = np.full(len(rows), NO_ROW, np.int32)
        kernels.brought(
            self._recent(query), np.ascontiguousarray(rows, np.int32), s.query_decay, s.shrinkage, self._unit(),
            a["offsets"], a["rooms"], a["keys"], a["weights"], a["counts"], out,
        )  # fmt: skip
        return out

    def state(self) -> Arrays:
        """All counts."""
        used = int(self._arrays["at"][kernels.USED])
        return {name: self._arrays[name][:used] if name in POOL else self._arrays[name] for name in ARRAYS}

    def load(self, arrays: Arrays) -> None:
        """Take over all counts."""
        self._arrays = {
            name: with_room(arrays[name], AHEAD * len(arrays[name])) if name in POOL else owned(arrays[name])
            for name in ARRAYS
        }

    def _recent(self, query: Query) -> I32:
        return latest(
            np.ascontiguousarray(query.items, np.int32), len(self._arrays["counts"]), self.settings.query_items
        )

    def _unit(self) -> float:
        clock, half_life_ms = self._arrays["clock"], 1e3 * self.settings.half_life_s
        if half_life_ms <= 0:
            return 1.0
        return float(2.0 ** ((clock[kernels.LATEST_MS] - clock[kernels.ORIGIN_MS]) / half_life_ms))

    def _widen(self, name: str, size: int) -> None:
        old = self._arrays[name]
        if size > len(old):
            wider = np.zeros(max(size, 2 * len(old)), old.dtype)
            wider[: len(old)] = old
            self._arrays[name] = wider
