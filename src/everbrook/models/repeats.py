"""The actor's own recent items: people come back to them in shops, hardly ever in news. Learned, not assumed.

A table holds how often an item of so recent a rank, so long ago, seen so often came next; cells are smoothed towards
their rank's rate. Its size does not depend on items or actors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everbrook.models import repeats_kernels as kernels
from everbrook.models.members import among
from everbrook.models.portion import LastPortion, Portion, portion_of, some_rows, starts_of
from everbrook.settings.repeats import RepeatsSettings
from everbrook.types import F32, I32, I64, NO_ROW, Arrays, Query, Step


class Repeats:
    """Chances of coming back, by rank, age and number of visits; columns 'repeats/…'."""

    def __init__(self, settings: RepeatsSettings | None = None) -> None:
        self.settings = settings or RepeatsSettings()
        self.names: tuple[str, ...] = ("repeats/session", "repeats/history", "repeats/kind")
        self._table = np.zeros((3, kernels.CELLS, 2))
        self._parents = np.zeros((3, kernels.RANKS, 2))
        self._last: LastPortion[kernels.Found] = LastPortion()

    def forget_actor(self, actor: int) -> int:
        """Nothing is kept of actors but the last answers, which go; none of them are rows."""
        self._last.clear()
        return 0

    def grow(self, items: int, actors: int) -> None:
        """Nothing here is kept per item or actor."""

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Look the item up among the actor's own, then count hits and misses, event by event."""
        self._last.clear()
        s = self.settings
        kernels.observe(
            step.ts_ms,
            step.item,
            step.weight,
            step.n,
            step.session_n,
            step.items,
            step.times,
            step.kinds,
            self._table,
            self._parents,
            s.window,
            float(s.memory),
            s.prior,
            mass,
            rest,
        )

    def propose(self, query: Query, limit: int) -> I32:
        """The actor's own items by the sum of their chances."""
        found, kept = np.empty((1, limit), np.int32), np.empty(1, np.int64)
        self.propose_into([query], limit, found, kept)
        return found[0, : kept[0]]

    def propose_into(self, queries: Sequence[Query], limit: int, found: I32, kept: I64) -> None:
        """The same for each of B queries; see `types.Expert`."""
        portion = portion_of(queries)
        self._last.put(portion, self._find(portion, found, kept))

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Chances of the given items; 0 for those that are not the actor's own."""
        self.score_all([query], rows, [0, len(rows)], mass, rest[None])

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        kept = self._last.answer_or(queries, self._find)
        known, out = some_rows(rows, mass)
        kernels.look_up_all(kept[0], known, starts_of(queries, starts), kept[1], out, rest)

    def _find(self, portion: Portion, best: I32, kept: I64) -> kernels.Found:
        """One way through the histories serves every call for the same queries until something is learned."""
        s, found = self.settings, kernels.room_for(len(portion), self.settings.window)
        kernels.find_all(
            portion.items, portion.times, portion.kinds, portion.numbers, self._table, self._parents, s.window, s.prior,
            found, best, kept,
        )  # fmt: skip
        return found

    def because(self, query: Query, rows: I32) -> I32:
        """An own item comes because of itself."""
        return np.where(among(rows, query.items[-self.settings.window :]), rows, NO_ROW).astype(np.int32)

    def state(self) -> Arrays:
        """Both tables."""
        return {"table": self._table, "parents": self._parents}

    def load(self, arrays: Arrays) -> None:
        """Take over both tables."""
        self._last.clear()
        self._table, self._parents = np.array(arrays["table"]), np.array(arrays["parents"])
