"""Decayed popularity at several time scales, over everybody and within the query's scenario; it needs no history.

Memory: 8 + 8 K bytes an item row, and for K' half-lives within scenarios 16 + 8 K' bytes a slot of their table, which
has 1.7 to 3.3 slots for each pair of scenario and item that occurred; and what is proposed, for up to 64 scenarios.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbrook.models import popularity_kernels as kernels
from everbrook.models.decay import half_life_name, rates_per_s
from everbrook.models.portion import Portion, portion_of, some_rows, starts_of
from everbrook.settings.popularity import PopularitySettings
from everbrook.state.mapped import owned
from everbrook.types import F32, F64, I32, I64, NO_ROW, Arrays, Query, Step

_FIRST_SLOTS = 1024
_MOST_PROPOSED = 64  # scenarios of which is kept what is proposed


class Popularity:
    """Counts per item that fade with each half-life; columns 'popularity/…' and 'scenario/…'."""

    def __init__(self, settings: PopularitySettings | None = None) -> None:
        self.settings = s = settings or PopularitySettings()
        self.names: tuple[str, ...] = tuple(f"popularity/{half_life_name(h)}" for h in s.half_lives_s) + tuple(
            f"scenario/{half_life_name(h)}" for h in s.scenario_half_lives_s
        )
        self._rates = rates_per_s(s.half_lives_s) / 1000.0
        self._scenario_rates = rates_per_s(s.scenario_half_lives_s) / 1000.0
        self._clear()

    def _clear(self) -> None:
        self._said: tuple[I32, tuple[int, int], F32, F32] | None = None  # of which rows and when, and what
        self._proposed: dict[int, tuple[int, I32]] = {}  # by scenario: how many were wanted, and what is proposed
        K, S, C = len(self._rates), len(self._scenario_rates), self.settings.top_items
        self._all: Arrays = {
            "counts": np.zeros((0, K)),
            "last": np.zeros(0, np.int64),
            "totals": np.zeros(K),
            "clock": np.zeros(4, np.int64),
            "top_items": np.full((K, C), -1, np.int32),
            "top_keys": np.full((K, C), -np.inf),
        }
        self._within: Arrays = {
            "keys": np.full(_FIRST_SLOTS, kernels.EMPTY, np.int64),
            "counts": np.zeros((_FIRST_SLOTS, S)),
            "last": np.zeros(_FIRST_SLOTS, np.int64),
            "totals": np.zeros((0, S)),
            "total_last": np.zeros(0, np.int64),
            "clock": np.zeros(4, np.int64),
            "top_items": np.full((0, S, C), -1, np.int32),
            "top_keys": np.full((0, S, C), -np.inf),
        }

    def grow(self, items: int, actors: int) -> None:
        """Make room for item rows below `items`."""
        self._said = None
        self._all["counts"] = _grown(self._all["counts"], items)
        self._all["last"] = _grown(self._all["last"], items)

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Test, then count, event by event."""
        self._said = None
        self._proposed.clear()
        a = self._all
        kernels.observe_all(
            step.ts_ms,
            step.item,
            step.weight,
            a["counts"],
            a["last"],
            a["totals"],
            a["clock"],
            self._rates,
            self.settings.kappa,
            a["top_items"],
            a["top_keys"],
            mass,
            rest,
        )
        if len(self._scenario_rates):
            self._observe_scenarios(step, mass, rest)

    def _observe_scenarios(self, step: Step, mass: F32, rest: F32) -> None:
        w = self._within
        scenarios = kernels.most(step.scenario) + 1
        if not scenarios:
            mass[:, len(self._rates) :], rest[:, len(self._rates) :] = 0.0, np.nan
            return
        if scenarios > len(w["totals"]):
            for name, fill in (("totals", 0.0), ("total_last", 0), ("top_items", -1), ("top_keys", -np.inf)):
                w[name] = _grown(w[name], scenarios, fill)
        done = 0
        while True:
            done = kernels.observe_scenarios(
                done,
                step.ts_ms,
                step.item,
                step.scenario,
                step.weight,
                w["keys"],
                w["counts"],
                w["last"],
                w["totals"],
                w["total_last"],
                w["clock"],
                self._scenario_rates,
                self.settings.kappa,
                w["top_items"],
                w["top_keys"],
                mass,
                rest,
            )
            if done >= len(step):
                return
            self._make_room()

    def _make_room(self) -> None:
        """Double the scenario table, or at its limit drop the weakest quarter of the pairs."""
        w = self._within
        slots = len(w["keys"])
        full = slots * 6 // 10 >= self.settings.scenario_pairs
        held = (w["keys"], w["counts"], w["last"], w["totals"], w["total_last"], self._scenario_rates)
        floor = np.nextafter(kernels.weakest_share(*held, 0.25), np.inf) if full else -1.0
        slots = slots if full else 2 * slots
        keys, counts = np.full(slots, kernels.EMPTY, np.int64), np.zeros((slots, len(self._scenario_rates)))
        last = np.zeros(slots, np.int64)
        w["clock"][kernels.USED] = kernels.move_pairs(*held, floor, keys, counts, last)
        w["keys"], w["counts"], w["last"] = keys, counts, last

    def propose(self, query: Query, limit: int) -> I32:
        """The best of each half-life in turn, the scenario's first; exact but for ties, without a scan of the items."""
        return self._best(query.scenario, limit)[:limit].copy()

    def propose_into(self, queries: Sequence[Query], limit: int, found: I32, kept: I64) -> None:
        """The same for each of B queries; see `types.Expert`."""
        for b, query in enumerate(queries):
            best = self._best(query.scenario, limit)[:limit]
            found[b, : len(best)], kept[b] = best, len(best)

    def _best(self, scenario: int, limit: int) -> I32:
        """At least the first `limit` of what is proposed; the same until something is counted."""
        known = self._proposed.get(scenario)
        if known is not None and known[0] >= limit:
            return known[1]
        if len(self._proposed) >= _MOST_PROPOSED:
            self._proposed.clear()
        tops = self._all["top_items"]
        if 0 <= scenario < len(self._within["totals"]):
            tops = np.concatenate((self._within["top_items"][scenario], tops))
        best = kernels.merge_lists(tops, limit)
        best = best.copy() if len(best) < limit else best  # in as much memory as it needs
        self._proposed[scenario] = limit, best
        return best

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Shares of the given items; who asks for those of the last portion once more gets a copy."""
        said = self._said
        if said is not None and said[0] is rows and said[1] == (query.now_ms, query.scenario):
            mass[:], rest[:] = said[2], said[3]
            return
        self._score(Portion((query,)), rows, np.array((0, len(rows)), np.int64), mass, rest[None])

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; nobody may write to what it was given and gave until it is asked again.

        Args:
            queries: (B,)
            rows: (S,) items, those of one query after those of the other.
            starts: (B + 1,) where each query's begin.
            mass: (S, K), out.
            rest: (B, K), out.
        """
        portion = portion_of(queries)
        self._score(portion, rows, starts_of(portion, starts), mass, rest)
        moment = portion[0].now_ms, portion[0].scenario
        alike = all((query.now_ms, query.scenario) == moment for query in portion)
        self._said = (rows, moment, mass, rest[0]) if alike else None

    def _score(self, portion: Portion, rows: I32, starts: I64, mass: F32, rest: F32) -> None:
        a, w = self._all, self._within
        known, out = some_rows(rows, mass)
        kernels.score_all(
            portion.numbers, portion.scenarios, known, starts,
            a["counts"], a["last"], a["totals"], a["clock"], self._rates,
            w["keys"], w["counts"], w["last"], w["totals"], w["total_last"], self._scenario_rates,
            self.settings.kappa, out, rest,
        )  # fmt: skip

    def forget_actor(self, actor: int) -> int:
        """Nothing is kept of actors but what was said last, which goes; none of it are rows."""
        self._said = None
        return 0

    def pooling(self, now_ms: int, scenario: int, weights: F64) -> Callable[[F32], float]:
        """What pools the columns over all rows; it may be called in another thread while this one goes on to count.

        Args:
            now_ms: the moment.
            scenario: row of the scenario; NO_ROW for none: then its columns are asleep.
            weights: (K,) of the columns; those asleep do not count.

        Returns:
            Called with an array that there is room for: writes what the pool gives its M first rows into it, (M,), and
            gives what it leaves to the base. Counts may be some events newer than the call.
        """
        K, a, w, kappa = len(self._rates), self._all, self._within, self.settings.kappa
        shares = weights.copy()
        if scenario < 0:
            shares[K:] = 0.0
        shares /= shares.sum()
        over = a["counts"], a["last"], a["totals"], a["clock"], self._rates, kappa, shares[:K]
        asleep = scenario < 0 or not len(self._scenario_rates)
        unknown = not asleep and scenario >= len(w["totals"])
        within = (
            w["keys"], w["counts"], w["last"], w["totals"], w["total_last"], self._scenario_rates, kappa, shares[K:]
        )  # fmt: skip

        def pool(out: F32) -> float:
            left = float(kernels.pool_all(now_ms, *over, out))
            if asleep:
                return left
            if unknown:
                return left + float(shares[K:].sum())
            return left + float(kernels.pool_scenario(now_ms, scenario, *within, out))

        return pool

    def because(self, query: Query, rows: I32) -> I32:
        """Popularity owes nothing to the history."""
        return np.full(len(rows), NO_ROW, np.int32)

    def state(self) -> Arrays:
        """All counts."""
        found = {f"all.{k}": v for k, v in self._all.items()}
        return found | {f"within.{k}": v for k, v in self._within.items()}

    def load(self, arrays: Arrays) -> None:
        """Take over all counts."""
        self._clear()
        for name, array in arrays.items():
            part, _, key = name.partition(".")
            (self._all if part == "all" else self._within)[key] = owned(array)


def _grown(array: NDArray[Any], rows: int, fill: float = 0) -> NDArray[Any]:
    """The array with room for at least so many rows (by doubling)."""
    if rows <= len(array):
        return array
    bigger = np.full((max(rows, 2 * len(array)), *array.shape[1:]), fill, array.dtype)
    bigger[: len(array)] = array
    return bigger
