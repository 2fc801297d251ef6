"""Session neighbours: what recent sessions that share items with this one went on to take (VMIS-kNN, incremental).

Not user-based filtering (see `collaborative`): a neighbour here is one session, and only the current session asks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everbrook.models.answers import Answers
from everbrook.models.neighbours_query import ask_all
from everbrook.models.neighbours_store import NeighbourStore, Shape
from everbrook.models.portion import Portion
from everbrook.settings.neighbours import NeighboursSettings
from everbrook.types import F32, I32, I64, Arrays, Query, Step


class SessionNeighbours:
    """Two columns from one search: the neighbours' other items, and all of their items.

    A search costs tens of microseconds, too much for every event of a long log, so `observe` only learns and reports
    both columns as asleep.
    """

    names = ("neighbours/new", "neighbours/all")

    def __init__(self, settings: NeighboursSettings | None = None) -> None:
        self.settings = settings or NeighboursSettings()
        s = self.settings
        floats = (
            s.match_decay,
            s.distance_decay,
            s.before_factor,
            s.rarity_power,
            0.0,
            s.sharpness,
            s.kappa,
            s.least_rest,
        )
        self._store = NeighbourStore(
            Shape(
                groups=s.sessions, group_items=s.session_items, sample=s.sample, nearest=s.nearest,
                query_items=s.query_items, closing=True, floats=np.array(floats),
            )
        )  # fmt: skip
        self._answers = Answers(self._ask)

    def forget_actor(self, actor: int) -> int:
        """Drop what is kept for an actor; how many rows that were."""
        self._answers.forget()
        return self._store.forget_actor(actor)

    def grow(self, items: int, actors: int) -> None:
        """Make room for rows below these."""
        self._store.grow(items, actors)
        self._answers.clear()

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Learn; both columns stay asleep."""
        mass[:] = 0.0
        rest[:] = np.nan
        self._store.learn(step)
        self._answers.clear()

    def foresee(self, queries: Sequence[Query], limit: int) -> None:
        """Answer queries that will be asked about together."""
        self._answers.foresee(queries, limit)

    def propose(self, query: Query, limit: int) -> I32:
        """The neighbours' items by their votes, the session's own last; equal votes in row order."""
        return self._answers.foresee([query], limit)

    def propose_into(self, queries: Portion, limit: int, found: I32, kept: I64) -> None:
        """The same for several queries: the (B, limit) rows of each, and (B,) how many, out."""
        self._answers.propose_into(queries, found, kept)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """The neighbours' votes for given items."""
        self.score_all([query], np.ascontiguousarray(rows, np.int32), (0, len(rows)), mass, rest[None])

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        self._answers.score(queries, rows, starts, mass, rest)

    def because(self, query: Query, rows: I32) -> I32:
        """The item of the session that led to most of the neighbours who have the row."""
        return self._store.because(self._store.recent(query, query.session_n), query.actor, rows)

    def state(self) -> Arrays:
        """Sessions and rings."""
        return self._store.state()

    def load(self, arrays: Arrays) -> None:
        """Take over sessions and rings."""
        self._store.load(arrays)
        self._answers.clear()

    def _ask(self, queries: Portion, start: int, found: I32, kept: I64) -> int:
        answers = self._answers
        if answers.ready is None:
            answers.ready = self._store.asked(answers)
        return ask_all(*answers.ready, queries.items, queries.numbers, queries.actors, start, found, kept)  # type: ignore
