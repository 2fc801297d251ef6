"""Why each item stands in a list: what every expert gave it, and the past item that brought it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from everbrook.rank.lists import Listed
from everbrook.rank.mixture import Mixture
from everbrook.rank.weighing import Weighed
from everbrook.types import F64, I32, I64, NO_ROW, Bool, Query

_LOOKED_AT = 4  # columns for each reason that is wanted: beyond them no share is worth naming


class Reasons(NamedTuple):
    """At most R reasons why each of T items stands where it does."""

    columns: I32  # (T, R) the experts; NO_ROW behind the last
    shares: F64  # (T, R) of the item's probability that the family of each gave; anything behind the last
    past: I32  # (T, R) the past item that brought it; NO_ROW where none did


def shares(mixture: Mixture, listed: Listed) -> F64:
    """(T, E) the share of each expert column in each listed item's probability.

    The stacker counts as the pool of all contexts, from which it starts.
    """
    w = listed.weighed
    given = np.ascontiguousarray(w.p[listed.places], np.float64)  # of one layout, however many there are
    scale(given, column_weights(mixture, w))
    return given


def column_weights(mixture: Mixture, w: Weighed) -> F64:
    """(E,) what each expert column counts in the whole mixture, the stacker as the pool from which it starts."""
    out = np.empty(len(mixture.columns))
    counted(mixture.pools, w.buckets, w.awake, mixture.top, out)
    return out


@njit(cache=True)
def counted(pools: F64, buckets: I64, awake: Bool, top: F64, out: F64) -> None:
    """What each column counts: its weight in each pool, times the pool's own, and its own weight beside them.

    Args:
        pools: (J, C, E)
        buckets: (J,)
        awake: (E,)
        top: (J + 1 + E,) pools, stacker, columns.
        out: (E,), out.
    """
    count = len(buckets)
    for e in range(len(out)):
        out[e] = top[count + 1 + e] if awake[e] else 0.0
    for j in range(count):
        own = pools[j, buckets[j]]
        total = 0.0
        for e in range(len(out)):
            total += own[e] if awake[e] else 0.0
        weight = (top[j] + (top[count] if j == 0 else 0.0)) / max(total, 1e-12)
        for e in range(len(out)):
            out[e] += weight * own[e] if awake[e] else 0.0


@njit(cache=True)
def scale(given: F64, weights: F64) -> None:
    """Weigh columns, and scale each row to sum 1, in place.

    Args:
        given: (T, E)
        weights: (E,)
    """
    for t in range(len(given)):
        total = 0.0
        for e in range(len(weights)):
            given[t, e] *= weights[e]
            total += given[t, e]
        for e in range(len(weights)):
            given[t, e] /= max(total, 1e-300)


@njit(cache=True)
def best_columns(given: F64, family_of: I64, columns: I32, sums: F64) -> None:
    """The columns that gave most to each item, one of a family.

    Args:
        given: (T, E) shares.
        family_of: (E,) which family has each column.
        columns: (T, R), out: greatest share first, of equal ones the first; NO_ROW behind the last.
        sums: (T, R), out: what the whole family of each gave.
    """
    places, width = given.shape
    most = columns.shape[1]
    left, used = np.empty(width), np.empty(most, np.int64)
    for t in range(places):
        left[:] = given[t]
        found = 0
        columns[t] = NO_ROW
        for _ in range(min(_LOOKED_AT * most, width)):
            best = int(np.argmax(left))
            if found == most or left[best] <= 0.0:
                break
            left[best] = -1.0
            family = family_of[best]
            known = False
            for r in range(found):
                known = known or used[r] == family
            if known:
                continue
            columns[t, found], used[found], sums[t, found] = best, family, 0.0
            for e in range(width):
                if family_of[e] == family:
                    sums[t, found] += given[t, e]
            found += 1


@njit(cache=True)
def brought_by(
    given: F64, pools: F64, buckets: I64, awake: Bool, top: F64, family_of: I64, rows: I32, columns: I32, sums: F64,
    order: I64, ends: I64, by_family: I32,
) -> None:  # fmt: skip
    """The columns that gave most to each item, and whom to ask for the past item behind it; changes `given`.

    Args:
        given: (T, E) what each column gives each item.
        pools: see `counted`.
        buckets: see `counted`.
        awake: see `counted`.
        top: see `counted`.
        family_of: see `best_columns`.
        rows: (T,) the items.
        columns: (T, R), out; see `best_columns`.
        sums: (T, R), out; see `best_columns`.
        order: (T * R,), out: places of `columns`, those of the first family first.
        ends: (families,), out: where in `order` each family's end.
        by_family: (T * R,), out: the item of each place in `order`.
    """
    weights = np.empty(given.shape[1])
    counted(pools, buckets, awake, top, weights)
    scale(given, weights)
    best_columns(given, family_of, columns, sums)
    most, count = columns.shape[1], 0
    for family in range(len(ends)):
        for t in range(len(columns)):
            for r in range(most):
                if columns[t, r] != NO_ROW and family_of[columns[t, r]] == family:
                    order[count], by_family[count] = t * most + r, rows[t]
                    count += 1
        ends[family] = count


@cache
def _families_of(widths: tuple[int, ...]) -> I64:
    """(E,) which family has each column."""
    return np.repeat(np.arange(len(widths)), widths)


def reasons(mixture: Mixture, listed: Listed, query: Query, most: int) -> Reasons:
    """For each listed item the families that brought it, greatest share of one of their columns first.

    Only those families are asked for the past item that may be named.

    Args:
        mixture: what made the list.
        listed: the list.
        query: whose list.
        most: reasons an item may have.
    """
    count, w, families = len(listed.rows), listed.weighed, mixture.experts
    given = np.ascontiguousarray(w.p[listed.places], np.float64)  # of one layout, however many there are
    columns, sums = np.empty((count, most), np.int32), np.empty((count, most))
    order, rows = np.empty(count * most, np.int64), np.empty(count * most, np.int32)
    ends, family_of = np.empty(len(families), np.int64), _families_of(tuple([len(one.names) for one in families]))
    brought_by(
        given, mixture.pools, w.buckets, w.awake, mixture.top, family_of, listed.rows, columns, sums,
        order, ends, rows,
    )  # fmt: skip
    past: I32 = np.full(count * most, NO_ROW, np.int32)
    begin = 0
    for family, end in zip(families, ends.tolist(), strict=True):
        if begin < end:
            past[order[begin:end]] = family.because(query, rows[begin:end])
        begin = end
    return Reasons(columns, sums, past.reshape(count, most))
