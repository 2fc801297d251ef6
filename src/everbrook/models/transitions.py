"""Item-to-item transitions and co-visitation with forgetting, counted at every event.

Memory, with H half-lives: 56 + 24 H bytes an item row, 8 + 12 H bytes for each pair that is kept; and what the last
portion of lists found, some 100 bytes for each pair that it looked at, of which up to 7 MB are kept for the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everbrook.models import transitions_asking as asking
from everbrook.models import transitions_kernels as kernels
from everbrook.models.decay import half_life_name, rates_per_s
from everbrook.models.pairs import PairStore, widened
from everbrook.models.portion import LastPortion, Portion, portion_of, some_rows, starts_of
from everbrook.settings.transitions import TransitionsSettings
from everbrook.types import F32, I32, I64, Arrays, Query, Step

_BASE_HALF_LIVES_S = (3600.0, 0.0)


class Transitions:
    """What follows the last items; columns 'transitions/…', 'window/…' and 'covisit/…'."""

    is_slow = True
    """To learn takes as long as in most other families together."""

    def __init__(self, settings: TransitionsSettings | None = None) -> None:
        self.settings = s = settings or TransitionsSettings()
        self.names: tuple[str, ...] = tuple(
            f"{reading}/{half_life_name(h)}" for reading in ("transitions", "window", "covisit") for h in s.half_lives_s
        )
        self._rates = rates_per_s(s.half_lives_s)
        self._base_rates = rates_per_s(_BASE_HALF_LIVES_S)
        self._knobs = np.array(
            [s.learn_window, s.learn_decay, s.query_window, s.query_decay, s.across, s.row_limit, s.backward, s.doubt],
            np.float64,
        )
        self._pairs = PairStore(3 * len(s.half_lives_s), s.row_limit)
        self._trust = np.zeros((len(self.names), kernels.BUCKETS, 2))
        self._trust[:] = (0.3, 20.0)
        self._base_counts = np.zeros((0, len(self._base_rates)))
        self._base_last = np.zeros(1, np.int64)  # the last place is the clock of the totals
        self._base_totals = np.zeros(len(self._base_rates))
        self._last: LastPortion[asking.Found] = LastPortion()
        self._room = asking.room_for(0, 0, 0, len(self.names))

    def forget_actor(self, actor: int) -> int:
        """Nothing is kept of actors but the last answers, which go; none of them are rows."""
        self._last.clear()
        self._room = asking.room_for(0, 0, 0, len(self.names))
        return 0

    def grow(self, items: int, actors: int) -> None:
        """Make room for item rows below `items`."""
        self._last.clear()
        self._pairs.grow(items)
        self._base_counts = widened(self._base_counts, items)
        if len(self._base_counts) >= len(self._base_last):
            bigger = np.zeros(len(self._base_counts) + 1, np.int64)
            bigger[: len(self._base_last) - 1] = self._base_last[:-1]
            bigger[-1] = self._base_last[-1]
            self._base_last = bigger

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Ask what follows, then count what did, event by event."""
        self._last.clear()
        base = (self._base_counts, self._base_last, self._base_totals, self._base_rates)
        done, pairs = 0, self._pairs
        while True:
            done = kernels.observe(
                done, step.ts_ms, step.item, step.weight, step.n, step.session_n, step.items,
                pairs.arrays, self._rates, self._knobs, self._trust, base, mass, rest,
            )  # fmt: skip
            if done >= len(step):
                return
            pairs.reserve(2 * kernels.room_for_one(self._knobs))

    def propose(self, query: Query, limit: int) -> I32:
        """The followers with the greatest sum of masses over the columns."""
        found, kept = np.empty((1, limit), np.int32), np.empty(1, np.int64)
        self.propose_into([query], limit, found, kept)
        return found[0, : kept[0]]

    def propose_into(self, queries: Sequence[Query], limit: int, found: I32, kept: I64) -> None:
        """The same for each of B queries; see `types.Expert`."""
        portion = portion_of(queries)
        self._last.put(portion, self._find(portion, found, kept))

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Masses of the given items as followers of the query's last items."""
        self.score_all([query], rows, [0, len(rows)], mass, rest[None])

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        kept = self._last.answer_or(queries, self._find)
        known, out = some_rows(rows, mass)
        asking.look_up_all(kept[0], known, starts_of(queries, starts), kept[1], out, rest)

    def _find(self, portion: Portion, best: I32, kept: I64) -> asking.Found:
        """One way through the rows serves every call for the same queries until something is learned."""
        B, C, found = len(portion), len(self.names), self._room
        while True:
            if len(found[0]) < B:
                found = asking.room_for(B, len(found[2]), len(found[1]), C)
            entries, slots = asking.find_all(
                portion.items, portion.numbers, self._pairs.arrays, self._rates, self._knobs, self._trust, found, best,
                kept,
            )  # fmt: skip
            if entries <= len(found[2]) and slots <= len(found[1]):
                break
            found = asking.room_for(B, max(entries, len(found[2])), max(slots, len(found[1])), C)
        if len(found[2]) <= asking.KEPT:
            self._room = found
        return found

    def because(self, query: Query, rows: I32) -> I32:
        """The asked item whose row gave the most mass, summed over the columns."""
        return asking.bringers(
            query.now_ms, query.items, query.session_n, rows, self._pairs.arrays, self._rates, self._knobs, self._trust
        )

    def state(self) -> Arrays:
        """All counts and interpolation weights."""
        found = {f"pairs.{name}": array for name, array in self._pairs.state().items()}
        return found | {
            "trust": self._trust,
            "base_counts": self._base_counts,
            "base_last": self._base_last,
            "base_totals": self._base_totals,
        }

    def load(self, arrays: Arrays) -> None:
        """Take over all counts and interpolation weights."""
        self._last.clear()
        self._pairs.load(
            {name.removeprefix("pairs."): array for name, array in arrays.items() if name.startswith("pairs.")}
        )
        self._trust, self._base_counts = np.array(arrays["trust"]), np.array(arrays["base_counts"])
        self._base_last, self._base_totals = np.array(arrays["base_last"]), np.array(arrays["base_totals"])
