"""Collaborative filtering over whole histories: items that share users, and users that share items.

Not session neighbours (see `neighbours`): here a neighbour is a user with all that is remembered of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.models.collaborative_items import ItemSimilarities
from everbrook.models.collaborative_kernels import best_of_both, blend, own_apart
from everbrook.models.lately import Lately
from everbrook.models.neighbours_store import Answer, NeighbourStore, Shape
from everbrook.settings.collaborative import CollaborativeSettings
from everbrook.types import F32, I32, NO_ROW, Arrays, Query, Step

ITEMS, USERS = 0, 1


@dataclass(frozen=True, slots=True)
class Found:
    """Both columns' items for one query."""

    items: Answer  # with one column of mass
    users: Answer  # the same


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
            )
        )  # fmt: skip
        self._lately: Lately[Found] = Lately()

    def forget_actor(self, actor: int) -> int:
        """Drop what is kept for an actor; how many rows that were."""
        return self._users.forget_actor(actor)

    def grow(self, items: int, actors: int) -> None:
        """Make room for rows below these."""
        self._items.grow(items)
        self._users.grow(items, actors)
        self._lately.clear()

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Learn; both columns stay asleep."""
        mass[:] = 0.0
        rest[:] = np.nan
        self._items.learn(step)
        self._users.learn(step)
        self._lately.clear()

    def propose(self, query: Query, limit: int) -> I32:
        """Items by the greater of both probabilities."""
        found = self._find(query)
        items, users = found.items, found.users
        return best_of_both(items.items, items.mass[:, 0], users.items, users.mass[:, 0], limit)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Both probabilities of the given items."""
        found = self._find(query)
        for column, answer in ((ITEMS, found.items), (USERS, found.users)):
            self._users.look_up(answer, rows, mass[:, column : column + 1])
            rest[column] = answer.rest[0]

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
        self._lately.clear()

    def _recent(self, query: Query) -> I32:
        return self._users.recent(query, len(query.items))

    def _ask_users(self, query: Query) -> Answer:
        answer = self._users.answer(self._recent(query), query.items, query.actor)
        left = answer.rest[1:]
        if np.isnan(left[0]):
            return Answer(answer.items, answer.mass[:, :1], left)
        mass = blend(own_apart(answer.mass), self._items.returns, float(left[0]))
        return Answer(answer.items, mass[:, None], left)

    def _find(self, query: Query) -> Found:
        """One search serves every call for the same query until something is learned."""
        key = (query.items.tobytes(), query.actor)
        found = self._lately.get(key)
        return found or self._lately.put(key, Found(self._items.ask(query), self._ask_users(query)))
