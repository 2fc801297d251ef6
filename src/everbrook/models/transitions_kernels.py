"""Numba loops of the transitions expert: ask what follows, then count. Plain arrays in, nothing owned here.

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
    add_entry,
    find,
    freshen,
    seconds_since_first,
    strengthen,
)

NEXT, AFTER, BEFORE = 0, 1, 2
"""Kinds of counters."""
BUCKETS = 24
LEAST = 1e-9
"""A total below this says nothing."""
MEMORY = 5000.0
"""Events after which an interpolation weight forgets as fast as it learns."""
LEARN_WINDOW, LEARN_DECAY, QUERY_WINDOW, QUERY_DECAY, ACROSS, ROW_LIMIT, BACKWARD, DOUBT = 0, 1, 2, 3, 4, 5, 6, 7
"""Places of the array of knobs."""


@njit(cache=True)
def bucket_of(evidence):
    """A doubling of evidence is a bucket further."""
    return min(max(math.frexp(evidence)[1] + 10, 0), BUCKETS - 1)


@njit(cache=True)
def last_items(items, n, session_n, window, found, inside):
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
def shares_of_rows(now, found, inside, m, head, totals, rates, knobs, share, evidence):
    """What one count in row j weighs in each column: share (m, 3H); evidence (3H,) in counts; 0 where there is none."""
    H = rates.shape[0]
    share[:m] = 0.0
    evidence[:] = 0.0
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
def base_of(item, now, counts, last, totals, rates):
    """The expert's own rough idea of an item's popularity, to weigh against what its rows say."""
    seen = max(now, last[-1])
    p = 0.0
    for k in range(rates.shape[0]):
        total = totals[k] * fade((seen - last[-1]) * rates[k])
        p += (counts[item, k] * fade((seen - last[item]) * rates[k]) + 0.01) / (total + 0.01 * counts.shape[0])
    return p / rates.shape[0]


@njit(cache=True)
def count_base(item, now, weight, counts, last, totals, rates):
    """Learn popularity; times before the last touch count as then."""
    for k in range(rates.shape[0]):
        counts[item, k] = counts[item, k] * fade((now - last[item]) * rates[k]) + weight
        totals[k] = totals[k] * fade((now - last[-1]) * rates[k]) + weight
    last[item] = max(now, last[item])
    last[-1] = max(now, last[-1])


@njit(cache=True)
def observe(
    start,
    ts,
    item,
    weight,
    n,
    session_n,
    items,
    head,
    totals,
    others,
    last,
    counts,
    free,
    meta,
    rates,
    knobs,
    trust,
    base_counts,
    base_last,
    base_totals,
    base_rates,
    mass,
    rest,
):
    """Test, then train, from event `start` on; stops where the pool needs room and gives that event's number."""
    H = rates.shape[0]
    asked, learned = int(knobs[QUERY_WINDOW]), int(knobs[LEARN_WINDOW])
    window, row_limit, back = max(asked, learned), int(knobs[ROW_LIMIT]), knobs[BACKWARD]
    found, inside = np.empty(window, np.int32), np.empty(window, np.bool_)
    share, evidence = np.empty((window, 3 * H)), np.empty(3 * H)
    entry = np.empty(window, np.int64)
    bucket = np.empty(3 * H, np.int64)
    got = np.empty(3 * H)
    for b in range(start, ts.shape[0]):
        if meta[USED] + learned * 4 * row_limit + 64 > others.shape[0]:
            return b
        if meta[STARTED] == 0:
            meta[STARTED], meta[ORIGIN_MS] = 1, ts[b]
        now = seconds_since_first(ts[b], meta)
        y = item[b]
        m = last_items(items[b], n[b], session_n[b], window, found, inside)
        shares_of_rows(now, found, inside, m, head, totals, rates, knobs, share, evidence)
        got[:] = 0.0
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
                got[2 * H + h] += share[j, 2 * H + h] * (after + back * counts[e, BEFORE * H + h] * f)
        for col in range(3 * H):
            if evidence[col] <= 0.0:
                mass[b, col], rest[b, col] = 0.0, np.nan
                continue
            bucket[col] = bucket_of(evidence[col])
            lam = trust[col, bucket[col], 0]
            mass[b, col], rest[b, col] = (1.0 - lam) * got[col], lam
        w = weight[b]
        if not w > 0.0:
            continue
        p = base_of(y, now, base_counts, base_last, base_totals, base_rates)
        for col in range(3 * H):
            if evidence[col] > 0.0:
                cell = trust[col, bucket[col]]
                blame = cell[0] * p / (cell[0] * p + (1.0 - cell[0]) * got[col] + 1e-30)
                cell[1] = min(cell[1] + 1.0, MEMORY)
                cell[0] = min(max(cell[0] + (blame - cell[0]) / cell[1], 1e-3), 1.0 - 1e-3)
        count_base(y, now, w, base_counts, base_last, base_totals, base_rates)
        step = w
        freshen(y, now, head, totals, rates)
        for j in range(min(m, learned)):
            v = step if inside[j] else step * knobs[ACROSS]
            step *= knobs[LEARN_DECAY]
            row = found[j]
            if row == y or v <= 0.0:
                continue
            e = entry[j]
            freshen(row, now, head, totals, rates)
            if e < 0:
                e = add_entry(row, y, now, head, totals, others, last, counts, free, meta, rates, row_limit)
            if j == 0:
                strengthen(row, e, now, NEXT, v, head, totals, last, counts, rates)
            strengthen(row, e, now, AFTER, v, head, totals, last, counts, rates)
            if back > 0.0:
                e = find(others, head[y, OFFSET], head[y, LENGTH], row)
                if e < 0:
                    e = add_entry(y, row, now, head, totals, others, last, counts, free, meta, rates, row_limit)
                strengthen(y, e, now, BEFORE, v, head, totals, last, counts, rates)
    return ts.shape[0]


@njit(cache=True)
def ask(now_ms, items, session_n, head, totals, meta, rates, knobs, trust, rest):
    """What `score` and `propose` have in common: the rows to ask, what a count in each weighs, the base's rest."""
    H = rates.shape[0]
    asked = int(knobs[QUERY_WINDOW])
    found, inside = np.empty(asked, np.int32), np.empty(asked, np.bool_)
    share, evidence = np.zeros((asked, 3 * H)), np.empty(3 * H)
    now = seconds_since_first(now_ms, meta)
    m = last_items(items, items.shape[0], session_n, asked, found, inside)
    shares_of_rows(now, found, inside, m, head, totals, rates, knobs, share, evidence)
    for col in range(3 * H):
        if evidence[col] <= 0.0:
            rest[col] = np.nan
            continue
        lam = trust[col, bucket_of(evidence[col]), 0]
        rest[col] = lam
        for j in range(m):
            share[j, col] *= 1.0 - lam
    return now, found[:m], share


@njit(cache=True)
def table_for(n):
    """An empty open-addressing table for n numbers."""
    size = 16
    while size < 2 * n:
        size *= 2
    return np.full(size, -1, np.int32)


@njit(cache=True)
def slot_in(table, known, item):
    """Where a number's place is noted in the table, or could be."""
    mask = table.shape[0] - 1
    slot = (np.int64(item) * 2654435761 >> 12) & mask
    while table[slot] >= 0 and known[table[slot]] != item:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True)
def score(
    now_ms, items, session_n, rows, head, totals, others, last, counts, meta, rates, knobs, trust, mass, rest, best
):
    """Mass of the given rows and rest; `best` (M,) is the item of the history that gave most, -1 where none did."""
    H, back = rates.shape[0], knobs[BACKWARD]
    now, found, share = ask(now_ms, items, session_n, head, totals, meta, rates, knobs, trust, rest)
    M = rows.shape[0]
    table = table_for(M)
    same = np.full(M, -1, np.int32)  # a row that is asked for twice takes its answer from the first
    for m in range(M):
        slot = slot_in(table, rows, rows[m])
        if table[slot] < 0:
            table[slot] = m
        else:
            same[m] = table[slot]
    mass[:, : 3 * H] = 0.0
    best[:] = -1
    most = np.zeros(M)
    for j in range(found.shape[0]):
        start, seen = head[found[j], OFFSET], max(now, head[found[j], TOUCHED])
        for e in range(start, start + head[found[j], LENGTH]):
            m = table[slot_in(table, rows, others[e])]
            if m < 0:
                continue
            dt = float(seen - last[e])
            sum_ = 0.0
            for h in range(H):
                f = fade(dt * rates[h])
                after = counts[e, AFTER * H + h] * f
                x, y = share[j, h] * counts[e, h] * f, share[j, H + h] * after
                z = share[j, 2 * H + h] * (after + back * counts[e, BEFORE * H + h] * f)
                mass[m, h] += x
                mass[m, H + h] += y
                mass[m, 2 * H + h] += z
                sum_ += x + y + z
            if sum_ > most[m]:
                most[m] = sum_
                best[m] = found[j]
    for m in range(M):
        if same[m] >= 0:
            mass[m] = mass[same[m]]
            best[m] = best[same[m]]


@njit(cache=True)
def propose(now_ms, items, session_n, limit, head, totals, others, last, counts, meta, rates, knobs, trust):
    """The items with the greatest sum of masses over the columns, best first."""
    H, back = rates.shape[0], knobs[BACKWARD]
    rest = np.empty(3 * H, np.float32)
    now, found, share = ask(now_ms, items, session_n, head, totals, meta, rates, knobs, trust, rest)
    most = 0
    for j in range(found.shape[0]):
        most += head[found[j], LENGTH]
    table, known, value = table_for(most), np.empty(most, np.int32), np.zeros(most)
    n = 0
    for j in range(found.shape[0]):
        start, seen = head[found[j], OFFSET], max(now, head[found[j], TOUCHED])
        for e in range(start, start + head[found[j], LENGTH]):
            slot = slot_in(table, known, others[e])
            if table[slot] < 0:
                table[slot] = n
                known[n] = others[e]
                n += 1
            dt = float(seen - last[e])
            sum_ = 0.0
            for h in range(H):
                after = (share[j, H + h] + share[j, 2 * H + h]) * counts[e, AFTER * H + h]
                before = share[j, 2 * H + h] * back * counts[e, BEFORE * H + h]
                sum_ += fade(dt * rates[h]) * (share[j, h] * counts[e, h] + after + before)
            value[table[slot]] += sum_
    if n > 2 * limit:  # cut first: sorting a few is cheaper than sorting all
        floor = np.partition(value[:n], n - limit)[n - limit]
        kept = 0
        for i in range(n):
            if value[i] >= floor:
                known[kept], value[kept] = known[i], value[i]
                kept += 1
        n = kept
    order = np.argsort(-value[:n], kind="mergesort")
    return known[order[:limit]]
