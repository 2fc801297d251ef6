"""Why each item stands in a list: what every expert gave it, and the past item that brought it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from everbrook.rank.lists import Listed
from everbrook.rank.mixture import Mixture
from everbrook.rank.weighing import Weighed
from everbrook.types import F64, I32, I64, NO_ROW, Bool, Query

_LOOKED_AT = 4  # columns for each reason that is wanted: beyond them no share is worth naming


class Reached(NamedTuple):
    """A reason why an item stands where it does."""

    column: str  # the expert
    share: float  # of the item's probability that its family gave
    past_row: int  # of the past item that brought it; NO_ROW where none did


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


def reasons(mixture: Mixture, listed: Listed, query: Query, most: int) -> list[list[Reached]]:
    """For each listed item the families that brought it, greatest share of one of their columns first.

    Only those families are asked for the past item that may be named.

    Args:
        mixture: what made the list.
        listed: the list.
        query: whose list.
        most: reasons an item may have.
    """
    count = len(listed.rows)
    family_of = np.repeat(np.arange(len(mixture.experts)), [len(family.names) for family in mixture.experts])
    columns, sums = np.empty((count, most), np.int32), np.empty((count, most))
    best_columns(shares(mixture, listed), family_of, columns, sums)
    families = np.where(columns == NO_ROW, NO_ROW, family_of[columns])
    past = np.full((count, most), NO_ROW, np.int32)
    for family in set(families.ravel().tolist()) - {NO_ROW}:
        places, ranks = np.nonzero(families == family)  # a family is at most one of an item's reasons
        past[places, ranks] = mixture.experts[family].because(query, listed.rows[places])
    names = mixture.columns
    return [
        [
            Reached(names[column], share, row)
            for column, share, row in zip(*of_item, strict=True) if column != NO_ROW
        ]
        for of_item in zip(columns.tolist(), sums.tolist(), past.tolist(), strict=True)
    ]  # fmt: skip
