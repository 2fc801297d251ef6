"""Numba loops of the repeats expert: what an actor's own items look like, and how often such items come next."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.pairs import least
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
    now: int, items: I32, times: I64, kinds: I16, n: int, session_n: int, window: int, table: I32, own: I32, cells: I64
) -> int:
    """The distinct items of the last events, nearest first, each with its cell per column (-1: none), and how many."""
    table[:] = -1
    count = np.zeros(window, np.int64)
    at = np.empty(window, np.int64)
    m = 0
    for p in range(n - 1, max(0, n - window) - 1, -1):
        slot = slot_in(table, own, items[p])
        if table[slot] < 0:
            table[slot] = m
            own[m] = items[p]
            at[m] = p
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
    for b in range(ts.shape[0]):
        m = own_items(ts[b], items[b], times[b], kinds[b], n[b], session_n[b], window, places, own, cells)
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


@njit(cache=True)
def ask(
    now: int,
    items: I32,
    times: I64,
    kinds: I16,
    session_n: int,
    table: F64,
    parents: F64,
    window: int,
    prior: float,
    rest: F32,
) -> tuple[I32, F64, I32]:
    """The own items, nearest first, and their chances in each column."""
    places, own = table_for(window), np.empty(window, np.int32)
    cells, chance = np.empty((window, 3), np.int64), np.empty((window, 3))
    m = own_items(now, items, times, kinds, items.shape[0], session_n, window, places, own, cells)
    chances(m, cells, table, parents, prior, chance, rest)
    return own[:m], chance, places


@njit(cache=True)
def score(
    now: int,
    items: I32,
    times: I64,
    kinds: I16,
    session_n: int,
    rows: I32,
    table: F64,
    parents: F64,
    window: int,
    prior: float,
    mass: F32,
    rest: F32,
) -> None:
    """Chances of the given rows."""
    own, chance, places = ask(now, items, times, kinds, session_n, table, parents, window, prior, rest)
    for i in range(rows.shape[0]):
        d = places[slot_in(places, own, rows[i])]
        for col in range(3):
            mass[i, col] = chance[d, col] if d >= 0 else 0.0


@njit(cache=True)
def propose(
    now: int,
    items: I32,
    times: I64,
    kinds: I16,
    session_n: int,
    limit: int,
    table: F64,
    parents: F64,
    window: int,
    prior: float,
) -> I32:
    """The own items by the sum of their chances."""
    rest = np.empty(3, np.float32)
    own, chance, _ = ask(now, items, times, kinds, session_n, table, parents, window, prior, rest)
    value = np.empty(own.shape[0])
    for d in range(own.shape[0]):
        value[d] = -(chance[d, 0] + chance[d, 1] + chance[d, 2])
    places = least(value, limit)
    rows = np.empty(places.shape[0], np.int32)
    for i in range(rows.shape[0]):
        rows[i] = own[places[i]]
    return rows
