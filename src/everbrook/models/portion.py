"""Queries that are asked about together, and their histories one after the other as the compiled loops want them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from everbrook.types import F32, I16, I32, I64, Expert, Query

AnswerT = TypeVar("AnswerT")


class Portion(list[Query]):
    """B queries; what is computed of them is computed once, for every family that asks for it."""

    starts: I64
    """(B + 1,) where the rows of each query begin, for who is asked to score them all."""

    @cached_property
    def items(self) -> I32:
        """(H,) the histories, one after the other, each oldest first."""
        return np.concatenate([query.items for query in self], dtype=np.int32)

    @cached_property
    def times(self) -> I64:
        """(H,) when."""
        return np.concatenate([query.times for query in self], dtype=np.int64)

    @cached_property
    def kinds(self) -> I16:
        """(H,) kinds of the events."""
        return np.concatenate([query.kinds for query in self], dtype=np.int16)

    @cached_property
    def actors(self) -> I64:
        """(B,) actor rows."""
        return np.array([query.actor for query in self], np.int64)

    @cached_property
    def numbers(self) -> I64:
        """(B + 1, 4) where each history begins, how many of its last are of the session, moment, scenario; an end."""
        found: list[int] = []
        start = 0
        for query in self:
            found += (start, query.session_n, query.now_ms, query.scenario)
            start += len(query.items)
        found += (start, 0, 0, 0)
        return np.array(found, np.int64).reshape(-1, 4)

    @cached_property
    def actors(self) -> I64:
        """(B,) who asks."""
        return np.array([query.actor for query in self], np.int64)


BEGIN, SESSION_N, NOW_MS, SCENARIO = 0, 1, 2, 3
"""Columns of `Portion.numbers`."""


def portion_of(queries: Sequence[Query]) -> Portion:
    """The same queries as a portion."""
    return queries if isinstance(queries, Portion) else Portion(queries)


class LastPortion(Generic[AnswerT]):
    """What was answered to the portion that was asked about last, for who asks about some of its queries again."""

    def __init__(self) -> None:
        self._last: tuple[dict[int, int], Portion, AnswerT] | None = None  # the portion keeps its queries' ids theirs

    def clear(self) -> None:
        """Something was learned, or is forgotten: the answer goes."""
        self._last = None

    def answer(self, queries: Sequence[Query]) -> tuple[I64, AnswerT] | None:
        """(B,) where each query stands in the portion, and its answer; None where one of them is not in it."""
        if self._last is None:
            return None
        places, _, answer = self._last
        try:
            return np.array([places[id(query)] for query in queries], np.int64), answer
        except KeyError:
            return None

    def put(self, portion: Portion, answer: AnswerT) -> tuple[I64, AnswerT]:
        """Keep the answer to a portion in place of the one before."""
        self._last = {id(query): b for b, query in enumerate(portion)}, portion, answer
        return np.arange(len(portion)), answer


def propose_alike(family: Expert, queries: Sequence[Query], limit: int) -> list[I32]:
    """What a family proposes to several queries that looks at nothing but the moment and the scenario.

    Args:
        family: who proposes.
        queries: (B,)
        limit: the most rows of one.
    """
    found: dict[tuple[int, int], I32] = {}
    for query in queries:
        if (query.now_ms, query.scenario) not in found:
            found[query.now_ms, query.scenario] = family.propose(query, limit)
    return [found[query.now_ms, query.scenario] for query in queries]


def score_alike(
    family: Expert, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32
) -> None:
    """What such a family gives the items of several queries, at once where all ask for the same moment and scenario.

    Args:
        family: who scores.
        queries: (B,)
        rows: (S,) items, those of one query after those of the other.
        starts: (B + 1,) where each query's begin.
        mass: (S, K), out.
        rest: (B, K), out.
    """
    if len({(query.now_ms, query.scenario) for query in queries}) == 1:
        family.score(queries[0], rows, mass, rest[0])
        rest[1:] = rest[0]
        return
    for b, query in enumerate(queries):
        own = slice(starts[b], starts[b + 1])
        family.score(query, rows[own], mass[own], rest[b])
