"""What a family answered lately: lists that are made together ask at once, and then in turns.

What asks and what it knows is with the families; here is only whether it must be asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from everbrook.models.answers_kernels import look_up_all
from everbrook.models.lately import Lately
from everbrook.types import F32, I32, I64, Query


@dataclass(frozen=True, slots=True)
class Together:
    """Answers to B queries, one after the other."""

    items: I32  # (C,)
    mass: F32  # (C, K)
    ends: I64  # (B + 1,) where each answer starts, and the end
    rest: F32  # (B, K) what is left to the base; NaN where asleep
    best: I32  # (B, T) the rows worth scoring, best first
    kept: list[int]  # (B,) how many those are


class Answers:
    """Asks once for every query until something is learned, for all that are foreseen at once."""

    def __init__(self, ask: Callable[[Sequence[Query], int], Together]) -> None:
        """Begin with nothing.

        Args:
            ask: answers queries, with so many rows worth scoring for each.
        """
        self._ask = ask
        self._lately: Lately[tuple[Query, Together, int]] = Lately()
        self._limit = 1
        # Working memory: which number an item has, and from where numbers are free.
        self.place: I32 = np.zeros(0, np.int32)
        self.epoch: I64 = np.ones(1, np.int64)

    def grow(self, items: int) -> None:
        """Make room for item rows below `items`, and forget the answers."""
        self.clear()
        if items > len(self.place):
            self.place = np.zeros(items, np.int32)
            self.epoch[:] = 1

    def clear(self) -> None:
        """Something was learned: no answer holds any more."""
        self._lately.clear()

    def foresee(self, queries: Sequence[Query], limit: int) -> None:
        """Answer queries that will be asked about together."""
        self._limit = max(self._limit, limit)
        together = self._ask(queries, self._limit)
        for b, query in enumerate(queries):
            self._lately.put(id(query), (query, together, b))

    def of(self, query: Query, limit: int = 0) -> tuple[Together, int]:
        """The answers that hold the query's, and its place among them."""
        known = self._lately.get(id(query))
        if known is None or known[0] is not query or known[1].best.shape[1] < limit:
            self.foresee([query], limit)
            known = self._lately.get(id(query))
            assert known is not None
        return known[1], known[2]

    def best(self, query: Query, limit: int) -> I32:
        """At most `limit` rows worth scoring, best first."""
        together, b = self.of(query, limit)
        return together.best[b, : min(limit, together.kept[b])]

    def score(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """Spread the answers over the rows that each is asked for; see `Popularity.score_all`."""
        known = [self.of(query) for query in queries]
        first = 0
        while first < len(known):  # those whose answers lie in the same together at once
            together, stop = known[first][0], first + 1
            while stop < len(known) and known[stop][0] is together:
                stop += 1
            answers = np.array([b for _, b in known[first:stop]], np.int64)
            look_up_all(
                together.items, together.mass, together.ends, answers, np.ascontiguousarray(rows, np.int32),
                np.array(starts[first : stop + 1], np.int64), mass,
            )  # fmt: skip
            rest[first:stop] = together.rest[answers]
            first = stop


def histories(parts: Sequence[I32]) -> tuple[I32, I64]:
    """Several histories one after the other, and (B + 1,) where each starts, and the end."""
    starts = np.array([0, *accumulate(map(len, parts))], np.int64)
    return np.ascontiguousarray(np.concatenate(parts), np.int32), starts
