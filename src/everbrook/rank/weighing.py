"""Candidates of several lists, and weighing them together: every layer of the mixture for all of them at once.

Not here: what the experts give (models), what a layer computes (pools, stacker), and how they learn (mixture).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from everbrook.models.portion import Portion
from everbrook.rank import contexts
from everbrook.rank.pools import pool_all, stack_all
from everbrook.types import F32, F64, I32, I64, Bool, Expert, Query

if TYPE_CHECKING:
    from everbrook.rank.mixture import Mixture

POOLED_SHARE = 0.02
"""Of the pools in the stacker's probability, so that no single event can cost it more than ln(1 / share) against them:
one surprise must not move the insurance's weight away from what is best in the long run."""

_BESIDE = 24  # room between columns: were they one block, every kernel of the families would be compiled for that too


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be weighed."""

    query: Query  # whose next item
    shown: I32  # (M,) rows that compete for the list
    more: I32  # rows asked about beside them
    left_out: I32  # rows that cannot come (seen, excluded): their probability goes to the others


@dataclass(frozen=True, slots=True)
class Weighed:
    """Candidates with every layer's probability for them."""

    rows: I32  # (M,) candidates; the first `shown` may be shown, the rest were only asked about
    shown: int
    p: F32  # (M, E) columns
    awake: Bool  # (E,)
    pooled: F32  # (M, J)
    x: F32  # (shown, F) the stacker's features; (0, F) where they were not wanted
    choice: F64  # (shown,) the stacker's softmax over the shown
    stacked: F64  # (M,) the stacker's probability
    inside: float  # what the pools give the shown together
    final: F64  # (M,)
    buckets: I64  # (J,)


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


def weigh_all(mixture: Mixture, asked: Sequence[Asked], features: bool) -> list[Weighed]:
    """Every layer's probability for the candidates of several queries.

    Args:
        mixture: whose experts and layers.
        asked: what is to be weighed. In the arrays below lie together: the shown of the first, what is asked about
            beside them, what is left out, and then those of the next.
        features: whether the stacker's features are wanted, to learn from them.
    """
    queries = Portion(one.query for one in asked)
    rows: I32 = np.concatenate(
        [part for one in asked for part in (one.shown, one.more, one.left_out)], dtype=np.int32, casting="same_kind"
    )
    sizes = np.array([(len(one.shown), len(one.more), len(one.left_out)) for one in asked], np.int64)
    starts: I64 = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes.sum(axis=1))))
    mass, rest = _said(mixture, queries, rows, starts.tolist())  # (E, at least S), (B, E)
    awake, buckets = ~np.isnan(rest), contexts.of_queries(queries)
    p, base, pooled, final, shares = pool_all(
        starts, sizes[:, 2], mass, rest, awake, mixture.popular, mixture.base_weights, 1.0 / max(mixture.n_items, 1),
        mixture.pools, buckets, mixture.top,
    )  # fmt: skip
    x, choice = mixture.stacker.choose(
        (starts, sizes[:, 0]), rows, (p, awake, base, pooled), queries, contexts.for_stacks(buckets),
        mixture.first_seen_ms, features,
    )  # fmt: skip
    stacked, inside = stack_all(
        starts, sizes[:, 0], sizes[:, 2], pooled, choice, mixture.stacker.inside, shares, POOLED_SHARE, final
    )
    found = []
    for b, (start, (shown, more, _), within) in enumerate(
        zip(starts[:-1].tolist(), sizes.tolist(), inside.tolist(), strict=True)
    ):
        own, first = slice(start, start + shown + more), slice(start, start + shown)
        found.append(Weighed(
            rows[own], shown, p[:, own].T, awake[b], pooled[:, own].T, x[:, first].T, choice[first], stacked[own],
            within, final[own], buckets[b],
        ))  # fmt: skip
    return found


def _said(mixture: Mixture, queries: Portion, rows: I32, starts: list[int]) -> tuple[F32, F32]:
    """(E, at least S) what every column gives the rows, and (B, E) what it leaves to the base, family by family."""
    columns, room = len(mixture.columns), len(rows) + _BESIDE
    whole, rest = np.empty((columns, room), np.float32), np.empty((len(queries), columns), np.float32)
    mass = whole[:, : len(rows)].T
    first = 0
    for family in mixture.experts:
        stop = first + len(family.names)
        score_all = getattr(family, "score_all", None)
        if score_all is not None:
            score_all(queries, rows, starts, mass[:, first:stop], rest[:, first:stop])
        else:
            for b, query in enumerate(queries):
                own = slice(starts[b], starts[b + 1])
                family.score(query, rows[own], mass[own, first:stop], rest[b, first:stop])
        first = stop
    return whole, rest
