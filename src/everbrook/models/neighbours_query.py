"""The inner loops of asking neighbours: their votes, and whose item brought which. Plain arrays only.

After VMIS-kNN (Kersbergen et al., SIGMOD 2022: latest sessions of each item, linear decay by place, votes weighted by
rarity), with the distance to the shared item as in VSTAN (Garg et al., SIGIR 2019).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.neighbours_kernels import NEXT_GROUP, NONE, alive, kth_smallest
from everbrook.types import F32, F64, I32, I64

# Places in the vector of float settings.
MATCH_DECAY, DISTANCE_DECAY, BEFORE_FACTOR, RARITY_POWER, SIZE_POWER, SHARPNESS, KAPPA, LEAST_REST = range(8)

FAINT = 0.005  # votes below this part of the best are dropped
COUNTS = 1024  # groups of an item up to which rarity is kept during a query: most items have few
COLUMNS = 2  # without and with the asker's own items


@njit(cache=True)
def latest(items: I32, known: int, limit: int) -> I32:
    """Distinct item rows below `known`, newest first."""
    found = np.empty(limit, np.int32)
    n = 0
    for j in range(len(items) - 1, -1, -1):
        if n == limit:
            break
        fresh = 0 <= items[j] < known
        for p in range(n):
            fresh = fresh and found[p] != items[j]
        if fresh:
            found[n] = items[j]
            n += 1
    return found[:n]


@njit(cache=True)
def gather(
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, lengths: I32,
    recent: I32, own: int, sample: int, floats: F64, near: F32, first: I32, touched: I64,
) -> int:  # fmt: skip
    """Similarity of every group that shares an item, by the place of the item; returns how many were touched."""
    slots = len(lengths)
    found = 0
    for p in range(len(recent)):
        pull = np.float32((len(recent) - p) / len(recent))
        item = recent[p]
        size = sizes[item]
        for back in range(min(counts[item], size, sample)):
            group = pool[blocks[item] + (counts[item] - 1 - back) % size]
            if group == own or not alive(at, group, slots):
                continue
            slot = group % slots
            if first[slot] == NONE:
                first[slot] = p
                near[slot] = np.float32(0)
                touched[found] = group
                found += 1
            near[slot] += pull
    if floats[SIZE_POWER] > 0:
        for j in range(found):
            slot = touched[j] % slots
            near[slot] /= np.float32(max(1, lengths[slot]) ** floats[SIZE_POWER])
    return found


@njit(cache=True)
def nearest(at: I64, near: F32, touched: I64, found: int, slots: int, k: int) -> I64:
    """The k most similar of the touched groups; among equals the newer."""
    if found <= k:
        return touched[:found].copy()
    keys = np.empty(found, np.float64)
    oldest = at[NEXT_GROUP] - slots
    for j in range(found):
        keys[j] = np.float64(near[touched[j] % slots]) + 1e-6 * ((touched[j] - oldest) / slots)
    floor = kth_smallest(keys.copy(), found - k)
    best = np.empty(k, np.int64)
    kept = 0
    for j in range(found):
        if keys[j] >= floor and kept < k:
            best[kept] = touched[j]
            kept += 1
    return best[:kept]


@njit(cache=True)
def shared_place(members: I32, slot: int, low: int, length: int, item: int) -> int:
    """Where in the group the item stands; its end where the item was pushed out."""
    width = members.shape[1]
    for q in range(length - 1, low - 1, -1):
        if members[slot, q % width] == item:
            return q
    return length


@njit(cache=True)
def vote(
    members: I32, lengths: I32, recent: I32, best: I64, near: F32, first: I32, floats: F64, votes: F32, items: I32
) -> tuple[int, float]:
    """Add up what the neighbours have; `votes` must be zeros. Returns how many items, and the neighbours' weight."""
    slots, width = members.shape
    fading = floats[DISTANCE_DECAY] ** np.arange(width + 1)
    found = 0
    total = 0.0
    for group in best:
        slot = group % slots
        place = first[slot]
        weight = near[slot] * max(0.0, 1.0 - floats[MATCH_DECAY] * place)
        if weight <= 0:
            continue
        total += weight
        length = lengths[slot]
        low = max(0, length - width)
        shared = shared_place(members, slot, low, length, recent[place])
        for q in range(low, length):
            item = members[slot, q % width]
            part = weight * fading[abs(q - shared)]
            if q < shared:
                part *= floats[BEFORE_FACTOR]
            if votes[item] == 0:
                items[found] = item
                found += 1
            votes[item] += np.float32(part + 1e-30)  # never 0, which would stand for not yet found
    return found, total


@njit(cache=True)
def ask(
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, members: I32, lengths: I32,
    near: F32, first: I32, touched: I64, votes: F32, place: I32,
    recent: I32, mine: I32, own: int, sample: int, k: int, floats: F64,
) -> tuple[I32, F32, F32]:  # fmt: skip
    """What the neighbours say to somebody with `recent` items.

    Returns:
        (C,) items, (C, 2) their probabilities without and with `mine`, and (2,) what is left to the base.
    """
    slots, width = members.shape
    found = gather(at, pool, blocks, sizes, counts, lengths, recent, own, sample, floats, near, first, touched)
    best = nearest(at, near, touched, found, slots, k)
    items = np.empty(len(best) * width, np.int32)
    C, weight = vote(members, lengths, recent, best, near, first, floats, votes, items)
    for j in range(found):
        first[touched[j] % slots] = NONE
    mass = np.empty((C, COLUMNS), np.float32)
    peak, known = 0.0, np.zeros(COUNTS)
    rarest = np.inf if floats[RARITY_POWER] < 0.0 else 1.000001 * np.log(1.0 + at[NEXT_GROUP]) ** floats[RARITY_POWER]
    for c in range(C):
        item = items[c]
        mass[c, 1] = -1.0  # for what cannot but be faint
        if votes[item] * rarest >= FAINT * peak:
            taken = counts[item]
            rarity = known[taken] if taken < COUNTS else 0.0
            if rarity == 0.0:
                rarity = np.log(1.0 + at[NEXT_GROUP] / taken) ** floats[RARITY_POWER]
                if taken < COUNTS:
                    known[taken] = rarity
            mass[c, 1] = votes[item] * rarity
        votes[item] = 0
        peak = max(peak, mass[c, 1])
    kept = 0
    for c in range(C):  # the faint tail costs more than it brings
        if mass[c, 1] >= FAINT * peak:
            items[kept] = items[c]
            mass[kept, 1] = mass[c, 1]
            kept += 1
    C = kept
    mass = mass[:C]
    mark(mine, place, 1)
    totals = np.zeros(COLUMNS)
    for c in range(C):
        part = (mass[c, 1] / peak) ** floats[SHARPNESS]
        mass[c, 0] = 0.0 if place[items[c]] else part
        mass[c, 1] = part
        totals[0] += mass[c, 0]
        totals[1] += mass[c, 1]
    mark(mine, place, 0)
    rest = np.full(COLUMNS, np.nan, np.float32)
    left = floats[LEAST_REST] + (1.0 - floats[LEAST_REST]) * floats[KAPPA] / (floats[KAPPA] + weight + 1e-30)
    for column in range(COLUMNS):
        if totals[column] > 0:
            rest[column] = left
            for c in range(C):
                mass[c, column] *= (1.0 - left) / totals[column]
    return items[:C], mass, rest


@njit(cache=True)
def mark(items: I32, place: I32, value: int) -> None:
    """Write a value at the places of items."""
    for item in items:
        if 0 <= item < len(place):
            place[item] = value


@njit(cache=True)
def look_up(items: I32, found: F32, rows: I32, place: I32, mass: F32) -> None:
    """Spread what was found over the rows that are asked for; `place` must be zeros, and is so again afterwards."""
    for c in range(len(items)):
        place[items[c]] = c + 1
    for m in range(len(rows)):
        c = place[rows[m]] - 1 if 0 <= rows[m] < len(place) else -1
        for column in range(mass.shape[1]):
            mass[m, column] = found[c, column] if c >= 0 else 0.0
    for c in range(len(items)):
        place[items[c]] = 0


@njit(cache=True)
def brought(
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, members: I32, lengths: I32,
    near: F32, first: I32, touched: I64,
    recent: I32, own: int, sample: int, k: int, floats: F64, rows: I32, place: I32, out: I32,
) -> None:  # fmt: skip
    """For each row, the recent item whose groups among the nearest hold it most, by the place of the item."""
    slots, width = members.shape
    found = gather(at, pool, blocks, sizes, counts, lengths, recent, own, sample, floats, near, first, touched)
    best = nearest(at, near, touched, found, slots, k)
    for j in range(found):
        first[touched[j] % slots] = NONE
    for m in range(len(rows)):
        if 0 <= rows[m] < len(place):
            place[rows[m]] = m + 1
    credit = np.zeros((len(rows), len(recent)), np.float32)
    has = np.zeros(len(recent), np.bool_)
    for group in best:
        slot = group % slots
        length = lengths[slot]
        low = max(0, length - width)
        for p in range(len(recent)):
            has[p] = shared_place(members, slot, low, length, recent[p]) < length
        for q in range(low, length):
            m = place[members[slot, q % width]] - 1
            if m >= 0:
                for p in range(len(recent)):
                    if has[p]:
                        credit[m, p] += np.float32((len(recent) - p) / len(recent))
    for m in range(len(rows)):
        if not 0 <= rows[m] < len(place):
            out[m] = NONE
            continue
        first_m = place[rows[m]] - 1  # of repeated rows, the last holds the credit
        top = np.argmax(credit[first_m]) if len(recent) else 0
        out[m] = recent[top] if len(recent) and credit[first_m, top] > 0 else NONE
    for m in range(len(rows)):
        if 0 <= rows[m] < len(place):
            place[rows[m]] = 0
