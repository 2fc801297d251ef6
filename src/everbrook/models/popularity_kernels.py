"""Numba loops of decayed popularity: read, count, and lists kept in order. Plain arrays in, nothing owned here.

A count is stored as of the last time it was touched, so nothing has to be scanned as time goes by. Two items that are
not touched keep their order for ever, for both fade by the same factor: with `key = log2(count) + time / half-life`,
which time does not change, the best C items of a half-life are kept exactly by looking at the touched item alone.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.models.decay import fade, fade_all
from everbrook.models.live_exp import exp_below
from everbrook.models.portion import NOW_MS
from everbrook.models.prefetch import prefetch
from everbrook.models.runs import write
from everbrook.types import F32, F64, I16, I32, I64

CLOCK, ORIGIN, STARTED, USED = 0, 1, 2, 3
EMPTY = -1
BLOCK = 64  # rows that are looked up before they are computed with; memory is asked for the next ones meanwhile
MULTIPLIER = np.int64(-7046029254386353131)  # 2^64 / golden ratio, odd: Fibonacci hashing


@njit(cache=True)
def place(top_items: I32, top_keys: F64, item: int, key: float) -> None:
    """Put an item whose key has grown into a list in descending order of keys, in place; the last one falls out."""
    p = top_items.shape[0] - 1
    if key <= top_keys[p]:
        return
    found = p
    for j in range(p):
        if top_items[j] == item:
            found = j
            break
    while found > 0 and top_keys[found - 1] < key:
        top_items[found] = top_items[found - 1]
        top_keys[found] = top_keys[found - 1]
        found -= 1
    top_items[found] = item
    top_keys[found] = key


@njit(cache=True)
def touch(counts: F64, last: int, ts: int, weight: float, rates: F64) -> int:
    """Add `weight` at time ts to one line of counts kept as of `last`; gives the new `last`."""
    dt = float(ts - last)
    if dt >= 0:
        for k in range(rates.shape[0]):
            counts[k] = counts[k] * fade(dt * rates[k]) + weight
        return ts
    for k in range(rates.shape[0]):
        counts[k] += weight * fade(-dt * rates[k])
    return last


@njit(cache=True, nogil=True)
def observe_all(
    ts: I64,
    item: I32,
    weight: F32,
    counts: F64,
    last: I64,
    totals: F64,
    clock: I64,
    rates: F64,
    kappa: float,
    top_items: I32,
    top_keys: F64,
    mass: F32,
    rest: F32,
) -> None:
    """Counts over everybody: mass and rest of each event in the first K columns, then learn it."""
    K = rates.shape[0]
    for b in range(ts.shape[0]):
        i = item[b]
        now = ts[b]
        seen = max(now, clock[CLOCK])
        dt = float(seen - last[i])
        since = float(seen - clock[CLOCK])
        for k in range(K):
            share = 1.0 / (totals[k] * fade(since * rates[k]) + kappa)
            mass[b, k] = counts[i, k] * fade(dt * rates[k]) * share
            rest[b, k] = kappa * share
        w = weight[b]
        if not w > 0.0:
            continue
        if clock[STARTED] == 0:
            clock[STARTED], clock[CLOCK], clock[ORIGIN] = 1, now, now
        last[i] = touch(counts[i], last[i] if last[i] else now, now, w, rates)
        clock[CLOCK] = touch(totals, clock[CLOCK], now, w, rates)
        age = float(last[i] - clock[ORIGIN])
        for k in range(K):
            place(top_items[k], top_keys[k], i, math.log2(counts[i, k]) + age * rates[k])


@njit(cache=True)
def score_all(
    numbers: I64, scenarios: I64, rows: I32, starts: I64, counts: F64, last: I64, totals: F64, clock: I64, rates: F64,
    keys: I64, pair_counts: F64, pair_last: I64, pair_totals: F64, total_last: I64, pair_rates: F64, kappa: float,
    mass: F32, rest: F32,
) -> None:  # fmt: skip
    """Shares of the rows of B queries and what is left, over everybody and then within each query's scenario.

    Args:
        numbers: see `Portion`.
        scenarios: (B,)
        rows: (S,)
        starts: (B + 1,) where each query's rows begin.
        counts: over everybody, and so on to `rates`; see `observe_all`.
        last: of each item.
        totals: of all items.
        clock: times of the totals.
        rates: (K,)
        keys: of pairs of scenario and item, and so on to `pair_rates`; see `observe_scenarios`.
        pair_counts: of each pair.
        pair_last: of each pair.
        pair_totals: of each scenario.
        total_last: of each scenario.
        pair_rates: (K',)
        kappa: events' worth of belief in the base.
        mass: (S, K + K'), out.
        rest: (B, K + K'), out.
    """
    K, columns = len(rates), mass.shape[1]
    shares, ages, faded = np.empty(columns), np.empty(BLOCK), np.empty(BLOCK)
    held, line = np.empty((K, BLOCK)), np.zeros(BLOCK, np.float32)
    _call(rows[starts[0] : min(starts[0] + BLOCK, len(rows))], counts, last)
    for b in range(len(scenarios)):
        now, scenario = numbers[b, NOW_MS], scenarios[b]
        seen, start, stop = max(now, clock[CLOCK]), starts[b], starts[b + 1]
        since = float(seen - clock[CLOCK])
        for k in range(K):
            shares[k] = 1.0 / (totals[k] * fade(since * rates[k]) + kappa)
            rest[b, k] = kappa * shares[k]
        for first in range(start, stop, BLOCK):
            n = min(BLOCK, stop - first)
            _call(rows[first + n : min(first + n + BLOCK, len(rows))], counts, last)
            _gather(rows[first : first + n], seen, counts, last, ages, held)
            for k in range(K):
                fade_all(ages[:n], rates[k], faded[:n])
                for m in range(n):
                    line[m] = held[k, m] * faded[m] * shares[k]
                write(line[:n], mass, first, k)
        if scenario >= 0 and scenario < len(pair_totals):
            _score_scenario(
                now, scenario, rows[start:stop], keys, pair_counts, pair_last, pair_totals, total_last, pair_rates,
                kappa, shares, mass[start:stop], rest[b],
            )  # fmt: skip
            continue
        line[:] = np.float32(0.0)
        for k in range(K, columns):
            rest[b, k] = np.nan if scenario < 0 else 1.0
            for first in range(start, stop, BLOCK):
                write(line[: min(BLOCK, stop - first)], mass, first, k)


@njit(cache=True)
def _gather(rows: I32, seen: int, counts: F64, last: I64, ages: F64, held: F64) -> None:
    """Ages and counts, (K, BLOCK), side by side; little is done for a row, so that memory is asked for many at once."""
    for m in range(len(rows)):
        ages[m] = float(seen - last[rows[m]])
    for m in range(len(rows)):
        for k in range(len(held)):
            held[k, m] = counts[rows[m], k]


@njit(cache=True)
def _call(rows: I32, counts: F64, last: I64) -> None:
    """Ask memory for what will be looked up next."""
    flat, K = counts.reshape(-1), counts.shape[1]
    for row in rows:
        prefetch(last, row)
        prefetch(flat, row * K)
        prefetch(flat, row * K + K - 1)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def pool_all(
    now: int, counts: F64, last: I64, totals: F64, clock: I64, rates: F64, kappa: float, weights: F64, out: F32
) -> float:
    """What a pool of the columns over everybody gives the first rows, (M,) `out`; and what it leaves to the base.

    To a relative 1e-5: numbers of 32 bits, column by column over some rows at a time, so that several are computed at
    once.
    """
    K, size = rates.shape[0], 2 * BLOCK
    seen = max(now, clock[CLOCK])
    shares, nats, left = np.empty(K, np.float32), np.empty(K, np.float32), 0.0
    for k in range(K):
        share = weights[k] / (totals[k] * fade(float(seen - clock[CLOCK]) * rates[k]) + kappa)
        shares[k], nats[k] = share, rates[k] * math.log(2.0)
        left += kappa * share
    ages, turned, sums = np.empty(size, np.float32), np.empty((K, size), np.float32), np.empty(size, np.float32)
    for begin in range(0, out.shape[0], size):
        n = min(size, out.shape[0] - begin)
        for i in range(n):
            ages[i] = np.float32(seen - last[begin + i])
            sums[i] = np.float32(0.0)
            for k in range(K):
                turned[k, i] = np.float32(counts[begin + i, k])
        for k in range(K):
            nat, share, column = nats[k], shares[k], turned[k]
            for i in range(n):
                sums[i] += exp_below(max(ages[i] * nat, np.float32(0.0))) * (column[i] * share)
        out[begin : begin + n] = sums[:n]
    return left


@njit(cache=True, nogil=True)
def pool_scenario(
    now: int, scenario: int, keys: I64, counts: F64, last: I64, totals: F64, total_last: I64, rates: F64, kappa: float,
    weights: F64, out: F32,
) -> float:  # fmt: skip
    """The same within one scenario, added to `out`: one way through the table instead of a search for each row."""
    K = rates.shape[0]
    seen = max(now, total_last[scenario])
    shares, left = np.empty(K), 0.0
    for k in range(K):
        faded = totals[scenario, k] * fade(float(seen - total_last[scenario]) * rates[k])
        shares[k] = weights[k] / (faded + kappa)
        left += kappa * shares[k]
    for slot in range(keys.shape[0]):
        key = keys[slot]
        item = key & 0xFFFFFFFF
        if key == EMPTY or key >> 32 != scenario or item >= out.shape[0]:
            continue
        dt, p = float(seen - last[slot]), 0.0
        for k in range(K):
            p += counts[slot, k] * fade(dt * rates[k]) * shares[k]
        out[item] += np.float32(p)
    return left


@njit(cache=True)
def slot_of(keys: I64, key: int) -> int:
    """Where a pair stands, or the empty place where it would."""
    mask = keys.shape[0] - 1
    slot = ((key * MULTIPLIER) >> 24) & mask
    while keys[slot] != EMPTY and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True)
def pair_key(scenario: int, item: int) -> int:
    """One number for a scenario and an item."""
    return int((np.int64(scenario) << 32) | np.int64(item))


@njit(cache=True)
def most(scenario: I16) -> int:
    """The greatest row of a scenario; -1 where no event has one."""
    found = -1
    for row in scenario:
        found = max(found, row)
    return found


@njit(cache=True)
def observe_scenarios(
    start: int,
    ts: I64,
    item: I32,
    scenario: I16,
    weight: F32,
    keys: I64,
    counts: F64,
    last: I64,
    totals: F64,
    total_last: I64,
    clock: I64,
    rates: F64,
    kappa: float,
    top_items: I32,
    top_keys: F64,
    mass: F32,
    rest: F32,
) -> int:
    """The same within scenarios, from event `start` on; stops where the table needs room and gives that event."""
    K = rates.shape[0]
    at = mass.shape[1] - K
    room = keys.shape[0] * 6 // 10
    for b in range(start, ts.shape[0]):
        s = scenario[b]
        if s < 0:
            for k in range(K):
                mass[b, at + k] = 0.0
                rest[b, at + k] = np.nan
            continue
        if clock[USED] >= room:
            return b
        i = item[b]
        now = ts[b]
        slot = slot_of(keys, pair_key(s, i))
        known = keys[slot] != EMPTY
        seen = max(now, total_last[s])
        since = float(seen - total_last[s])
        dt = float(seen - last[slot])
        for k in range(K):
            share = 1.0 / (totals[s, k] * fade(since * rates[k]) + kappa)
            mass[b, at + k] = counts[slot, k] * fade(dt * rates[k]) * share if known else 0.0
            rest[b, at + k] = kappa * share
        w = weight[b]
        if not w > 0.0:
            continue
        if clock[STARTED] == 0:
            clock[STARTED], clock[ORIGIN] = 1, now
        if not known:
            keys[slot] = pair_key(s, i)
            last[slot] = now
            clock[USED] += 1
        last[slot] = touch(counts[slot], last[slot], now, w, rates)
        total_last[s] = touch(totals[s], total_last[s] if total_last[s] else now, now, w, rates)
        age = float(last[slot] - clock[ORIGIN])
        for k in range(K):
            place(top_items[s, k], top_keys[s, k], i, math.log2(counts[slot, k]) + age * rates[k])
    return ts.shape[0]


@njit(cache=True)
def _score_scenario(
    now: int, scenario: int, rows: I32, keys: I64, counts: F64, last: I64, totals: F64, total_last: I64, rates: F64,
    kappa: float, shares: F64, mass: F32, rest: F32,
) -> None:  # fmt: skip
    """Shares of the given rows and rest within one scenario, in the last columns; `shares` is scratch."""
    K = rates.shape[0]
    at = mass.shape[1] - K
    seen = max(now, total_last[scenario])
    since = float(seen - total_last[scenario])
    for k in range(K):
        shares[k] = 1.0 / (totals[scenario, k] * fade(since * rates[k]) + kappa)
        rest[at + k] = kappa * shares[k]
    for m in range(rows.shape[0]):
        slot = slot_of(keys, pair_key(scenario, rows[m]))
        known = keys[slot] != EMPTY
        dt = float(seen - last[slot])
        for k in range(K):
            mass[m, at + k] = counts[slot, k] * fade(dt * rates[k]) * shares[k] if known else 0.0


@njit(cache=True)
def move_pairs(
    keys: I64,
    counts: F64,
    last: I64,
    totals: F64,
    total_last: I64,
    rates: F64,
    floor: float,
    new_keys: I64,
    new_counts: F64,
    new_last: I64,
) -> int:
    """Copy the pairs whose share of their scenario is at least `floor` (the best of their columns); gives how many.

    What is left behind is taken from its scenario's totals.
    """
    used = 0
    for slot in range(keys.shape[0]):
        if keys[slot] == EMPTY:
            continue
        if share_of(slot, keys, counts, last, totals, total_last, rates) >= floor:
            to = slot_of(new_keys, keys[slot])
            new_keys[to] = keys[slot]
            new_counts[to] = counts[slot]
            new_last[to] = last[slot]
            used += 1
        else:
            s = keys[slot] >> 32
            dt = float(total_last[s] - last[slot])
            for k in range(rates.shape[0]):
                totals[s, k] = max(0.0, totals[s, k] - counts[slot, k] * fade(dt * rates[k]))
    return used


@njit(cache=True)
def share_of(slot: int, keys: I64, counts: F64, last: I64, totals: F64, total_last: I64, rates: F64) -> float:
    """A pair's share of its scenario, in the column where it is greatest."""
    s = keys[slot] >> 32
    dt = float(total_last[s] - last[slot])
    best = 0.0
    for k in range(rates.shape[0]):
        if totals[s, k] > 0.0:
            best = max(best, counts[slot, k] * fade(dt * rates[k]) / totals[s, k])
    return best


@njit(cache=True)
def weakest_share(
    keys: I64, counts: F64, last: I64, totals: F64, total_last: I64, rates: F64, quantile: float
) -> float:
    """The share below which that part of the pairs lies."""
    shares = np.empty(keys.shape[0])
    n = 0
    for slot in range(keys.shape[0]):
        if keys[slot] != EMPTY:
            shares[n] = share_of(slot, keys, counts, last, totals, total_last, rates)
            n += 1
    return np.sort(shares[:n])[int(n * quantile)] if n else 0.0


@njit(cache=True)
def merge_lists(lists: I32, limit: int) -> I32:
    """Take turns through the rows of `lists` (-1 ends one), best first, each item once; at most `limit`."""
    K, C = lists.shape
    size = 16
    while size < 2 * limit:
        size *= 2
    table = np.full(size, -1, np.int32)
    out = np.empty(limit, np.int32)
    n = 0
    for c in range(C):
        for k in range(K):
            item = lists[k, c]
            if item < 0:
                continue
            slot = (item * 40503) & (size - 1)
            while table[slot] != -1 and table[slot] != item:
                slot = (slot + 1) & (size - 1)
            if table[slot] == item:
                continue
            if n == limit:
                return out
            table[slot] = item
            out[n] = item
            n += 1
    return out[:n]
