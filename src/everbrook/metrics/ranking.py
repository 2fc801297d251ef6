"""How well lists hit: from the rank of the one item that came next, or from marks of all relevant places.

Ranks are 1-based; 0 says that the target is not in the list. Ties count against the list (`pessimistic_ranks`).
Each function gives one number an event, so that means, slices and intervals are taken by the caller.
Source of the formulas, where none is named: Manning, Raghavan, Schütze, 'Introduction to Information Retrieval', 8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from everbrook.types import F32, F64, I32, Bool


def pessimistic_ranks(scores: F32 | F64, target: I32) -> I32:
    """The rank of each event's target among all scored items, after all that have the same score.

    Args:
        scores: (B, N); NaN counts as the lowest.
        target: (B,) column of the target.

    Returns:
        (B,) 1..N.
    """
    clean = np.where(np.isnan(scores), -np.inf, scores)
    own = clean[np.arange(len(target)), target]
    return (clean >= own[:, None]).sum(axis=1, dtype=np.int32)


def hit_rate(ranks: I32, k: int) -> F64:
    """(B,) 1 where the target is among the first k."""
    return ((ranks > 0) & (ranks <= k)).astype(np.float64)


def recall(ranks: I32, k: int) -> F64:
    """(B,) share of the relevant items that are among the first k; with one target, the hit rate."""
    return hit_rate(ranks, k)


def precision(ranks: I32, k: int) -> F64:
    """(B,) share of the first k places that are relevant."""
    return hit_rate(ranks, k) / k


def f1(ranks: I32, k: int) -> F64:
    """(B,) harmonic mean of precision and recall."""
    return harmonic(precision(ranks, k), recall(ranks, k))


def ndcg(ranks: I32, k: int) -> F64:
    """(B,) normalised discounted cumulative gain: with one target, 1 / log2(rank + 1).

    Source: Järvelin, Kekäläinen, 'Cumulated gain-based evaluation of IR techniques', TOIS 2002, with log2(rank + 1).
    """
    return hit_rate(ranks, k) / np.log2(np.maximum(ranks, 1) + 1.0)


def mrr(ranks: I32, k: int) -> F64:
    """(B,) reciprocal of the rank, 0 beyond k."""
    return hit_rate(ranks, k) / np.maximum(ranks, 1)


def average_precision(ranks: I32, k: int) -> F64:
    """(B,) mean of the precision at each relevant place; with one target, the reciprocal rank. Its mean is MAP."""
    return mrr(ranks, k)


RANK_METRICS: dict[str, Callable[[I32, int], F64]] = {
    "hit_rate": hit_rate,
    "recall": recall,
    "precision": precision,
    "f1": f1,
    "ndcg": ndcg,
    "mrr": mrr,
    "map": average_precision,
}
"""By the name that reports use."""


def list_metrics(relevant: Bool, total: I32, k: int) -> dict[str, F64]:
    """All of `RANK_METRICS` for lists that may hold several relevant items.

    Args:
        relevant: (B, T) whether each place of the list is relevant.
        total: (B,) how many relevant items there are, in the list or not; at least 1.
        k: how many places count.

    Returns:
        (B,) for each name.
    """
    first = relevant[:, :k].astype(np.float64)
    places = np.arange(1, first.shape[1] + 1)
    found = first.cumsum(axis=1)
    hits = found[:, -1]
    ideal = np.concatenate(([0.0], np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1.0))))
    best = np.minimum(total, k)
    at_first = np.where(hits > 0, first.argmax(axis=1) + 1, 0).astype(np.int32)
    return {
        "hit_rate": (hits > 0).astype(np.float64),
        "recall": hits / total,
        "precision": hits / k,
        "f1": harmonic(hits / k, hits / total),
        "ndcg": (first / np.log2(places + 1.0)).sum(axis=1) / ideal[best],
        "mrr": mrr(at_first, k),
        "map": (first * found / places).sum(axis=1) / best,
    }


def harmonic(one: F64, two: F64) -> F64:
    """(B,) harmonic mean, 0 where both are 0."""
    both = one + two
    return np.divide(2 * one * two, both, out=np.zeros_like(both), where=both > 0)
