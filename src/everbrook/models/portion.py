"""Queries that are asked about together, and their histories one after the other as the compiled loops want them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from operator import is_
from typing import Any, Generic, TypeVar

import numpy as np

from everbrook.types import F32, I16, I32, I64, Query

AnswerT = TypeVar("AnswerT")
_A_ROW: I32 = np.zeros(1, np.int32)


class Portion(list[Query]):
    """B queries; what is computed of them is computed once, for every family that asks for it."""

    starts: I64
    """(B + 1,) where the rows of each query begin, for who is asked to score them all."""

    @cached_property
    def items(self) -> I32:
        """(H,) the histories, one after the other, each oldest first."""
        return self._joined([query.items for query in self], np.int32)

    @cached_property
    def times(self) -> I64:
        """(H,) when."""
        return self._joined([query.times for query in self], np.int64)

    @cached_property
    def kinds(self) -> I16:
        """(H,) kinds of the events."""
        return self._joined([query.kinds for query in self], np.int16)

    @staticmethod
    def _joined(parts: list[Any], kind: type[np.generic]) -> Any:
        return np.ascontiguousarray(parts[0], kind) if len(parts) == 1 else np.concatenate(parts, dtype=kind)

    @cached_property
    def numbers(self) -> I64:
        """(B + 1, 5) where each history begins, how many of its last belong to the session, the moment, the scenario
        and who asks; and the end of the last."""
        found: list[int] = []
        start = 0
        for query in self:
            found += (start, query.session_n, query.now_ms, query.scenario, query.actor)
            start += len(query.items)
        found += (start, 0, 0, 0, 0)
        return np.array(found, np.int64).reshape(-1, 5)

    @cached_property
    def actors(self) -> I64:
        """(B,) who asks."""
        return self.numbers[:-1, ACTOR].copy()

    @cached_property
    def scenarios(self) -> I64:
        """(B,) rows of the scenarios."""
        return self.numbers[:-1, SCENARIO].copy()


BEGIN, SESSION_N, NOW_MS, SCENARIO, ACTOR = range(5)
"""Columns of `Portion.numbers`."""


def portion_of(queries: Sequence[Query]) -> Portion:
    """The same queries as a portion."""
    return queries if isinstance(queries, Portion) else Portion(queries)


def starts_of(queries: Sequence[Query], starts: Sequence[int]) -> I64:
    """(B + 1,) where the rows of each query begin, as an array; a portion may have it as its `starts`."""
    known: I64 | None = getattr(queries, "starts", None)
    return np.array(starts, np.int64) if known is None else known


def some_rows(rows: I32, mass: F32) -> tuple[I32, F32]:
    """The same; where there are none, a row that nobody looks at, for kernels are not compiled for empty arrays."""
    return (rows, mass) if len(rows) else (_A_ROW, np.empty((mass.shape[1], 2), np.float32)[:, :1].T)


def same_queries(queries: Sequence[Query], others: Sequence[Query]) -> bool:
    """Whether they are the very same, in the same order."""
    return len(queries) == len(others) and all(map(is_, queries, others))


class LastPortion(Generic[AnswerT]):
    """What was answered to the portion that was asked about last, for who asks about some of its queries again."""

    def __init__(self) -> None:
        self._last: tuple[Portion, I64, AnswerT] | None = None

    def clear(self) -> None:
        """Something was learned, or is forgotten: the answer goes."""
        self._last = None

    def answer(self, queries: Sequence[Query]) -> tuple[I64, AnswerT] | None:
        """(B,) where each query stands in the portion, and its answer; None where one of them is not in it."""
        if self._last is None:
            return None
        portion, every, answer = self._last
        if same_queries(queries, portion):
            return every, answer
        places = {id(query): b for b, query in enumerate(portion)}  # the portion keeps its queries' ids theirs
        try:
            return np.array([places[id(query)] for query in queries], np.int64), answer
        except KeyError:
            return None

    def answer_or(self, queries: Sequence[Query], find: Callable[[Portion, I32, I64], AnswerT]) -> tuple[I64, AnswerT]:
        """The same, found where it is not known; `find` is asked for no proposals: (B, 0) rows, (B,) how many."""
        kept = self.answer(queries)
        if kept is None:
            portion = portion_of(queries)
            none, counts = np.empty((len(portion), 0), np.int32), np.empty(len(portion), np.int64)
            kept = self.put(portion, find(portion, none, counts))
        return kept

    def put(self, portion: Portion, answer: AnswerT) -> tuple[I64, AnswerT]:
        """Keep the answer to a portion in place of the one before."""
        every = np.arange(len(portion))
        self._last = portion, every, answer
        return every, answer
