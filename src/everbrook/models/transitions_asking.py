"""Numba loops by which lists ask the transitions expert: one way through the rows of several queries' last items.

What is found is kept side by side: each query has a table of the items that follow, what each column gives them, and
the sum of it over the columns.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.decay import fade
from everbrook.models.pairs import LENGTH, OFFSET, TOUCHED, Store, least, seconds_since_first
from everbrook.models.portion import BEGIN, NOW_MS, SESSION_N
from everbrook.models.transitions_kernels import (
    AFTER,
    BACKWARD,
    BEFORE,
    QUERY_WINDOW,
    bucket_of,
    last_items,
    shares_of_rows,
    slot_in,
    table_for,
)
from everbrook.types import F32, F64, I32, I64

COUNT, TABLE, SLOTS = 1, 2, 3
"""Columns of spans, after where a query's items begin: how many there are, where its table begins, and its size."""

Found = tuple[I64, I32, I32, F32, F64, F32]
"""Spans (B, 4), tables, items (T,), what each column gives them (T, 3H), the sums' negatives (T,), and rest (B, 3H)."""


@njit(cache=True)
def ask(
    now_ms: int, items: I32, session_n: int, store: Store, rates: F64, knobs: F64, trust: F64,
    found: I32, share: F64, rest: F32,
) -> tuple[int, int]:  # fmt: skip
    """The moment in the store's time, and how many rows to ask.

    Args:
        now_ms: the moment.
        items: the history, oldest first.
        session_n: how many of the last belong to the session.
        store: see `PairStore.arrays`.
        rates: half-lives a second.
        knobs: see `transitions_kernels`.
        trust: interpolation weights.
        found: out: the rows.
        share: (asked, 3H), out: what a count in each weighs.
        rest: (3H,), out.
    """
    inside, evidence = np.empty(len(found), np.bool_), np.empty(len(rest))
    now = seconds_since_first(now_ms, store[6])
    m = last_items(items, items.shape[0], session_n, len(found), found, inside)
    shares_of_rows(now, found, inside, m, store, rates, knobs, share, evidence)
    for col in range(len(rest)):
        if evidence[col] <= 0.0:
            rest[col] = np.nan
            continue
        lam = trust[col, bucket_of(evidence[col]), 0]
        rest[col] = lam
        for j in range(m):
            share[j, col] *= 1.0 - lam
    return now, m


@njit(cache=True)
def _fade_all(last: I32, seen: int, rate: float, out: F64) -> None:
    for i in range(len(last)):
        out[i] = fade(float(seen - last[i]) * rate)


@njit(cache=True)
def read_row(
    row: int, now: int, share: F64, store: Store, rates: F64, back: float, table: I32, known: I32, count: int,
    got: F32, value: F64, faded: F64,
) -> int:  # fmt: skip
    """Add what follows one row to what was found for a query; gives how many items that are by now.

    Args:
        row: of the asked item.
        now: the moment in the store's time.
        share: (3H,) what a count weighs in each column.
        store: see `PairStore.arrays`.
        rates: (H,) half-lives a second.
        back: what a count of what came before weighs.
        table: of the items that are known.
        known: the items, in and out.
        count: how many there are so far.
        got: (T, 3H) in and out.
        value: (T,) the negative of the sum over the columns, in and out.
        faded: (H, E) scratch for rows of up to E entries.
    """
    head, others, last, counts = store[0], store[2], store[3], store[4]
    H, start, length = len(rates), head[row, OFFSET], head[row, LENGTH]
    seen = max(now, head[row, TOUCHED])
    for h in range(H):
        _fade_all(last[start : start + length], seen, rates[h], faded[h])
    for i in range(length):
        slot = slot_in(table, known, others[start + i])
        at = table[slot]
        if at < 0:
            at = count
            table[slot], known[at] = at, others[start + i]
            count += 1
        has, gets, total = counts[start + i], got[at], 0.0
        for h in range(H):
            after = has[AFTER * H + h] * faded[h, i]
            x, y = share[h] * has[h] * faded[h, i], share[H + h] * after
            z = share[2 * H + h] * (after + back * has[BEFORE * H + h] * faded[h, i])
            gets[h] += x
            gets[H + h] += y
            gets[2 * H + h] += z
            total += x + y + z
        value[at] -= total
    return count


@njit(cache=True, nogil=True)
def find_all(items: I32, numbers: I64, store: Store, rates: F64, knobs: F64, trust: F64) -> Found:
    """What follows the last items of B queries.

    Args:
        items: see `Portion`.
        numbers: see `Portion`.
        store: see `PairStore.arrays`.
        rates: (H,) half-lives a second.
        knobs: see `transitions_kernels`.
        trust: interpolation weights.
    """
    B, C, asked, head = len(numbers) - 1, 3 * len(rates), int(knobs[QUERY_WINDOW]), store[0]
    rest, share, rows = np.empty((B, C), np.float32), np.zeros((B, asked, C)), np.empty((B, asked), np.int32)
    of_rows, spans = np.empty((B, 2), np.int64), np.zeros((B, 4), np.int64)
    room, slots, longest = 0, 0, 0
    for b in range(B):
        history = items[numbers[b, BEGIN] : numbers[b + 1, BEGIN]]
        of_rows[b] = ask(
            numbers[b, NOW_MS], history, numbers[b, SESSION_N], store, rates, knobs, trust, rows[b], share[b], rest[b]
        )
        most = 0
        for j in range(of_rows[b, 1]):
            most += head[rows[b, j], LENGTH]
            longest = max(longest, head[rows[b, j], LENGTH])
        spans[b, BEGIN], spans[b, TABLE], spans[b, SLOTS] = room, slots, 16
        while spans[b, SLOTS] < 2 * most:
            spans[b, SLOTS] *= 2
        room += most
        slots += spans[b, SLOTS]
    tables, known = np.full(slots, -1, np.int32), np.empty(room, np.int32)
    got, value, faded = np.zeros((room, C), np.float32), np.zeros(room), np.empty((len(rates), longest))
    for b in range(B):
        first, count = spans[b, BEGIN], 0
        table = tables[spans[b, TABLE] : spans[b, TABLE] + spans[b, SLOTS]]
        for j in range(of_rows[b, 1]):
            count = read_row(
                rows[b, j], of_rows[b, 0], share[b, j], store, rates, knobs[BACKWARD], table, known[first:], count,
                got[first:], value[first:], faded,
            )  # fmt: skip
        spans[b, COUNT] = count
    return spans, tables, known, got, value, rest


@njit(cache=True)
def best_all(which: I64, limit: int, found: Found) -> tuple[I32, I64]:
    """The items with the greatest sums: of each query at most `limit`, best first, and how many; in (B, limit)."""
    spans, _, known, _, value, _ = found
    best, counts = np.empty((len(which), limit), np.int32), np.zeros(len(which), np.int64)
    for b in range(len(which)):
        first = spans[which[b], BEGIN]
        own = value[first : first + spans[which[b], COUNT]]
        for place in least(own, limit):
            if own[place] < 0.0:
                best[b, counts[b]] = known[first + place]
                counts[b] += 1
    return best, counts


@njit(cache=True)
def look_up_all(which: I64, rows: I32, starts: I64, found: Found, mass: F32, rest: F32) -> None:
    """What the columns give rows, (S, 3H) `mass`, and leave to the base, (B, 3H) `rest`; see `score_alike`."""
    spans, tables, known, got, _, rests = found
    where, places = np.empty(len(rows) + 1, np.int64), np.empty(len(rows) + 1, np.int64)
    for b in range(len(which)):
        span = spans[which[b]]
        table = tables[span[TABLE] : span[TABLE] + span[SLOTS]]
        own, given = known[span[BEGIN] :], got[span[BEGIN] :]
        for col in range(mass.shape[1]):
            rest[b, col] = rests[which[b], col]
        hits = 0
        for m in range(starts[b], starts[b + 1]):
            at = table[slot_in(table, own, rows[m])]
            where[hits], places[hits] = m, at
            hits += at >= 0
        for col in range(mass.shape[1]):
            for m in range(starts[b], starts[b + 1]):
                mass[m, col] = np.float32(0.0)
            for i in range(hits):
                mass[where[i], col] = given[places[i], col]


@njit(cache=True)
def bringers(
    now_ms: int, items: I32, session_n: int, rows: I32, store: Store, rates: F64, knobs: F64, trust: F64
) -> I32:
    """The item of the history that gave each row most, over the columns; -1 where none did."""
    head, _, others, last, counts, _, _ = store
    H, back, asked = len(rates), knobs[BACKWARD], int(knobs[QUERY_WINDOW])
    found, share = np.empty(asked, np.int32), np.zeros((asked, 3 * H))
    now, m = ask(now_ms, items, session_n, store, rates, knobs, trust, found, share, np.empty(3 * H, np.float32))
    table, best, most = table_for(len(rows)), np.full(len(rows), -1, np.int32), np.zeros(len(rows))
    same = np.full(len(rows), -1, np.int32)  # a row that is asked for twice takes its answer from the first
    for i in range(len(rows)):
        slot = slot_in(table, rows, rows[i])
        same[i] = table[slot]
        if table[slot] < 0:
            table[slot] = i
    for j in range(m):
        start, seen = head[found[j], OFFSET], max(now, head[found[j], TOUCHED])
        for e in range(start, start + head[found[j], LENGTH]):
            i = table[slot_in(table, rows, others[e])]
            if i < 0:
                continue
            total = 0.0
            for h in range(H):
                after = (share[j, H + h] + share[j, 2 * H + h]) * counts[e, AFTER * H + h]
                before = share[j, 2 * H + h] * back * counts[e, BEFORE * H + h]
                total += fade(float(seen - last[e]) * rates[h]) * (share[j, h] * counts[e, h] + after + before)
            if total > most[i]:
                most[i], best[i] = total, found[j]
    for i in range(len(rows)):
        if same[i] >= 0:
            best[i] = best[same[i]]
    return best
