"""What a family answered lately: the items of lists that are made together are proposed at once, and then scored.

What asks and what it knows is with the families; here is the memory that their loops write into, and whether they must
be asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from everbrook.models.answers_kernels import look_up_all
from everbrook.models.portion import Portion, portion_of
from everbrook.types import F32, I32, I64, Query

COLUMNS = 2
FIRST_ROOM = 4096  # items of all answers of a portion
FIRST_QUERIES = 8

Ask = Callable[[Portion, int, I32, I64], int]
"""Answers the queries from one on, writes the best rows of each and how many, and returns how many are answered now."""


class Answers:
    """Asks once for the queries of a portion until something is learned.

    Answers stay in memory that grows with the largest portion: 12 bytes for each of their items.
    """

    def __init__(self, ask: Ask) -> None:
        """Begin with nothing.

        Args:
            ask: answers a portion; it stops where there is no room for the next answer, and goes on when there is.
        """
        self._ask = ask
        self._portion = Portion()  # keeps its queries' ids theirs
        self._places: dict[int, int] = {}
        self._turn: list[int] = []
        # What the family's loop is called with, until something is learned or grows; the family's to fill.
        self.ready: tuple[Any, ...] | None = None
        self._items, self._mass = _room(FIRST_ROOM)
        self._ends, self._rest, self._every = _of_queries(FIRST_QUERIES)

    def clear(self) -> None:
        """Something was learned: no answer holds any more."""
        self.ready = None
        if self._turn:
            self._portion, self._places, self._turn = Portion(), {}, []

    def forget(self) -> None:
        """Somebody is forgotten: nothing that was answered stays in memory."""
        self.clear()
        self._items, self._mass = _room(FIRST_ROOM)
        self._ends, self._rest, self._every = _of_queries(FIRST_QUERIES)

    def memory(self) -> tuple[I32, F32, I64, F32]:
        """Where answers are written: (C,) items, (C, K) their masses, (B + 1,) where each starts, (B, K) rests."""
        return self._items, self._mass, self._ends, self._rest

    def propose_into(self, queries: Portion, found: I32, kept: I64) -> None:
        """Answer queries, and remember what was answered.

        Args:
            queries: (B,)
            found: (B, T) out: the rows worth scoring, best first.
            kept: (B,) out: how many those are.
        """
        B, self._turn, self._places = len(queries), [], {}
        if len(self._rest) < B:
            self._ends, self._rest, self._every = _of_queries(2 * B)
            self.ready = None
        done = self._ask(queries, 0, found, kept) if B else 0
        while done < B:  # there was no room
            self._items, self._mass, self.ready = _twice(self._items), _twice(self._mass), None
            done = self._ask(queries, done, found, kept)
        self._portion, self._turn = queries, list(range(B))
        self._places = dict(zip(map(id, queries), self._turn, strict=True))

    def foresee(self, queries: Sequence[Query], limit: int) -> I32:
        """Answer queries that will be asked about together; returns the rows of the first one."""
        found, kept = np.empty((len(queries), limit), np.int32), np.empty(len(queries), np.int64)
        if len(queries):
            self.propose_into(portion_of(queries), found, kept)
        return found[0, : kept[0]] if len(queries) else found.reshape(-1)

    def score(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """Spread the answers over the rows that each is asked for; see `Popularity.score_all`."""
        places = self._places
        try:
            asked = [places[id(query)] for query in queries]
        except KeyError:
            self.foresee(queries, 0)
            asked = self._turn
        if asked == self._turn:
            which = self._every[: len(asked)]
            rest[:] = self._rest[: len(asked)]
        else:
            which = np.array(asked, np.int64)
            rest[:] = self._rest[which]
        if len(rows):
            begins = getattr(queries, "starts", None)
            begins = np.array(starts, np.int64) if begins is None else begins
            look_up_all(self._items, self._mass, self._ends, which, rows, begins, mass)


def _room(items: int) -> tuple[I32, F32]:
    return np.zeros(items, np.int32), np.empty((items, COLUMNS), np.float32)


def _of_queries(queries: int) -> tuple[I64, F32, I64]:
    return np.zeros(queries + 1, np.int64), np.empty((queries, COLUMNS), np.float32), np.arange(queries)


def _twice(array: Any) -> Any:
    return np.concatenate((array, np.empty_like(array)))
