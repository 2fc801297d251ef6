"""The prior of the live model: popularity as it is now, pooled over half-lives and scenarios."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from everbrook.models.pooling import soft_bayes_run
from everbrook.models.popularity import Popularity
from everbrook.types import F32, F64, I32, NO_ROW, Bool, Query, Step

_NOBODY = np.zeros(0, np.int32)
_NEVER = np.zeros(0, np.int64)
_NOTHING = np.zeros(0, np.int16)
_BESIDE = 24


class LivePrior:
    """q(i): a pool of the columns of decayed popularity, whose weights learn from every event."""

    def __init__(self, popularity: Popularity, rate: float) -> None:
        """Prepare.

        Args:
            popularity: counts what happens; whoever owns it lets it observe.
            rate: step size of the weights.
        """
        self.popularity, self.rate = popularity, rate
        self.weights: F64 = np.full(len(popularity.names), 1.0 / len(popularity.names))

    def observe(self, step: Step, learn: Bool, items: int) -> F64:
        """Let popularity and the weights learn a run of events.

        Args:
            step: the events; popularity has room for them.
            learn: (B,) events that move the weights.
            items: N, how many items there are.

        Returns:
            (B,) the probability of each event's item before it was learned.
        """
        columns = len(self.weights)
        mass, rest = np.empty((len(step), columns), np.float32), np.empty((len(step), columns), np.float32)
        self.popularity.observe(step, mass, rest)
        out = np.empty(len(step))
        soft_bayes_run(self.weights, mass, rest, 1.0 / max(items, 1), self.rate, learn, out)
        return out

    def of(self, rows: I32, scenario: int, now_ms: int, items: int) -> F32:
        """(M,) the probability of given items now.

        Args:
            rows: (M,) item rows that popularity has room for.
            scenario: row of the scenario; NO_ROW for none.
            now_ms: the moment.
            items: N.
        """
        columns = len(self.weights)
        mass, rest = np.empty((len(rows), columns), np.float32), np.empty(columns, np.float32)
        query = Query(now_ms, NO_ROW, scenario, _NOBODY, _NEVER, _NOTHING, 0)
        self.popularity.score(query, rows, mass, rest)
        awake = ~np.isnan(rest)
        weights = np.where(awake, self.weights, 0.0)
        weights /= weights.sum()
        spread = float((weights[awake] * rest[awake]).sum()) / max(items, 1)
        return (mass[:, awake] @ weights[awake].astype(np.float32) + np.float32(spread)).astype(np.float32)

    def columns_of(self, rows: I32, scenario: int, now_ms: int) -> tuple[F32, F32, F64]:
        """(K, M or more) the probability of given items in each column, (K,) what each leaves, and (K,) the weights.

        Args:
            rows: see `of`.
            scenario: see `of`.
            now_ms: see `of`.
        """
        columns = len(self.weights)
        # room between columns, as in lists: were they one block, popularity's kernels would be compiled for that too
        whole, rest = np.empty((columns, len(rows) + _BESIDE), np.float32), np.empty(columns, np.float32)
        query = Query(now_ms, NO_ROW, scenario, _NOBODY, _NEVER, _NOTHING, 0)
        self.popularity.score(query, rows, whole[:, : len(rows)].T, rest)
        return whole, rest, self.weights

    def of_all(self, scenario: int, now_ms: int, items: int) -> Callable[[], F32]:
        """What gives (N,) the probabilities of all items, by one way through the counts: here, or in another thread.

        Args:
            scenario: see `of`.
            now_ms: see `of`.
            items: N.
        """
        pool = self.popularity.pooling(now_ms, scenario, self.weights)

        def found() -> F32:
            out = np.empty(items, np.float32)
            out += np.float32(pool(out) / max(items, 1))
            return out

        return found
