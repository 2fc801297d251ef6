"""What else people look at beside lists made for them: items like one, what happens most, and why an item stands where
it stands."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from everbrook.engine.experimenting import Experimenting
from everbrook.engine.explaining import explained
from everbrook.engine.keeping import Snapshot
from everbrook.engine.living import LiveStamp
from everbrook.engine.steering import Steering
from everbrook.engine.wishes import wish_of
from everbrook.errors import InputError, NotFoundError
from everbrook.rank.lists import most_weighed
from everbrook.rank.reasons import column_weights
from everbrook.rank.requests import Explained, ModelStamp, Near, Similar, Trend, Trending
from everbrook.rank.spaces import spaces_of
from everbrook.state.windows import LONGEST_S
from everbrook.types import F64, I32, Bool, Query

WINDOW = re.compile(r"(\d{1,6})([smhdw])")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LEAST_EVENTS = 0.01  # fewer are a window's edge
_FILLED = 5  # proposals for each place, of which a filter that leaves fewer has more looked at


class Looking(Steering, Experimenting):
    """The part of a recommender that shows what it knows of items."""

    @cached_property
    def draws(self) -> np.random.Generator:
        """Where the chance of lists that explore comes from; used under the lock."""
        return np.random.default_rng(self.settings.rank.explore_seed)

    def similar(self, item: str, k: int = 20, *, filter: str | None = None) -> Similar:
        """The items that are most like one, whoever asks: by what people do, what the items are, and what was learned.

        Args:
            item: its id.
            k: how many at most; items without any likeness are left out.
            filter: which items may be shown.

        Raises:
            NotFoundError: nobody has named the item.
            InputError: k is out of range, or the filter is wrong.
        """
        self._check_k(k)
        now_ms = self.clock.now_ms()
        with self._lock:
            core = self._core
            row = self._known_row(item)
            query = core.state.query(now_ms=now_ms, item=item)
            allowed = core.state.visible(now_ms)
            if filter is not None:
                allowed = allowed & core.filters.mask(filter, now_ms)
            rows = self._compared(query, k, allowed, filter is not None)
            rows = rows[rows != row]
            shares = self._shares(rows, row, query)
            scores = np.mean(list(shares.values()), axis=0) if shares else np.zeros(len(rows))
            best = np.lexsort((rows, -scores))[:k]
            return Similar(
                item=item,
                items=tuple(
                    Near(
                        id=core.state.items.id(int(rows[at])), score=float(scores[at]),
                        shares={name: round(float(part[at]), 4) for name, part in shares.items()},
                        title=core.state.catalogue.title(int(rows[at])),
                    )
                    for at in best.tolist() if scores[at] > 0.0
                ),
            )  # fmt: skip

    def _compared(self, query: Query, k: int, allowed: Bool, narrow: bool) -> I32:
        """The rows whose likeness is looked at: all that may be shown where they are few, else what is proposed.

        Where a filter leaves few of the proposals, all that the families of counts can propose are looked through, and
        the popular items.
        """
        scan, mixture = self.settings.rank.scan, self._core.mixture
        if (np.count_nonzero(allowed) if narrow else len(allowed)) <= most_weighed(mixture, scan, narrow):
            return np.flatnonzero(allowed).astype(np.int32)
        limit = max(k, mixture.settings.candidates)
        rows = _distinct([family.propose(query, limit) for family in mixture.experts[1:]], allowed, limit)
        if narrow and len(rows) <= _FILLED * k:
            wide = [one for one in mixture.experts if not hasattr(one, "foresee")]  # those keep as many as ever asked
            most = max(scan, limit)
            more = [family.propose(query, mixture.n_items) for family in wide]
            rows = _distinct([rows, *more], allowed, most)
        return rows

    def _shares(self, rows: I32, row: int, query: Query) -> dict[str, F64]:
        """(M,) likeness in 0..1 by where it is seen.

        Behaviour: the share of an item's probability after the other that its popularity does not explain.
        """
        core = self._core
        nothing = np.empty(0, np.int32)
        found: dict[str, F64] = {}
        weighed = core.mixture.weigh(query, rows, nothing, nothing)
        popular = core.mixture.popular
        if weighed.awake[popular:].any() and len(rows):
            base = weighed.p[:, :popular] @ (core.mixture.base_weights * weighed.awake[:popular])
            after = weighed.p @ column_weights(core.mixture, weighed)
            found["behaviour"] = np.clip(1.0 - base / np.maximum(after, 1e-300), 0.0, 1.0).astype(np.float64)
        everyone = np.append(rows, np.int32(row)).astype(np.int32)
        for name, vectors in spaces_of(core.mixture, core.state, everyone).items():
            if vectors[-1].any():
                found[name] = np.clip(vectors[:-1] @ vectors[-1], 0.0, 1.0).astype(np.float64)
        return found

    def trending(self, k: int = 20, *, scenario: str | None = None, window: str = "1d") -> Trending:
        """The items with which most happened lately; only events that say something good count.

        Args:
            k: how many at most.
            scenario: where; everywhere where None.
            window: how far back, such as '1h' or '7d'; at most 64 days. Where it begins it is right to a share of
                10 seconds (up to 15 minutes), 5 minutes (3 hours), an hour (3 days) or a day.

        Raises:
            InputError: k is out of range, or the window cannot be read or is longer than counts are kept.
            UnknownNameError: nobody has named the scenario.
        """
        self._check_k(k)
        window_s = _seconds(window)
        now_ms = self.clock.now_ms()
        with self._lock:
            state = self._core.state
            counted, n_items = state.counters.windows, state.n_items
            assert counted is not None  # the state of a core has them
            totals = counted.totals(n_items, now_ms, window_s, state.scenario_row(scenario))
            totals[~state.visible(now_ms)] = 0.0
            top = min(k, n_items)
            best = np.argpartition(-totals, top - 1)[:top] if 0 < top < n_items else np.arange(n_items)
            best = best[np.lexsort((best, -totals[best]))]
            return Trending(
                window=window, window_s=window_s, since_ms=now_ms - 1000 * window_s, scenario=scenario,
                items=tuple(
                    Trend(id=state.items.id(row), score=round(float(totals[row]), 6), title=state.catalogue.title(row))
                    for row in best.tolist() if totals[row] >= _LEAST_EVENTS
                ),
            )  # fmt: skip

    def explain(self, item: str, user: str | None = None, **fields: Any) -> Explained:
        """Why an item would stand where it stands in a list, or what holds it back; experiments hold as for the list.

        Args:
            item: its id.
            user: whose list.
            fields: what else the list is asked for with, as `recommend` takes it.

        Raises:
            NotFoundError: nobody has named the item.
            InputError: a field is wrong.
        """
        varied, variants = self.varied(wish_of({**fields, "user": user}))
        wish = msgspec.structs.replace(varied, explore=0.0)
        now_ms = self.clock.now_ms()
        with self._lock:
            row = self._known_row(item)
            stamp = self._stamp(now_ms)
            told = explained(self._core, self.settings.rank, wish, (item, row), now_ms, stamp)
        return msgspec.structs.replace(told, variants=variants) if variants else told

    # -- inside --------------------------------------------------------------------------------------------------

    def _known_row(self, item: str) -> int:
        row = self._core.state.items.row(item)
        if row < 0:
            raise NotFoundError(f"Item '{item}' must have been sent before; it was not.")
        return row

    def _check_k(self, k: int) -> None:
        most = self.settings.rank.most
        if not 1 <= k <= most:
            raise InputError(f"'k' must be between 1 and {most}; got {k}.")

    def _stamp(self, now_ms: int) -> ModelStamp:
        return stamp_of(self._published, self.live.stamp, self._core.offset, now_ms)


def _distinct(proposed: list[I32], allowed: Bool, most: int) -> I32:
    """The allowed rows that anybody proposes, in order; of each who does the first so many."""
    passing = [own[allowed[own]][:most] for own in proposed]
    return np.unique(np.concatenate([*passing, np.empty(0, np.int32)])).astype(np.int32)


def _seconds(window: str) -> int:
    """How long a window is."""
    read = WINDOW.fullmatch(window)
    window_s = int(read[1]) * UNITS_S[read[2]] if read else 0
    if not window_s:
        raise InputError(f"'window' must be a number > 0 and one of s, m, h, d, w, such as '1h'; got '{window}'.")
    if window_s > LONGEST_S:
        most = LONGEST_S // UNITS_S["d"]
        raise InputError(f"'window' must be at most {most}d, for which counts are kept; got '{window}'.")
    return window_s


def stamp_of(published: Snapshot, live: LiveStamp | None, offset: int, now_ms: int) -> ModelStamp:
    """Which weights answered: the live ones where there are any, up to where they have learned."""
    if live is None or not live.offset:
        return ModelStamp(version=published.version, offset=offset, age_ms=max(0, now_ms - published.published_ms))
    return ModelStamp(version=live.version, offset=live.offset, age_ms=max(0, now_ms - live.published_ms))
