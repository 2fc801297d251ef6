"""States that lists found for actors, kept for the moments in which nothing happens to them.

Memory: for 10,000 actors a state and its key, at width 64 some 600 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everbrook.models.live_numbers import Numbers
from everbrook.models.live_one import History, gap_code, states_after
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I32, NO_ROW, Query

_MOST = 10_000  # actors whose states are kept


@dataclass(frozen=True, slots=True)
class _Kept:
    """An actor's state, computed under the weights of a moment."""

    key: tuple[int, int, int, int, bool]  # of the history and of who answers
    at_ms: int
    state: F32  # (D,)


class LiveStates:
    """The states after histories: as they were computed before, where nothing has happened and they are young enough.

    Args:
        settings: of the live model.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._kept: dict[int, _Kept] = {}

    def forget_actor(self, actor: int) -> int:
        """Drop what was computed for an actor; how many states there were."""
        return int(self._kept.pop(actor, None) is not None)

    def of(self, queries: Sequence[Query], network: Numbers, table: F32, kept: tuple[I32, F32], anchor: bool) -> F32:
        """(Q, D) the states of who asks.

        Args:
            queries: Q of them, each with a history.
            network: whose states.
            table: (N, D) item rows.
            kept: (N,) where a row has another value and (R, D) those values; see `live_kernels.lifts`.
            anchor: whether it is the anchor's.
        """
        s = self._settings
        out = np.empty((len(queries), s.width), np.float32)
        lacking, keys, histories, read = [], [], [], slice(-s.history, None)
        for at, query in enumerate(queries):
            last_ms = int(query.times[-1])
            ahead = gap_code(query.now_ms - last_ms, s.time_buckets)
            key = (len(query.items), last_ms, int(query.items[-1]), ahead, anchor)
            known = self._kept.get(query.actor)
            if known is not None and known.key == key and 0 <= query.now_ms - known.at_ms <= 1000 * s.state_s:
                out[at] = known.state
                continue
            lacking.append(at)
            keys.append(key)
            histories.append(History(query.items[read], query.times[read], query.kinds[read], ahead))
        if lacking:
            found = out[lacking] = states_after(network, table, kept, histories, s)
            for at, key, state in zip(lacking, keys, found, strict=True):
                self._keep(queries[at], key, state)
        return out

    def _keep(self, query: Query, key: tuple[int, int, int, int, bool], state: F32) -> None:
        if query.actor == NO_ROW or not self._settings.state_s:
            return
        if len(self._kept) >= _MOST and query.actor not in self._kept:
            del self._kept[next(iter(self._kept))]
        self._kept[query.actor] = _Kept(key, query.now_ms, state.copy())
