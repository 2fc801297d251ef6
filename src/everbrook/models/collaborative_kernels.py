"""The inner loops of item-based filtering: which items share users, as hashed rows in one pool. Plain arrays only.

Counts fade by growing what is added instead of shrinking what is there: an event at time t adds
2^((t - t0) / half-life), and all is divided again when that becomes large. A full row drops its weaker half.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.models.neighbours_kernels import kth_smallest
from everbrook.types import F32, F64, I32, I64

FIRST_ROOM = 8
CLASSES = 16
EMPTY = -1
TOO_LARGE = 40.0  # doublings after which all counts are divided again

# Places of `at`: entries of the pool in use, then the first free block of each size, in units of FIRST_ROOM.
USED = 0
FREE = 1
# Places of `clock`: whether it runs, the time at which an event adds 1, the latest time; in ms.
STARTED, ORIGIN_MS, LATEST_MS = 0, 1, 2
# Places of `returns`: how often the next item is one that its user already has, and out of how many events.
SHARE, EVENTS = 0, 1
MEMORY = 5000.0  # events after which that share forgets as fast as it learns


@njit(cache=True)
def room_class(room: int) -> int:
    """Which list of free blocks holds blocks of this size, or the next larger."""
    found = 0
    while (FIRST_ROOM << found) < room:
        found += 1
    return found


@njit(cache=True)
def first_place(offset: int, room: int, key: int) -> int:
    """Where a key of a row is looked for first."""
    return int(offset + (np.int64((np.uint64(key) * np.uint64(11400714819323198485)) >> np.uint64(40)) & (room - 1)))


@njit(cache=True)
def place_of(keys: I32, offset: int, room: int, key: int) -> int:
    """Where the key stands in its row, or where it would be put."""
    at = np.int64((np.uint64(key) * np.uint64(11400714819323198485)) >> np.uint64(40)) & (room - 1)
    while keys[offset + at] != EMPTY and keys[offset + at] != key:
        at = (at + 1) & (room - 1)
    return int(offset + at)


@njit(cache=True)
def refill(
    keys: I32, weights: F32, offset: int, room: int, old_keys: I32, old_weights: F32, floor: float, most: int
) -> int:
    """Clear a block and put in the entries above the floor, and those at it up to `most`; returns how many."""
    keys[offset : offset + room] = EMPTY
    kept = 0
    for above in (True, False):
        for j in range(len(old_keys)):
            wanted = old_weights[j] > floor if above else old_weights[j] == floor and kept < most
            if old_keys[j] != EMPTY and wanted:
                e = place_of(keys, offset, room, old_keys[j])
                keys[e] = old_keys[j]
                weights[e] = old_weights[j]
                kept += 1
    return kept


@njit(cache=True)
def make_room(row: int, at: I64, offsets: I64, rooms: I32, fills: I32, keys: I32, weights: F32, limit: int) -> None:
    """Double a row's block, or at the limit drop the weaker half of its entries."""
    room = rooms[row]
    old_keys = keys[offsets[row] : offsets[row] + room].copy()
    old_weights = weights[offsets[row] : offsets[row] + room].copy()
    if room >= limit:
        kept = np.empty(fills[row], np.float64)
        n = 0
        for j in range(room):
            if old_keys[j] != EMPTY:
                kept[n] = old_weights[j]
                n += 1
        floor = kth_smallest(kept, n // 2)
        fills[row] = refill(keys, weights, offsets[row], room, old_keys, old_weights, floor, n // 2)
        return
    wider = max(FIRST_ROOM, 2 * room)
    c = room_class(wider)
    block = at[FREE + c]
    if block != EMPTY:
        at[FREE + c] = keys[block]
        if at[FREE + c] != EMPTY:
            at[FREE + c] *= FIRST_ROOM
    else:
        block = at[USED]
        at[USED] += wider
    if room > 0:
        c = room_class(room)
        keys[offsets[row]] = at[FREE + c] // FIRST_ROOM if at[FREE + c] != EMPTY else EMPTY
        at[FREE + c] = offsets[row]
    offsets[row] = block
    rooms[row] = wider
    fills[row] = refill(keys, weights, block, wider, old_keys, old_weights, -1.0, 0)


@njit(cache=True)
def add(
    row: int,
    key: int,
    weight: float,
    at: I64,
    offsets: I64,
    rooms: I32,
    fills: I32,
    keys: I32,
    weights: F32,
    limit: int,
) -> None:
    """Strengthen an entry of a row."""
    if rooms[row] == 0:
        make_room(row, at, offsets, rooms, fills, keys, weights, limit)
    e = place_of(keys, offsets[row], rooms[row], key)
    if keys[e] == EMPTY:
        if 4 * (fills[row] + 1) > 3 * rooms[row]:
            make_room(row, at, offsets, rooms, fills, keys, weights, limit)
            e = place_of(keys, offsets[row], rooms[row], key)
        keys[e] = key
        weights[e] = np.float32(0)
        fills[row] += 1
    weights[e] += np.float32(weight)


@njit(cache=True)
def unit(clock: I64, ts_ms: int, half_life_ms: float, counts: F64, weights: F32) -> float:
    """What an event adds now; divides all counts where that has become large."""
    if clock[STARTED] == 0:
        clock[STARTED] = 1
        clock[ORIGIN_MS] = ts_ms
        clock[LATEST_MS] = ts_ms
    clock[LATEST_MS] = max(clock[LATEST_MS], ts_ms)
    if half_life_ms <= 0:
        return 1.0
    doublings = (clock[LATEST_MS] - clock[ORIGIN_MS]) / half_life_ms
    if doublings > TOO_LARGE:
        down = 2.0 ** -min(doublings, 1000.0)
        for j in range(len(counts)):
            counts[j] *= down
        for j in range(len(weights)):
            weights[j] = np.float32(weights[j] * down)
        clock[ORIGIN_MS] = clock[LATEST_MS]
        return 1.0
    return float(2.0**doublings)


@njit(cache=True, nogil=True)
def learn(
    start: int, ts_ms: I64, items: I32, signal: F32, n: I32, history: I32, window: int, decay: float,
    half_life_ms: float, limit: int, clock: I64, at: I64, offsets: I64, rooms: I32, fills: I32, keys: I32, weights: F32,
    counts: F64, returns: F64,
) -> int:  # fmt: skip
    """Pair each new item with its user's latest ones, both ways; stops where the pool needs room, at that event."""
    found, held, places = np.empty(window, np.int32), np.empty(window, np.int32), np.empty(window, np.int64)
    for b in range(start, len(items)):
        if at[USED] + 4 * limit * (window + 1) > len(keys):
            return b
        if signal[b] <= 0:
            continue
        item = items[b]
        step = unit(clock, ts_ms[b], half_life_ms, counts, weights)
        counts[item] += step
        if n[b] > 0:
            again = 0.0
            for j in range(n[b]):
                if history[b, j] == item:
                    again = 1.0
            returns[EVENTS] = min(MEMORY, returns[EVENTS] + 1.0)
            returns[SHARE] += (again - returns[SHARE]) / returns[EVENTS]
        m = 0
        for j in range(n[b] - 1, -1, -1):
            if m == window:
                break
            other = history[b, j]
            fresh = 0 <= other < len(counts) and other != item
            for p in range(m):
                fresh = fresh and found[p] != other
            if fresh:
                found[m] = other
                m += 1
        for p in range(m):  # nothing is decided here, so that memory brings what all rows hold at the same time
            row = found[p]
            places[p] = first_place(offsets[row], rooms[row], item) if rooms[row] > 0 else 0
            held[p] = keys[places[p]]
        for p in range(m):
            if held[p] == item and rooms[found[p]] > 0:
                weights[places[p]] += np.float32(step)
            else:
                add(found[p], item, step, at, offsets, rooms, fills, keys, weights, limit)
            add(item, found[p], step, at, offsets, rooms, fills, keys, weights, limit)
            step *= decay
    return len(items)


@njit(cache=True)
def brought(
    recent: I32, rows: I32, decay: float, shrinkage: float, unit_now: float,
    offsets: I64, rooms: I32, keys: I32, weights: F32, counts: F64, out: I32,
) -> None:  # fmt: skip
    """For each row, the recent item that is nearest to it, by its place."""
    for m in range(len(rows)):
        best = 0.0
        pull = 1.0
        out[m] = EMPTY
        for y in recent:
            if rooms[y] > 0 and 0 <= rows[m] < len(counts):
                e = place_of(keys, offsets[y], rooms[y], rows[m])
                if keys[e] == rows[m]:
                    alike = pull * weights[e] / (math.sqrt(counts[y] * counts[rows[m]]) + shrinkage * unit_now + 1e-30)
                    if alike > best:
                        best = alike
                        out[m] = y
            pull *= decay
