"""Numba loops of the repeats expert: what an actor's own items look like, and how often such items come next."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.least import least_places
from everbrook.models.portion import BEGIN, NOW_MS, SESSION_N
from everbrook.models.runs import write
from everbrook.models.transitions_kernels import slot_in, table_for
from everbrook.types import F32, F64, I16, I32, I64

RANKS, GAPS, TIMES, KINDS = 9, 10, 4, 16
CELLS = max(RANKS * GAPS * TIMES * 2, KINDS * RANKS * GAPS)
SESSION, HISTORY, KIND = 0, 1, 2
"""Columns: items of the session, of the whole window, and of the whole window told apart by kind."""
MOST = 0.98
"""Of its mass an expert gives at most so much to repeats."""

_GAPS_S = np.array([10.0, 60.0, 300.0, 1800.0, 10800.0, 86400.0, 259200.0, 604800.0, 2592000.0])
_RANK_BUCKETS = np.array([0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7], np.int64)


@njit(cache=True)
def rank_bucket(rank: int) -> int:
    """0-3 apart, then coarser: 4-5, 6-8, 9-14, 15-24, the rest."""
    return _RANK_BUCKETS[rank] if rank < _RANK_BUCKETS.shape[0] else RANKS - 1


@njit(cache=True)
def gap_bucket(gap_ms: float) -> int:
    """From within ten seconds to more than a month ago."""
    g = 0
    while g < GAPS - 1 and gap_ms > 1000.0 * _GAPS_S[g]:
        g += 1
    return g


@njit(cache=True)
def own_items(
    now: int, items: I32, times: I64, kinds: I16, n: int, session_n: int, window: int, table: I32, own: I32, cells: I64,
    count: I64, at: I64,
) -> int:  # fmt: skip
    """The distinct items of the last events, nearest first, each with its cell per column (-1: none), and how many.

    `count` and `at`, (window,), are scratch.
    """
    table[:] = -1
    m = 0
    for p in range(n - 1, max(0, n - window) - 1, -1):
        slot = slot_in(table, own, items[p])
        if table[slot] < 0:
            table[slot] = m
            own[m] = items[p]
            at[m] = p
            count[m] = 0
            m += 1
        count[table[slot]] += 1
    for d in range(m):
        p = at[d]
        inside = p >= n - session_n
        r, g = rank_bucket(d), gap_bucket(float(now - times[p]))
        c = min(count[d], TIMES) - 1
        base = (r * GAPS + g) * TIMES + c
        cells[d, SESSION] = base if inside else -1
        cells[d, HISTORY] = base * 2 + (1 if inside else 0)
        cells[d, KIND] = (r * GAPS + g) * KINDS + (kinds[p] & (KINDS - 1))
    return m


@njit(cache=True)
def chances(m: int, cells: I64, table: F64, parents: F64, prior: float, chance: F64, rest: F32) -> None:
    """The probability of each own item in each column, and what is left; a column without items is asleep."""
    for col in range(3):
        total, asked = 0.0, 0
        for d in range(m):
            if cells[d, col] < 0:
                chance[d, col] = 0.0
                continue
            parent, cell = parents[col, rank_bucket(d)], table[col, cells[d, col]]
            above = (parent[0] + 0.02 * prior) / (parent[1] + prior)
            chance[d, col] = (cell[0] + prior * above) / (cell[1] + prior)
            total += chance[d, col]
            asked += 1
        if total > MOST:
            for d in range(m):
                chance[d, col] *= MOST / total
            total = MOST
        rest[col] = 1.0 - total if asked else np.nan


@njit(cache=True)
def learn(cell: F64, hit: float, memory: float) -> None:
    """One more trial; beyond the memory old ones are halved."""
    if cell[1] >= memory:
        cell[0] *= 0.5
        cell[1] *= 0.5
    cell[0] += hit
    cell[1] += 1.0


@njit(cache=True, nogil=True)
def observe(
    ts: I64,
    item: I32,
    weight: F32,
    n: I32,
    session_n: I32,
    items: I32,
    times: I64,
    kinds: I16,
    table: F64,
    parents: F64,
    window: int,
    memory: float,
    prior: float,
    mass: F32,
    rest: F32,
) -> None:
    """Test, then train, event by event."""
    places, own = table_for(window), np.empty(window, np.int32)
    cells, chance = np.empty((window, 3), np.int64), np.empty((window, 3))
    count, at = np.empty(window, np.int64), np.empty(window, np.int64)
    for b in range(ts.shape[0]):
        m = own_items(
            ts[b], items[b], times[b], kinds[b], n[b], session_n[b], window, places, own, cells, count, at
        )  # fmt: skip
        chances(m, cells, table, parents, prior, chance, rest[b])
        y = item[b]
        mass[b, :3] = 0.0
        for d in range(m):
            if own[d] == y:
                for col in range(3):
                    mass[b, col] = chance[d, col]
        if not weight[b] > 0.0:
            continue
        for d in range(m):
            hit = 1.0 if own[d] == y else 0.0
            r = rank_bucket(d)
            for col in range(3):
                if cells[d, col] >= 0:
                    learn(table[col, cells[d, col]], hit, memory)
                    learn(parents[col, r], hit, memory)


Found = tuple[I32, I32, I64, F64, F32]
"""Tables (B, slots), own items (B, window), how many (B,), their chances (B, window, 3), and what is left (B, 3)."""


def room_for(queries: int, window: int) -> Found:
    """What `find_all` fills for so many queries."""
    slots = 1 << max(4, (8 * window - 1).bit_length())  # mostly empty: most rows are told at the first look
    return (
        np.empty((queries, slots), np.int32), np.empty((queries, window), np.int32), np.empty(queries, np.int64),
        np.empty((queries, window, 3)), np.empty((queries, 3), np.float32),
    )  # fmt: skip


@njit(cache=True)
def find_all(
    items: I32, times: I64, kinds: I16, numbers: I64, table: F64, parents: F64, window: int, prior: float,
    found: Found, best: I32, kept: I64,
) -> None:  # fmt: skip
    """The own items of B queries, nearest first, and their chances in each column; and those of the highest sums.

    Args:
        items: see `Portion`.
        times: see `Portion`.
        kinds: see `Portion`.
        numbers: see `Portion`.
        table: (3, cells, 2) hits and trials.
        parents: (3, ranks, 2) the same by rank.
        window: last events that are looked at.
        prior: trials' worth of belief in the parents.
        found: out, see `room_for`.
        best: (B, limit), out: the items of the highest sums over the columns.
        kept: (B,), out: how many.
    """
    places, own, counts, chance, rest = found
    cells, count, at = np.empty((window, 3), np.int64), np.empty(window, np.int64), np.empty(window, np.int64)
    value = np.empty(window)
    for b in range(len(counts)):
        start, stop = numbers[b, BEGIN], numbers[b + 1, BEGIN]
        m = own_items(
            numbers[b, NOW_MS], items[start:stop], times[start:stop], kinds[start:stop], stop - start,
            numbers[b, SESSION_N], window, places[b], own[b], cells, count, at,
        )  # fmt: skip
        chances(m, cells, table, parents, prior, chance[b], rest[b])
        counts[b] = m
        for d in range(m):
            value[d] = -(chance[b, d, 0] + chance[b, d, 1] + chance[b, d, 2])
        first = least_places(value[:m], best.shape[1])
        for place in range(len(first)):
            best[b, place] = own[b, first[place]]
        kept[b] = len(first)


@njit(cache=True)
def look_up_all(which: I64, rows: I32, starts: I64, found: Found, mass: F32, rest: F32) -> None:
    """Chances of rows, (S, 3) `mass`, and what is left, (B, 3) `rest`; see `Popularity.score_all`."""
    places, own, _, chance, left = found
    where, at = np.empty(len(rows) + 1, np.int64), np.empty(len(rows) + 1, np.int64)
    whole = np.empty(len(rows), np.float32)
    for b in range(len(which)):
        mine, start, stop, hits = which[b], starts[b], starts[b + 1], 0
        line = whole[: stop - start]
        for m in range(stop - start):
            d = places[mine, slot_in(places[mine], own[mine], rows[start + m])]
            where[hits], at[hits] = m, d
            hits += d >= 0
        for col in range(3):
            rest[b, col] = left[mine, col]
            line[:] = np.float32(0.0)
            for i in range(hits):
                line[where[i]] = chance[mine, at[i], col]
            write(line, mass, start, col)
