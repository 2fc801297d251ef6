"""Numba loops by which the transitions expert learns: ask what follows, then count. Plain arrays, nothing owned here.

Three kinds of pair counts for each of H half-lives: what came NEXT after an item, what came AFTER it within a window,
and what came BEFORE it. Three readings: column h asks the last item what came next; column H + h asks the last few
items, nearer ones with more weight, what came after; column 2H + h asks them what came after or, with less weight,
before. What a column leaves to the base is learned: interpolation weights by amount of evidence (Jelinek and Mercer
1980), fitted event by event.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.models.decay import fade
from everbrook.models.pairs import (
    LENGTH,
    OFFSET,
    ORIGIN_MS,
    STARTED,
    TOUCHED,
    USED,
    Store,
    add_entry,
    find,
    freshen,
    seconds_since_first,
    strengthen,
)
from everbrook.types import F32, F64, I32, I64, Bool

NEXT, AFTER, BEFORE = 0, 1, 2
"""Kinds of counters."""
BUCKETS = 24
LEAST = 1e-9
"""A total below this says nothing."""
MEMORY = 5000.0
"""Events after which an interpolation weight forgets as fast as it learns."""
LEARN_WINDOW, LEARN_DECAY, QUERY_WINDOW, QUERY_DECAY, ACROSS, ROW_LIMIT, BACKWARD, DOUBT = 0, 1, 2, 3, 4, 5, 6, 7
"""Places of the array of knobs."""


Base = tuple[F64, I64, F64, F64]
"""The expert's own popularity: counts (N, R), last touch (N + 1,) with the totals' clock at the end, totals, rates."""


@njit(cache=True)
def bucket_of(evidence: float) -> int:
    """A doubling of evidence is a bucket further."""
    return min(max(math.frexp(evidence)[1] + 10, 0), BUCKETS - 1)


@njit(cache=True)
def last_items(items: I32, n: int, session_n: int, window: int, found: I32, inside: Bool) -> int:
    """The last distinct items, nearest first, and whether they belong to the session; gives how many."""
    m = 0
    p = n - 1
    stop = max(0, n - 4 * window)
    while p >= stop and m < window:
        item = items[p]
        new = True
        for j in range(m):
            if found[j] == item:
                new = False
                break
        if new:
            found[m] = item
            inside[m] = p >= n - session_n
            m += 1
        p -= 1
    return m


@njit(cache=True)
def shares_of_rows(
    now: int, found: I32, inside: Bool, m: int, store: Store, rates: F64, knobs: F64, share: F64, evidence: F64
) -> None:
    """What one count in row j weighs in each column: share (m, 3H); evidence (3H,) in counts; 0 where there is none."""
    head, totals = store[0], store[1]
    H = rates.shape[0]
    for col in range(3 * H):
        evidence[col] = 0.0
        for j in range(m):
            share[j, col] = 0.0
    weights = np.zeros(3 * H)
    weight = 1.0
    for j in range(min(m, int(knobs[QUERY_WINDOW]))):
        row = found[j]
        q = weight if inside[j] else weight * knobs[ACROSS]
        weight *= knobs[QUERY_DECAY]
        since = float(now - head[row, TOUCHED])
        for h in range(H):
            f = fade(since * rates[h])
            following, after = totals[row, h] * f, totals[row, AFTER * H + h] * f
            if j == 0 and following > LEAST:
                share[0, h] = 1.0 / following
                evidence[h] = following
                weights[h] = 1.0
            for col in (H + h, 2 * H + h):
                total = after if col < 2 * H else after + knobs[BACKWARD] * totals[row, BEFORE * H + h] * f
                if total > LEAST:
                    share[j, col] = q / (total + knobs[DOUBT])
                    weights[col] += q * total / (total + knobs[DOUBT])
                    evidence[col] += q * total
    for j in range(m):
        for col in range(3 * H):
            if weights[col] > 0.0:
                share[j, col] /= weights[col]


@njit(cache=True)
def base_of(item: int, now: int, base: Base) -> float:
    """The expert's own rough idea of an item's popularity, to weigh against what its rows say."""
    counts, last, totals, rates = base
    seen = max(now, last[-1])
    p = 0.0
    for k in range(rates.shape[0]):
        total = totals[k] * fade((seen - last[-1]) * rates[k])
        count = counts[item, k] * fade((seen - last[item]) * rates[k])
        p += (count + 0.01) / (total + 0.01 * counts.shape[0])
    return p / rates.shape[0]


@njit(cache=True)
def count_base(item: int, now: int, weight: float, base: Base) -> None:
    """Learn popularity; times before the last touch count as then."""
    counts, last, totals, rates = base
    for k in range(rates.shape[0]):
        counts[item, k] = counts[item, k] * fade((now - last[item]) * rates[k]) + weight
        totals[k] = totals[k] * fade((now - last[-1]) * rates[k]) + weight
    last[item] = max(now, last[item])
    last[-1] = max(now, last[-1])


@njit(cache=True)
def read_one(
    now: int, y: int, found: I32, m: int, store: Store, rates: F64, knobs: F64, share: F64, entry: I64, got: F64
) -> None:
    """What each column gives item y; notes where y stands in each of the m rows."""
    head, _, others, last, counts, _, _ = store
    H, asked = rates.shape[0], int(knobs[QUERY_WINDOW])
    for col in range(3 * H):
        got[col] = 0.0
    for j in range(m):
        row = found[j]
        e = find(others, head[row, OFFSET], head[row, LENGTH], y)
        entry[j] = e
        if e < 0 or j >= asked:
            continue
        dt = float(max(now, head[row, TOUCHED]) - last[e])
        for h in range(H):
            f = fade(dt * rates[h])
            after = counts[e, AFTER * H + h] * f
            got[h] += share[j, h] * counts[e, h] * f
            got[H + h] += share[j, H + h] * after
            got[2 * H + h] += share[j, 2 * H + h] * (after + knobs[BACKWARD] * counts[e, BEFORE * H + h] * f)


@njit(cache=True)
def tell(evidence: F64, got: F64, trust: F64, mass: F32, rest: F32) -> None:
    """Write one event's mass and rest."""
    for col in range(evidence.shape[0]):
        if evidence[col] <= 0.0:
            mass[col], rest[col] = 0.0, np.nan
            continue
        lam = trust[col, bucket_of(evidence[col]), 0]
        mass[col], rest[col] = (1.0 - lam) * got[col], lam


@njit(cache=True)
def blame_base(p: float, evidence: F64, got: F64, trust: F64) -> None:
    """Fit the interpolation weights: one step of expectation maximisation, with p the base's probability."""
    for col in range(evidence.shape[0]):
        if evidence[col] > 0.0:
            cell = trust[col, bucket_of(evidence[col])]
            blame = cell[0] * p / (cell[0] * p + (1.0 - cell[0]) * got[col] + 1e-30)
            cell[1] = min(cell[1] + 1.0, MEMORY)
            cell[0] = min(max(cell[0] + (blame - cell[0]) / cell[1], 1e-3), 1.0 - 1e-3)


@njit(cache=True)
def learn_one(
    now: int, y: int, w: float, found: I32, inside: Bool, m: int, entry: I64, store: Store, rates: F64, knobs: F64
) -> None:
    """Count y as what came after each of the m items, and them as what came before y."""
    head, others = store[0], store[2]
    freshen(y, now, store, rates)
    for j in range(min(m, int(knobs[LEARN_WINDOW]))):
        v = w if inside[j] else w * knobs[ACROSS]
        w *= knobs[LEARN_DECAY]
        row = int(found[j])
        if row == y or v <= 0.0:  # coming back to an item is another expert's matter
            continue
        freshen(row, now, store, rates)
        for way in range(2 if knobs[BACKWARD] > 0.0 else 1):
            at, other, kind = (row, y, AFTER) if way == 0 else (y, row, BEFORE)
            e = entry[j] if way == 0 else find(others, head[y, OFFSET], head[y, LENGTH], row)
            if e < 0:
                e = add_entry(at, other, now, store, rates, int(knobs[ROW_LIMIT]))
            strengthen(at, e, now, kind, v, store, rates)
            if j == 0 and way == 0:
                strengthen(at, e, now, NEXT, v, store, rates)


@njit(cache=True)
def look_ahead(y: int, found: I32, m: int, store: Store, base: Base) -> int:
    """Look at the rows of an event all at once, so that the memory brings them at the same time.

    Returns:
        Something made of what was seen, without which the compiler would leave the looks out.
    """
    head, totals, others, last = store[:4]
    seen = head[y, OFFSET] + base[1][y] + np.int64(base[0][y, 0]) + np.int64(totals[y, 0])
    for j in range(m):
        at = head[found[j], OFFSET]
        seen ^= others[at] + last[at] + np.int64(totals[found[j], 0])
    return seen


@njit(cache=True, nogil=True)
def observe(
    start: int, ts: I64, item: I32, weight: F32, n: I32, session_n: I32, items: I32,
    store: Store, rates: F64, knobs: F64, trust: F64, base: Base, mass: F32, rest: F32,
) -> int:  # fmt: skip
    """Test, then train, from event `start` on; stops where the pool needs room and gives that event's number."""
    H, learned, meta = rates.shape[0], int(knobs[LEARN_WINDOW]), store[6]
    window, room = max(int(knobs[QUERY_WINDOW]), learned), room_for_one(knobs)
    found, inside = np.empty(window, np.int32), np.empty(window, np.bool_)
    share, evidence = np.empty((window, 3 * H)), np.empty(3 * H)
    entry, got = np.empty(window, np.int64), np.empty(3 * H)
    for b in range(start, ts.shape[0]):
        if meta[USED] + room > store[2].shape[0]:
            return b
        if meta[STARTED] == 0:
            meta[STARTED], meta[ORIGIN_MS] = 1, ts[b]
        now, y = seconds_since_first(ts[b], meta), int(item[b])
        m = last_items(items[b], n[b], session_n[b], window, found, inside)
        entry[0] = look_ahead(y, found, m, store, base)
        shares_of_rows(now, found, inside, m, store, rates, knobs, share, evidence)
        read_one(now, y, found, m, store, rates, knobs, share, entry, got)
        tell(evidence, got, trust, mass[b], rest[b])
        if weight[b] > 0.0:
            blame_base(base_of(y, now, base), evidence, got, trust)
            count_base(y, now, float(weight[b]), base)
            learn_one(now, y, float(weight[b]), found, inside, m, entry, store, rates, knobs)
    return ts.shape[0]


@njit(cache=True)
def room_for_one(knobs: F64) -> int:
    """Entries that one event may take from the pool at most: every pair moves both its rows to new blocks."""
    return int(knobs[LEARN_WINDOW]) * 4 * int(knobs[ROW_LIMIT]) + 64


@njit(cache=True)
def table_for(n: int) -> I32:
    """An empty open-addressing table for n numbers."""
    size = 16
    while size < 2 * n:
        size *= 2
    return np.full(size, -1, np.int32)


@njit(cache=True)
def slot_in(table: I32, known: I32, item: int) -> int:
    """Where a number's place is noted in the table, or could be."""
    mask = table.shape[0] - 1
    slot = (np.int64(item) * 2654435761 >> 12) & mask
    while table[slot] >= 0 and known[table[slot]] != item:
        slot = (slot + 1) & mask
    return slot
