"""Candidates of several lists, and weighing them together: every layer of the mixture for all of them at once.

Not here: what the experts give (models), what a layer computes (pools, stacker), and how they learn (mixture).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from everbrook.models.portion import Portion
from everbrook.rank.layers import CHOICE, FINAL, STACKED, stand_in, weigh_lists
from everbrook.types import F32, F64, I32, I64, Bool, Expert, Query

if TYPE_CHECKING:
    from everbrook.rank.mixture import Mixture

_BESIDE = 24  # room between columns: were they one block, every kernel of the families would be compiled for that too


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be weighed."""

    query: Query  # whose next item
    shown: I32  # (M,) rows that compete for the list
    more: I32  # rows asked about beside them
    left_out: I32  # rows that cannot come (seen, excluded): their probability goes to the others


@dataclass(frozen=True, slots=True)
class _Layers:
    """What was computed of all lists together; see `weigh_lists`."""

    columns: int
    layers: F32  # (E + J, S)
    exact: F64  # (3, S)
    awake: Bool  # (B, E)
    buckets: I64  # (B, J)
    within: F64  # (B,)
    x: F32  # (F, S) or (F, 0)


class Weighed:
    """Candidates with every layer's probability for them; a list needs but what is kept, and the rest lies ready.

    Args:
        rows: (M,) candidates; the first `shown` may be shown, the rest were only asked about.
        shown: how many.
        final: (M,) the mixture's probability.
        of_all: what was computed.
        b: which of those lists this one is.
        start: where its candidates begin.
    """

    __slots__ = ("_all", "_b", "_start", "final", "rows", "shown")

    def __init__(self, rows: I32, shown: int, final: F64, of_all: _Layers, b: int, start: int) -> None:
        self.rows = rows
        self.shown = shown
        self.final = final
        self._all, self._b, self._start = of_all, b, start

    @property
    def p(self) -> F32:
        """(M, E) columns."""
        return self._all.layers[: self._all.columns, self._start : self._start + len(self.rows)].T

    @property
    def pooled(self) -> F32:
        """(M, J)"""
        return self._all.layers[self._all.columns :, self._start : self._start + len(self.rows)].T

    @property
    def awake(self) -> Bool:
        """(E,)"""
        return self._all.awake[self._b]

    @property
    def x(self) -> F32:
        """(shown, F) the stacker's features; (0, F) where they were not wanted."""
        return self._all.x[:, self._start : self._start + self.shown].T

    @property
    def choice(self) -> F64:
        """(shown,) the stacker's softmax over the shown."""
        return self._all.exact[CHOICE, self._start : self._start + self.shown]

    @property
    def stacked(self) -> F64:
        """(M,) the stacker's probability."""
        return self._all.exact[STACKED, self._start : self._start + len(self.rows)]

    @property
    def inside(self) -> float:
        """What the pools give the shown together."""
        return float(self._all.within[self._b])

    @property
    def buckets(self) -> I64:
        """(J,)"""
        return self._all.buckets[self._b]

    def stands(self, target: int, place: int) -> tuple[F64, Bool, I32, F64]:
        """How a candidate of a list that was weighed alone stands; what is given back is said at `stand_in`.

        Args:
            target: which of the shown it is; NO_ROW where it is none.
            place: which candidate it is.
        """
        parts = len(self._all.layers) + 1
        q: F64 = np.empty(parts)
        up: Bool = np.empty(parts, np.bool_)
        ranks: I32 = np.empty(1 + parts, np.int32)
        logps: F64 = np.empty(parts)
        stand_in(
            self._all.layers, self._all.exact, self._all.awake[0], self.shown, target, place, q, up, ranks, logps
        )
        return q, up, ranks, logps


def propose_into(family: Expert, queries: Portion, limit: int, found: I32, kept: I64) -> None:
    """At most `limit` rows for each of B queries, best first.

    Args:
        family: who proposes.
        queries: (B,)
        limit: the most rows of one.
        found: (B, limit), out; what lies behind the last that was found means nothing.
        kept: (B,), out: how many were found.
    """
    if (into := getattr(family, "propose_into", None)) is not None:
        into(queries, limit, found, kept)
        return
    if (propose_all := getattr(family, "propose_all", None)) is not None:
        proposed = propose_all(queries, limit)
    else:
        if (foresee := getattr(family, "foresee", None)) is not None:
            foresee(queries, limit)
        proposed = [family.propose(query, limit) for query in queries]
    for b, rows in enumerate(proposed):
        kept[b] = count = min(len(rows), limit)
        found[b, :count] = rows[:count]


def weigh_all(mixture: Mixture, asked: Sequence[Asked], known: Portion | None, features: bool) -> list[Weighed]:
    """Every layer's probability for the candidates of several queries.

    Args:
        mixture: whose experts and layers.
        asked: what is to be weighed. In the arrays below lie together: the shown of the first, what is asked about
            beside them, what is left out, and then those of the next.
        known: the portion that candidates were asked for last, which is taken where its queries are these.
        features: whether the stacker's features are wanted, to learn from them.
    """
    queries = _portion(asked, known)
    parts: list[I32] = []
    counts: list[int] = []
    starts = [0]
    for one in asked:
        parts += (one.shown, one.more, one.left_out)
        shown, more, left = len(one.shown), len(one.more), len(one.left_out)
        counts += (shown, more, left)
        starts.append(starts[-1] + shown + more + left)
    rows: I32 = np.concatenate(parts, dtype=np.int32, casting="same_kind")
    queries.starts = np.array(starts, np.int64)
    B, S, E = len(asked), len(rows), len(mixture.columns)
    mass, rest = _said(mixture, queries, rows, starts)  # (E, at least S), (B, E)
    stacker, pools = mixture.stacker, mixture.pools
    of_all = _Layers(
        E, np.empty((E + len(pools), S), np.float32), np.empty((3, S)), np.empty((B, E), np.bool_),
        np.empty((B, len(pools)), np.int64), np.empty(B), np.empty((stacker.width, S if features else 0), np.float32),
    )  # fmt: skip
    weigh_lists(
        np.array(counts, np.int64).reshape(B, 3), rows, mass, rest, queries.items, queries.numbers,
        mixture.first_seen_ms, mixture.base_weights, 1.0 / max(mixture.n_items, 1), pools, mixture.top, stacker.theta,
        stacker.inside, of_all.awake, of_all.buckets, of_all.layers, of_all.exact, of_all.within, of_all.x,
    )  # fmt: skip
    final, found = of_all.exact[FINAL], []
    for b, (start, one) in enumerate(zip(starts, asked, strict=False)):
        shown = len(one.shown)
        stop = start + shown + len(one.more)
        found.append(Weighed(rows[start:stop], shown, final[start:stop], of_all, b, start))
    return found


def _portion(asked: Sequence[Asked], known: Portion | None) -> Portion:
    if known is not None and len(known) == len(asked):
        for one, query in zip(asked, known, strict=True):
            if one.query is not query:
                break
        else:
            return known
    return Portion([one.query for one in asked])


def _said(mixture: Mixture, queries: Portion, rows: I32, starts: list[int]) -> tuple[F32, F32]:
    """(E, at least S) what every column gives the rows, and (B, E) what it leaves to the base, family by family."""
    columns, room = len(mixture.columns), len(rows) + _BESIDE
    whole, rest = np.empty((columns, room), np.float32), np.empty((len(queries), columns), np.float32)
    mass = whole[:, : len(rows)].T
    for family, own in zip(mixture.experts, mixture.spans, strict=True):
        score_all = getattr(family, "score_all", None)
        if score_all is not None:
            score_all(queries, rows, starts, mass[own], rest[own])
            continue
        for b, query in enumerate(queries):
            span = slice(starts[b], starts[b + 1])
            family.score(query, rows[span], mass[own][span], rest[own][b])
    return whole, rest
