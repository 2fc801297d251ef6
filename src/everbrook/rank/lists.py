"""From candidates to the list: what may be shown, the best k of it, and why each item stands there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.rank import contexts
from everbrook.rank.mixture import Mixture, Weighed
from everbrook.types import F64, I32, NO_ROW, Bool, Query


@dataclass(frozen=True, slots=True)
class Match:
    """What a typed text matches."""

    rows: I32  # (M,)
    relevance: F64  # (M,) probability of each item under the text alone


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, in row space."""

    query: Query
    k: int
    allowed: Bool  # (N,) rows that may be shown
    narrow: bool  # whether `allowed` is a filter's doing, so that proposals may miss most of it
    left_out: I32  # rows that may not be shown and are known not to come (seen, excluded)
    only: I32 | None  # rank just these rows
    match: Match | None = None  # rank just what a typed text matches, by both


@dataclass(frozen=True, slots=True)
class Listed:
    """The list, best first."""

    rows: I32  # (T,)
    scores: F64  # (T,) probability that the item comes next
    weighed: Weighed
    places: I32  # (T,) position of each listed item among the weighed candidates


def make_list(mixture: Mixture, wish: Wish, scan: int) -> Listed:
    """The best k of what may be shown.

    Args:
        mixture: what knows.
        wish: what is asked for.
        scan: up to so many allowed rows are all scored where a filter is narrow.
    """
    shown = _rows(mixture, wish, scan)
    empty = np.empty(0, dtype=np.int32)
    weighed = mixture.weigh(wish.query, shown, empty, wish.left_out)
    k = min(wish.k, weighed.shown)
    final = weighed.final[: weighed.shown]
    if wish.match is not None:
        final = _both(final, shown, wish.match)
    best = np.argpartition(-final, k - 1)[:k] if 0 < k < len(final) else np.arange(k)
    places = best[np.lexsort((weighed.rows[best], -final[best]))].astype(np.int32)
    return Listed(weighed.rows[places], final[places], weighed, places)


def _both(final: F64, shown: I32, match: Match) -> F64:
    """The product of two opinions, scaled to sum 1 (a log-linear pool of equal weights; Genest & Zidek 1986)."""
    relevance = np.zeros(int(match.rows.max(initial=0)) + 1)
    relevance[match.rows] = match.relevance
    product = final * relevance[shown]
    return np.asarray(product / max(float(product.sum()), 1e-300), dtype=np.float64)


def _rows(mixture: Mixture, wish: Wish, scan: int) -> I32:
    given = wish.only if wish.match is None else wish.match.rows
    if given is not None:
        if wish.match is not None and wish.only is not None:
            given = given[np.isin(given, wish.only)]
        shown = given[wish.allowed[given]]
        return shown[~np.isin(shown, wish.left_out)]
    allowed = wish.allowed.copy()
    allowed[wish.left_out] = False
    if wish.narrow:
        every = np.flatnonzero(allowed).astype(np.int32)
        if len(every) <= scan:
            return every
    shown = mixture.candidates(wish.query)
    shown = shown[allowed[shown]]
    if len(shown) < wish.k:
        shown = np.concatenate((shown, _more(mixture, wish, allowed, shown)))
    return shown


def _more(mixture: Mixture, wish: Wish, allowed: Bool, shown: I32) -> I32:
    """Popular items, then any, where the proposals do not fill the list."""
    rest = allowed.copy()
    rest[shown] = False
    popular = mixture.experts[0].propose(wish.query, min(mixture.n_items, 20 * wish.k + len(shown)))
    popular = popular[rest[popular]]
    if len(popular) >= wish.k - len(shown):
        return popular
    rest[popular] = False
    return np.concatenate((popular, np.flatnonzero(rest)[: wish.k].astype(np.int32)))


def shares(mixture: Mixture, listed: Listed) -> F64:
    """(T, E) the share of each expert column in each listed item's probability.

    The stacker counts as the pool of all contexts, from which it starts.
    """
    w = listed.weighed
    pools = len(contexts.POOLS)
    top = mixture.top
    per_pool = np.where(w.awake, mixture.pools[np.arange(pools), w.buckets], 0.0)
    per_pool /= np.maximum(per_pool.sum(axis=1, keepdims=True), 1e-12)
    by_pool = top[:pools].copy()
    by_pool[0] += top[pools]
    weights = by_pool @ per_pool + np.where(w.awake, top[pools + 1 :], 0.0)
    given = w.p[listed.places] * weights
    return np.asarray(given / np.maximum(given.sum(axis=1, keepdims=True), 1e-300), dtype=np.float64)


def because(mixture: Mixture, listed: Listed, query: Query) -> dict[int, I32]:
    """Per family: (T,) the row of the past item that brought each listed item; NO_ROW where none did."""
    return {i: family.because(query, listed.rows) for i, family in enumerate(mixture.experts)}


def reasons_for(
    mixture: Mixture, given: F64, brought: dict[int, I32], place: int, most: int
) -> list[tuple[str, float, int]]:
    """The experts that brought one item: (column name, share, past item row or NO_ROW), greatest share first."""
    family_of = [i for i, family in enumerate(mixture.experts) for _ in family.names]
    found: list[tuple[str, float, int]] = []
    taken: set[tuple[int, int]] = set()
    for column in np.argsort(-given[place])[: 4 * most]:
        family = family_of[column]
        item = int(brought[family][place])
        if (family, item) in taken or given[place, column] <= 0.0:
            continue
        taken.add((family, item))
        same = [c for c, f in enumerate(family_of) if f == family]
        found.append((mixture.columns[column], float(given[place, same].sum()), item))
        if len(found) == most:
            break
    return found


__all__ = ["NO_ROW", "Listed", "Wish", "because", "make_list", "reasons_for", "shares"]
