"""What the rules give a scenario at a moment: all lists together, to be looked up. Not how they are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from everbrook.models.runs import write
from everbrook.models.transitions_kernels import slot_in, table_for
from everbrook.types import F32, I32


@dataclass(frozen=True, slots=True)
class Listed:
    """The lists of R rules."""

    since_ms: int  # from when on they are so
    until_ms: int  # until when; that moment itself is beyond
    rows: I32  # (U,) the distinct items, the lists in turn, each from its start
    mass: F32  # (U, R) what each list gives them
    table: I32  # where each of them stands among them, by `slot_in`
    rest: F32  # (R,) what each list leaves to the base; NaN where it is empty


def listed_of(lists: Sequence[I32], shares: Sequence[F32], least_rest: float, since_ms: int, until_ms: int) -> Listed:
    """R lists together.

    Args:
        lists: (R,) each of distinct items, first one first.
        shares: (R,) what each of its places is given.
        least_rest: what a list leaves to the base.
        since_ms: see `Listed`.
        until_ms: see `Listed`.
    """
    rows = np.concatenate([*lists, np.empty(0, np.int32)], dtype=np.int32)
    if len(lists) > 1:
        rows = rows[np.argsort(np.concatenate([np.arange(len(one)) for one in lists]), kind="stable")]
        rows = rows[np.sort(np.unique(rows, return_index=True)[1])]
    table = table_of(rows)
    mass = np.zeros((len(rows), len(lists)), np.float32)
    for k, (one, share) in enumerate(zip(lists, shares, strict=True)):
        place(table, rows, one, share, k, mass)
    rest = np.array([least_rest if len(one) else np.nan for one in lists], np.float32)
    return Listed(since_ms, until_ms, rows, mass, table, rest)


@njit(cache=True)
def table_of(rows: I32) -> I32:
    """A table of distinct rows that is mostly empty, so that most others are told at the first look."""
    table = table_for(2 * len(rows))
    for place in range(len(rows)):
        table[slot_in(table, rows, rows[place])] = place
    return table


@njit(cache=True)
def place(table: I32, known: I32, rows: I32, share: F32, column: int, mass: F32) -> None:
    """Write what rows are given where they stand among the known, in a column of (U, R) `mass`."""
    for i in range(len(rows)):
        mass[table[slot_in(table, known, rows[i])], column] = share[i]


@njit(cache=True)
def look_up(table: I32, known: I32, mass: F32, rows: I32, start: int, stop: int, out: F32) -> None:
    """Spread what the known are given, (U, R) `mass`, over the rows start..stop-1, in (S, R) `out`; others get 0."""
    where, places, hits = np.empty(stop - start + 1, np.int64), np.empty(stop - start + 1, np.int64), 0
    for m in range(stop - start):
        at = table[slot_in(table, known, rows[start + m])]
        where[hits], places[hits] = m, at
        hits += at >= 0
    line = np.empty(stop - start, np.float32)
    for k in range(out.shape[1]):
        line[:] = np.float32(0.0)
        for i in range(hits):
            line[where[i]] = mass[places[i], k]
        write(line, out, start, k)
