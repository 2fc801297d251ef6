"""The inner loops of hearing neighbours: which of their items count, and adding up the votes. Plain arrays only.

Items get numbers in the order in which they are heard, so that votes stand in short arrays. `place` says which number
an item has in the query at hand: what is less than the query's `base` is of an earlier one, so that nothing has to be
cleared. How many groups took the item stands beside it, for both are wanted of the same items.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.neighbours_kernels import NEXT_GROUP
from everbrook.models.prefetch import prefetch
from everbrook.types import F32, F64, I32, I64

FAINT = 0.005  # votes below this part of the best are dropped
COUNTS = 1024  # groups of an item up to which rarity is kept: most items have few
RUNS = 6  # whose items are asked for ahead
LINES = 8  # of a ring or a row that are asked for ahead; what reads on asks for the others by itself


@njit(cache=True)
def shared_place(members: I32, row: int, held: int, item: int) -> int:
    """At which column of its row of members a group holds an item; NONE where it was pushed out."""
    place = np.int32(0)
    for q in range(held):
        place += np.int32(members[row + q] == item) * np.int32(q + 1)  # at most one is the same
    return int(place) - 1


@njit(cache=True)
def listen(
    members: I32, width: int, lengths: I32, recent: I32, groups: I32, near: F32, first: I32, match_decay: float,
    reach: int, begins: I64, sizes: I32, leads: I32, weights: F32,
) -> tuple[int, float]:  # fmt: skip
    """Which runs of the neighbours' items are heard; returns how many, and the neighbours' weight.

    Args:
        members: (S * W,) items of groups.
        width: W, how many are kept of a group.
        lengths: (S,) of groups.
        recent: (L,) the asker's items.
        groups: (G,) the neighbours' slots.
        near: (G,) their similarity.
        first: (G,) the place of the newest item that is shared.
        match_decay: what a neighbour's weight loses for each such place.
        reach: R, how far from the shared item is heard.
        begins: (2 G,) out: where in `members` each run begins.
        sizes: (2 G,) out: how long it is.
        leads: (2 G,) out: how far its first item stands from R places before the shared one.
        weights: (2 G,) out: of its neighbour.
    """
    total, n = 0.0, 0
    for slot in groups:
        for line in range(min(LINES, (min(lengths[slot], width) + 15) // 16)):
            prefetch(members, slot * width + 16 * line)
    for j in range(len(groups)):
        weight = near[j] * max(0.0, 1.0 - match_decay * first[j])
        if weight <= 0:
            continue
        total += weight
        length, row = lengths[groups[j]], groups[j] * width
        held = min(length, width)
        oldest = length % width if length > width else 0
        shared = shared_place(members, row, held, recent[first[j]])
        shared = held if shared < 0 else (shared - oldest if shared >= oldest else shared - oldest + width)
        low, high = max(0, shared - reach), min(held, shared + reach)
        split = max(low, min(high, width - oldest))  # from here on the row begins again
        for start, stop, shift in ((low, split, row + oldest), (split, high, row + oldest - width)):
            begins[n], sizes[n], leads[n], weights[n] = shift + start, stop - start, start - shared + reach, weight
            n += int(stop > start)
    return n, total


@njit(cache=True)
def hear(
    members: I32, around: F32, begins: I64, sizes: I32, leads: I32, weights: F32, runs: int, place: I32, base: int,
    named: int, names: I32, taken: I32, votes: F32,
) -> int:  # fmt: skip
    """Number the items of the runs and add up their votes; returns how many have a number.

    Args:
        members: as in `listen`.
        around: (2 R,) weight of what stands R places before the shared item, R - 1 before it and so on.
        begins: and the next four: the runs, as `listen` left them.
        place: (N, 2) flat: `base` and its number where an item has one, and how many groups took it.
        base: of this query.
        named: how many items have a number already.
        names: (C,) in, out: the items by number.
        taken: (C,) in, out: how many groups took them.
        votes: (C,) out.
    """
    start, so_far = np.uint32(base), np.uint32(named)  # what cannot be negative is read faster
    votes[:named] = 0.0
    for run in range(-RUNS, runs):
        if run + RUNS < runs:
            begin = begins[run + RUNS]
            for item in members[begin : begin + sizes[run + RUNS]]:
                prefetch(place, 2 * item)
        if run < 0:
            continue
        items = members[begins[run] : begins[run] + sizes[run]]
        by, weight = around[leads[run] : leads[run] + sizes[run]], weights[run]
        for q in range(len(items)):  # without branches, for nobody can foretell them
            item = np.uint32(items[q])
            at = np.uint64(item) * np.uint64(2)
            known = np.uint32(place[at])
            fresh = known < start
            its = np.uint32(start + so_far) if fresh else known
            place[at], names[so_far], taken[so_far] = its, item, place[at + np.uint64(1)]
            votes[so_far] = np.float32(0)  # where nothing stands yet
            votes[np.uint32(its - start)] += weight * by[q] + np.float32(1e-30)  # never 0: who is heard has a vote
            so_far = np.uint32(so_far + np.uint32(fresh))
    return int(so_far)


@njit(cache=True)
def number(heard: I32, place: I32, base: int, named: int, names: I32, taken: I32) -> int:
    """Give items numbers where they have none; returns how many have one.

    Args:
        heard: (V,) items; their numbers are written over them.
        place: and what follows: see `hear`.
    """
    start, so_far = np.uint32(base), np.uint32(named)  # what cannot be negative is read faster
    for j in range(len(heard)):  # without branches, for nobody can foretell them
        item = np.uint32(heard[j])
        at = np.uint64(item) * np.uint64(2)
        known = np.uint32(place[at])
        fresh = known < start
        its = np.uint32(start + so_far) if fresh else known
        place[at], names[so_far], taken[so_far] = its, item, place[at + np.uint64(1)]
        so_far = np.uint32(so_far + np.uint32(fresh))
        heard[j] = np.uint32(its - start)
    return int(so_far)


@njit(cache=True)
def add_up(numbers: I32, parts: F32, votes: F32) -> None:
    """Add up votes by number: (V,) numbers, (V,) their votes, and (C,) out."""
    votes[:] = 0.0
    for j in range(len(numbers)):
        votes[np.uint32(numbers[j])] += parts[j]


@njit(cache=True)
def unfaint(
    at: I64, rarity_power: float, rarities: F64, taken: I32, votes: F32, named: int, among: I32, parts: F32
) -> int:
    """Which votes, weighed by rarity, are more than a faint part of the best; returns how many.

    Args:
        at: of the store.
        rarity_power: power of the logarithm of rarity.
        rarities: (1 + COUNTS,) kept between queries: of how many groups in all, and the rarity of each count below.
        taken: (C,) how many groups took each item.
        votes: (C,) not 0 where there are any.
        named: C.
        among: (C,) out: their numbers.
        parts: (C,) out: their votes as parts of the best.
    """
    groups = at[NEXT_GROUP]
    if rarities[0] != groups:
        rarities[:] = 0.0
        rarities[0] = groups
    bits, top = parts[:named].view(np.int32), np.int32(0)
    for c in range(named):
        count = np.uint32(max(taken[c], 1))  # those without votes may have none
        by = rarities[count] if count < COUNTS else 0.0
        if by == 0.0:
            by = rarity(int(count), groups, rarity_power, rarities)
        parts[c] = votes[c] * by
    for c in range(named):
        top = max(top, bits[c])
    if top == 0:
        return 0
    peak, kept = np.int32(top).view(np.float32), np.uint64(0)
    floor = FAINT * peak
    for c in range(named):  # the faint tail costs more than it brings
        part = parts[c]
        among[kept], parts[kept] = c, part
        kept += np.uint64(part >= floor)
    stays = int(kept)
    for j in range(stays):
        parts[j] /= peak
    return stays


@njit(cache=True)
def rarity(taken: int, groups: int, power: float, rarities: F64) -> float:
    """By what the votes for an item are multiplied that so many of the groups took."""
    if taken >= COUNTS:
        return float(np.log(1.0 + groups / taken) ** power)
    if rarities[taken] == 0.0:
        rarities[taken] = np.log(1.0 + groups / taken) ** power
    return float(rarities[taken])
