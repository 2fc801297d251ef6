"""Collaborative filtering over whole histories: items that share users, and users that share items.

Not session neighbours (see `neighbours`): here a neighbour is a user with all that is remembered of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everbrook.models.answers import Answers
from everbrook.models.collaborative_items import ItemSimilarities
from everbrook.models.collaborative_query import ask_all
from everbrook.models.neighbours_store import NeighbourStore, Shape
from everbrook.models.portion import Portion
from everbrook.settings.collaborative import CollaborativeSettings
from everbrook.types import F32, I32, I64, NO_ROW, Arrays, Query, Step

ITEMS, USERS = 0, 1


class Collaborative:
    """Two columns, item-based and user-based; items that the asker already has get the share that returns have had.

    A search costs tens to hundreds of microseconds, too much for every event of a long log, so `observe` only learns
    and reports both columns as asleep.
    """

    names = ("collaborative/items", "collaborative/users")

    def __init__(self, settings: CollaborativeSettings | None = None) -> None:
        self.settings = settings or CollaborativeSettings()
        s = self.settings
        floats = (
            0.0,
            s.distance_decay,
            s.before_factor,
            s.rarity_power,
            s.size_power,
            s.user_sharpness,
            s.kappa,
            s.least_rest,
        )
        self._items = ItemSimilarities(s)
        self._users = NeighbourStore(
            Shape(
                groups=s.users, group_items=s.user_items, sample=s.sample, nearest=s.nearest,
                query_items=s.user_query_items, closing=False, floats=np.array(floats),
            ),
            self._items.most_found,
        )  # fmt: skip
        self._answers = Answers(self._ask)

    def forget_actor(self, actor: int) -> int:
        """Drop what is kept for an actor; how many rows that were."""
        self._answers.forget()
        return self._users.forget_actor(actor)

    def grow(self, items: int, actors: int) -> None:
        """Make room for rows below these."""
        self._items.grow(items)
        self._users.grow(items, actors)
        self._users.number(self._items.items)
        self._answers.clear()

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Learn; both columns stay asleep."""
        mass[:] = 0.0
        rest[:] = np.nan
        self._items.learn(step)
        self._users.learn(step)
        self._answers.clear()

    def foresee(self, queries: Sequence[Query], limit: int) -> None:
        """Answer queries that will be asked about together."""
        self._answers.foresee(queries, limit)

    def propose(self, query: Query, limit: int) -> I32:
        """Items by the greater of both probabilities; equal ones in row order."""
        return self._answers.foresee([query], limit)

    def propose_into(self, queries: Portion, limit: int, found: I32, kept: I64) -> None:
        """The same for several queries: the (B, limit) rows of each, and (B,) how many, out."""
        self._answers.propose_into(queries, found, kept)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Both probabilities of the given items."""
        self.score_all([query], np.ascontiguousarray(rows, np.int32), (0, len(rows)), mass, rest[None])

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        self._answers.score(queries, rows, starts, mass, rest)

    def because(self, query: Query, rows: I32) -> I32:
        """The most similar item of the history; where there is none, the one that led to most of the similar users."""
        out = self._items.because(query, rows)
        lacking = out == NO_ROW
        if lacking.any():
            out[lacking] = self._users.because(self._recent(query), query.actor, rows[lacking])
        return out

    def state(self) -> Arrays:
        """Counts and users."""
        parts = {"items": self._items.state(), "users": self._users.state()}
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def load(self, arrays: Arrays) -> None:
        """Take over counts and users."""
        for part, target in (("items.", self._items), ("users.", self._users)):
            mine = {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
            target.load(mine)
        self._users.number(self._items.items)
        self._answers.clear()

    def _recent(self, query: Query) -> I32:
        return self._users.recent(query, len(query.items))

    def _ask(self, queries: Portion, start: int, found: I32, kept: I64) -> int:
        answers = self._answers
        if answers.ready is None:
            answers.ready = (*self._users.asked(answers), *self._items.asked())
        return ask_all(*answers.ready, queries.items, queries.numbers, queries.actors, start, found, kept)  # type: ignore
