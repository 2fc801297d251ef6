"""The inner loops of asking neighbours: their votes, and whose item brought which. Plain arrays only.

After VMIS-kNN (Kersbergen et al., SIGMOD 2022: latest sessions of each item, linear decay by place, votes weighted by
rarity), with the distance to the shared item as in VSTAN (Garg et al., SIGIR 2019).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.neighbours_kernels import NEXT_GROUP, NONE, alive, kth_smallest
from everbrook.models.powers import raise_all
from everbrook.types import F32, F64, I32, I64

# Places in the vector of float settings.
MATCH_DECAY, DISTANCE_DECAY, BEFORE_FACTOR, RARITY_POWER, SIZE_POWER, SHARPNESS, KAPPA, LEAST_REST = range(8)

FAINT = 0.005  # votes below this part of the best are dropped
FADED = 0.001  # of a neighbour's items those count that are so near to the shared one that this much is left
COUNTS = 1024  # groups of an item up to which rarity is kept during a query: most items have few
LENGTHS = 1024  # of groups up to which what similarity is divided by is kept during a query
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
def slot_of(group: int, newest: int, slots: int) -> int:
    """group % slots for a group that is alive, without a division; see `newest_slots`."""
    return group - newest if group >= newest else group - newest + slots


@njit(cache=True)
def newest_slots(at: I64, slots: int) -> int:
    """The group that has slot 0 in the newest round of slots."""
    return (max(at[NEXT_GROUP], 1) - 1) // slots * slots


@njit(cache=True)
def gather(
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, lengths: I32,
    recent: I32, own: int, sample: int, floats: F64, near: F32, first: I32, touched: I64,
) -> int:  # fmt: skip
    """Similarity of every group that shares an item, by the place of the item; returns how many were touched."""
    slots, newest = len(lengths), newest_slots(at, len(lengths))
    found = 0
    for p in range(len(recent)):
        pull = np.float32((len(recent) - p) / len(recent))
        item = recent[p]
        size = sizes[item]
        taken = min(counts[item], size, sample)
        entry = (counts[item] - 1) % size if taken else 0
        for _ in range(taken):
            group = pool[blocks[item] + entry]
            entry = entry - 1 if entry else size - 1
            if group == own or not alive(at, group, slots):
                continue
            slot = slot_of(group, newest, slots)
            if first[slot] == NONE:
                first[slot] = p
                near[slot] = np.float32(0)
                touched[found] = group
                found += 1
            near[slot] += pull
    if floats[SIZE_POWER] > 0:
        shrunk = np.zeros(LENGTHS, np.float32)
        for j in range(found):
            slot = slot_of(touched[j], newest, slots)
            length = max(1, lengths[slot])
            if length >= LENGTHS:
                near[slot] /= np.float32(length ** floats[SIZE_POWER])
            else:
                if shrunk[length] == 0:
                    shrunk[length] = np.float32(length ** floats[SIZE_POWER])
                near[slot] /= shrunk[length]
    return found


@njit(cache=True)
def nearest(at: I64, near: F32, touched: I64, found: int, slots: int, k: int) -> I64:
    """The k most similar of the touched groups; among equals the newer."""
    if found <= k:
        return touched[:found].copy()
    keys, newest = np.empty(found, np.float64), newest_slots(at, slots)
    oldest, part = at[NEXT_GROUP] - slots, 1e-6 / slots
    for j in range(found):
        keys[j] = np.float64(near[slot_of(touched[j], newest, slots)]) + part * (touched[j] - oldest)
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
    column = (length - 1) % width
    for q in range(length - 1, low - 1, -1):
        if members[slot, column] == item:
            return q
        column = column - 1 if column else width - 1
    return length


@njit(cache=True)
def vote(
    at: I64, members: I32, lengths: I32, recent: I32, best: I64, near: F32, first: I32, floats: F64, votes: F32,
    items: I32,
) -> tuple[int, float]:  # fmt: skip
    """Add up what the neighbours have; `votes` must be zeros. Returns how many items, and the neighbours' weight."""
    slots, width = members.shape
    fading, newest = floats[DISTANCE_DECAY] ** np.arange(width + 1), newest_slots(at, slots)
    reach = np.searchsorted(-fading, -FADED)  # places
    found = 0
    total = 0.0
    for group in best:
        slot = slot_of(group, newest, slots)
        place = first[slot]
        weight = near[slot] * max(0.0, 1.0 - floats[MATCH_DECAY] * place)
        if weight <= 0:
            continue
        total += weight
        length = lengths[slot]
        low = max(0, length - width)
        shared = shared_place(members, slot, low, length, recent[place])
        first_q = max(low, shared - reach)
        column = first_q % width
        for q in range(first_q, min(length, shared + reach)):
            item = members[slot, column]
            column = column + 1 if column + 1 < width else 0
            part = weight * fading[abs(q - shared)]
            if q < shared:
                part *= floats[BEFORE_FACTOR]
            if votes[item] == 0:
                items[found] = item
                found += 1
            votes[item] += np.float32(part + 1e-30)  # never 0, which would stand for not yet found
    return found, total


@njit(cache=True, nogil=True)
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
    newest = newest_slots(at, slots)
    found = gather(at, pool, blocks, sizes, counts, lengths, recent, own, sample, floats, near, first, touched)
    best = nearest(at, near, touched, found, slots, k)
    items = np.empty(len(best) * width, np.int32)
    C, weight = vote(at, members, lengths, recent, best, near, first, floats, votes, items)
    for j in range(found):
        first[slot_of(touched[j], newest, slots)] = NONE
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
    parts = np.empty(C, np.float32)
    for c in range(C):
        parts[c] = mass[c, 1] / peak
    raise_all(parts, floats[SHARPNESS])
    for c in range(C):
        mass[c, 0] = 0.0 if place[items[c]] else parts[c]
        mass[c, 1] = parts[c]
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
