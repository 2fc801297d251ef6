"""Numba loops by which lists ask the transitions expert: one way through the rows of several queries' last items.

What is found is kept side by side: each query has a table of the items that follow, what each column gives them, and
the sum of it over the columns.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.decay import fade
from everbrook.models.least import least_places
from everbrook.models.pairs import LENGTH, OFFSET, TOUCHED, Store, seconds_since_first
from everbrook.models.portion import BEGIN, NOW_MS, SESSION_N
from everbrook.models.prefetch import prefetch
from everbrook.models.runs import write
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
from everbrook.models.transitions_lanes import LANES, add_four
from everbrook.types import F32, F64, I32, I64, Bool

COUNT, TABLE, SLOTS = 1, 2, 3
"""Columns of spans, after where a query's items begin: how many there are, where its table begins, and its size."""

Found = tuple[I64, I32, I32, F32, F64, F32]
"""Spans (B, 4), tables, items (T,), what each column gives them (T, 3H), the sums' negatives (T,), and rest (B, 3H)."""
LINE = 16
"""Numbers of 32 bits in a line of memory."""
KEPT = 65_536
"""Entries for which working memory is kept: some 100 bytes each."""


def room_for(queries: int, entries: int, slots: int, columns: int) -> Found:
    """What `find_all` fills."""
    return (
        np.empty((queries, 4), np.int64), np.empty(slots, np.int32), np.empty(entries, np.int32),
        np.empty((entries, columns), np.float32), np.empty(entries), np.empty((queries, columns), np.float32),
    )  # fmt: skip


@njit(cache=True)
def weigh(
    now_ms: int, found: I32, inside: Bool, m: int, store: Store, rates: F64, knobs: F64, trust: F64, share: F64,
    rest: F32,
) -> int:  # fmt: skip
    """The moment in the store's time.

    Args:
        now_ms: the moment.
        found: the rows to ask, from `last_items`.
        inside: whether they belong to the session.
        m: how many there are.
        store: see `PairStore.arrays`.
        rates: half-lives a second.
        knobs: see `transitions_kernels`.
        trust: interpolation weights.
        share: (asked, 3H), out: what a count in each weighs.
        rest: (3H,), out.
    """
    evidence, now = np.empty(len(rest)), seconds_since_first(now_ms, store[6])
    shares_of_rows(now, found, inside, m, store, rates, knobs, share, evidence)
    for col in range(len(rest)):
        if evidence[col] <= 0.0:
            rest[col] = np.nan
            continue
        lam = trust[col, bucket_of(evidence[col]), 0]
        rest[col] = lam
        for j in range(m):
            share[j, col] *= 1.0 - lam
    return now


@njit(cache=True)
def _call_heads(rows: I32, store: Store) -> None:
    """Ask memory for what is known of rows as a whole, of all at once."""
    heads, totals, C = store[0].reshape(-1), store[1].reshape(-1), store[1].shape[1]
    for row in rows:
        prefetch(heads, store[0].shape[1] * row)
        prefetch(totals, C * row)
        prefetch(totals, C * row + C - 1)


@njit(cache=True)
def _call_row(rows: I32, turn: int, store: Store) -> None:
    """Ask memory for the entries of the row whose turn it is, if there is one."""
    if turn >= len(rows):
        return
    head, C, counts = store[0], store[4].shape[1], store[4].reshape(-1)
    start = head[rows[turn], OFFSET]
    stop = start + head[rows[turn], LENGTH]
    for e in range(start, stop, LINE):
        prefetch(store[2], e)
        prefetch(store[3], e)
    for at in range(start * C, stop * C, LINE):
        prefetch(counts, at)


@njit(cache=True)
def _places(others: I32, table: I32, known: I32, count: int, places: I32) -> int:
    """Where the items of a row stand among the known, (E,) `places`; those that are new join. How many are known now.

    Whether an item is new nobody can foretell, so nothing branches on it.
    """
    mask = len(table) - 1
    for i in range(len(others)):
        item = others[i]
        slot = (np.int64(item) * 2654435761 >> 12) & mask  # as in `slot_in`
        at = table[slot]
        while (at >= 0) & (known[max(at, 0)] != item):
            slot = (slot + 1) & mask
            at = table[slot]
        place = count if at < 0 else at
        table[slot], known[place], places[i] = place, item, place
        count += at < 0
    return count


@njit(cache=True)
def read_row(
    row: int, now: int, share: F64, of_row: int, store: Store, rates: F64, back: float, places: I32, first: int,
    got: F32, value: F64,
) -> None:  # fmt: skip
    """Add what follows one row to what was found for a query.

    Args:
        row: of the asked item.
        now: the moment in the store's time.
        share: (asked, 3H) what a count weighs in each column.
        of_row: which of the asked items it is.
        store: see `PairStore.arrays`.
        rates: (H,) half-lives a second.
        back: what a count of what came before weighs.
        places: (E,) where the entries' items stand among the query's.
        first: where the query's items begin.
        got: (T, 3H) in and out.
        value: (T,) the negative of the sum over the columns, in and out.
    """
    head, last, counts = store[0], store[3], store[4]
    H, start, seen = len(rates), head[row, OFFSET], float(max(now, head[row, TOUCHED]))
    if H == LANES:
        for i in range(len(places)):
            at = first + places[i]
            age_s = seen - float(last[start + i])
            value[at] -= add_four(counts, rates, share, got, (start + i, of_row, at), (age_s, back))
        return
    for i in range(len(places)):
        at, age_s, total = first + places[i], seen - float(last[start + i]), 0.0
        has, gets, weighs = counts[start + i], got[at], share[of_row]
        for h in range(H):
            faded = fade(age_s * rates[h])
            after = has[AFTER * H + h] * faded
            x, y = weighs[h] * has[h] * faded, weighs[H + h] * after
            z = weighs[2 * H + h] * (after + back * has[BEFORE * H + h] * faded)
            gets[h] += x
            gets[H + h] += y
            gets[2 * H + h] += z
            total += x + y + z
        value[at] -= total


@njit(cache=True, nogil=True)
def find_all(
    items: I32, numbers: I64, store: Store, rates: F64, knobs: F64, trust: F64, found: Found, best: I32, kept: I64
) -> tuple[int, int]:
    """What follows the last items of B queries, and the items with the greatest sums.

    Args:
        items: see `Portion`.
        numbers: see `Portion`.
        store: see `PairStore.arrays`.
        rates: (H,) half-lives a second.
        knobs: see `transitions_kernels`.
        trust: interpolation weights.
        found: out, see `room_for`.
        best: (B, limit), out: the items with the greatest sums, best first.
        kept: (B,), out: how many.

    Returns:
        How many entries and slots there must be room for; where there is not, nothing else is found.
    """
    spans, tables, known, got, value, rest = found
    B, C, asked, head, others = len(kept), 3 * len(rates), int(knobs[QUERY_WINDOW]), store[0], store[2]
    share, rows, inside = np.zeros((B, asked, C)), np.empty((B, asked), np.int32), np.empty((B, asked), np.bool_)
    of_rows, order, several = np.empty((B, 2), np.int64), np.empty(B * asked, np.int32), 0
    for b in range(B):
        history = items[numbers[b, BEGIN] : numbers[b + 1, BEGIN]]
        m = last_items(history, len(history), numbers[b, SESSION_N], asked, rows[b], inside[b])
        order[several : several + m] = rows[b, :m]
        of_rows[b, 1] = m
        several += m
    _call_heads(order[:several], store)
    room, slots, longest = 0, 0, 0
    for b in range(B):
        of_rows[b, 0] = weigh(
            numbers[b, NOW_MS], rows[b], inside[b], of_rows[b, 1], store, rates, knobs, trust, share[b], rest[b]
        )
        most = 0
        for j in range(of_rows[b, 1]):
            most += head[rows[b, j], LENGTH]
            longest = max(longest, head[rows[b, j], LENGTH])
        spans[b, BEGIN], spans[b, TABLE], spans[b, SLOTS] = room, slots, 16
        while spans[b, SLOTS] < 2 * most:
            spans[b, SLOTS] *= 2
        room += most + 1
        slots += spans[b, SLOTS]
    if room > len(known) or slots > len(tables):
        return room, slots
    tables[:slots] = -1
    got[:room] = np.float32(0.0)
    value[:room] = 0.0
    places, turn = np.empty(longest, np.int32), 0
    _call_row(order[:several], turn, store)
    for b in range(B):
        first, count = spans[b, BEGIN], 0
        table = tables[spans[b, TABLE] : spans[b, TABLE] + spans[b, SLOTS]]
        for j in range(of_rows[b, 1]):
            turn += 1
            _call_row(order[:several], turn, store)
            start, length = head[rows[b, j], OFFSET], head[rows[b, j], LENGTH]
            count = _places(others[start : start + length], table, known[first:], count, places)
            read_row(
                rows[b, j], of_rows[b, 0], share[b], j, store, rates, knobs[BACKWARD], places[:length], first, got,
                value,
            )  # fmt: skip
        spans[b, COUNT] = count
        kept[b] = 0
        for place in least_places(value[first : first + count], best.shape[1]):
            if value[first + place] < 0.0:
                best[b, kept[b]] = known[first + place]
                kept[b] += 1
    return room, slots


@njit(cache=True)
def look_up_all(which: I64, rows: I32, starts: I64, found: Found, mass: F32, rest: F32) -> None:
    """What the columns give rows, (S, 3H) `mass`, and leave to the base, (B, 3H) `rest`; see `Popularity.score_all`."""
    spans, tables, known, got, _, rests = found
    where, places = np.empty(len(rows) + 1, np.int64), np.empty(len(rows) + 1, np.int64)
    whole = np.empty(len(rows), np.float32)
    for b in range(len(which)):
        span, start, stop = spans[which[b]], starts[b], starts[b + 1]
        table = tables[span[TABLE] : span[TABLE] + span[SLOTS]]
        own, given = known[span[BEGIN] :], got[span[BEGIN] :]
        hits, line = 0, whole[: stop - start]
        for m in range(stop - start):
            at = table[slot_in(table, own, rows[start + m])]
            where[hits], places[hits] = m, at
            hits += at >= 0
        for col in range(mass.shape[1]):
            rest[b, col] = rests[which[b], col]
            line[:] = np.float32(0.0)
            for i in range(hits):
                line[where[i]] = given[places[i], col]
            write(line, mass, start, col)


@njit(cache=True)
def bringers(
    now_ms: int, items: I32, session_n: int, rows: I32, store: Store, rates: F64, knobs: F64, trust: F64
) -> I32:
    """The item of the history that gave each row most, over the columns; -1 where none did."""
    head, _, others, last, counts, _, _ = store
    H, back, asked = len(rates), knobs[BACKWARD], int(knobs[QUERY_WINDOW])
    found, inside, share = np.empty(asked, np.int32), np.empty(asked, np.bool_), np.zeros((asked, 3 * H))
    m = last_items(items, len(items), session_n, asked, found, inside)
    now = weigh(now_ms, found, inside, m, store, rates, knobs, trust, share, np.empty(3 * H, np.float32))
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
