"""The inner loops of asking for what is related: by items, by users, and both together. Plain arrays only.

See `neighbours_votes` for how items get numbers. Here the items that are related get the first ones, and those that
only the neighbours have the next, so that both answers stand side by side.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from everbrook.models.collaborative_kernels import EMPTY
from everbrook.models.leaders import key_of, leaders
from everbrook.models.neighbours_query import (
    AMONG,
    FIRST,
    HEARD,
    KAPPA,
    LEAST_REST,
    MATCH_DECAY,
    MORE_VOTES,
    NAMES,
    NEAR,
    OWN,
    PARTS,
    RARITY_POWER,
    SHARPNESS,
    SIZE_POWER,
    TAKEN,
    TOUCHED,
    VOTES,
    find,
    latest,
    mark_own,
    next_base,
)
from everbrook.models.neighbours_votes import FAINT, add_up, hear, listen, number, unfaint
from everbrook.models.portion import BEGIN
from everbrook.models.powers import raise_all
from everbrook.models.prefetch import prefetch
from everbrook.types import F32, F64, I32, I64

# Places in the vector of float settings of items, beside those of the neighbours.
DECAY, SHRINKAGE, ITEM_SHARPNESS, UNIT, RETURNS = range(5)

AHEAD = 4  # rows of related items that are asked for before they are read
LINES = 16  # of a row at most


@njit(cache=True)
def fetch_row(offset: int, room: int, keys: I32, weights: F32) -> None:
    """Ask for a row that will be read."""
    for e in range(offset, offset + min(room, 16 * LINES), 16):
        prefetch(keys, e)
        prefetch(weights, e)


@njit(cache=True)
def related(
    recent: I32, offsets: I64, rooms: I32, keys: I32, weights: F32, place: I32, heard: I32, parts: F32, ends: I64
) -> int:
    """Write down what is related to the recent items; returns how many there are.

    Args:
        recent: (L,) items, newest first.
        offsets: and the next three: the rows of related items, see `collaborative_kernels`.
        place: (N, 2) flat, what will be looked up for the items.
        heard: (V,) out: items, some of them again and again.
        parts: (V,) out: the counts that they share with a recent item.
        ends: (L,) out: where those of each recent item end.
    """
    n = 0
    for y in recent:
        prefetch(offsets, y)
        prefetch(rooms, y)
    for p in range(min(AHEAD, len(recent))):
        fetch_row(offsets[recent[p]], rooms[recent[p]], keys, weights)
    for p in range(len(recent)):
        if p + AHEAD < len(recent):
            fetch_row(offsets[recent[p + AHEAD]], rooms[recent[p + AHEAD]], keys, weights)
        row, added = slice(offsets[recent[p]], offsets[recent[p]] + rooms[recent[p]]), np.uint64(0)
        its_keys, its_weights, out, shared = keys[row], weights[row], heard[n:], parts[n:]
        for e in range(len(its_keys)):
            out[added], shared[added] = its_keys[e], its_weights[e]
            added += np.uint64((its_keys[e] != EMPTY) & (its_weights[e] > 0))
        for j in range(n, n + int(added)):
            prefetch(place, 2 * heard[j])
        n += int(added)
        ends[p] = n
    return n


@njit(cache=True, error_model="numpy")
def alike(
    recent: I32, ends: I64, floats: F64, counts: F64, names: I32, numbers: I32, parts: F32, roots: F32
) -> float:  # fmt: skip
    """From shared counts to votes, in place; returns the evidence.

    Cosine with shrinkage: c(y, i) / (sqrt(n_y n_i) + s).

    Args:
        recent: (L,) items, newest first.
        ends: (L,) where what is related to each ends.
        floats: see above.
        counts: (N,) how often each item came.
        names: (C,) the related items by number.
        numbers: (V,) of what is related to the recent items.
        parts: (V,) in: shared counts, out: votes.
        roots: (C,) working memory.
    """
    for item in names:
        prefetch(counts, item)
    for item in recent:
        prefetch(counts, item)
    for c in range(len(names)):
        roots[c] = counts[np.uint32(names[c])]
    for c in range(len(names)):
        roots[c] = math.sqrt(roots[c])
    start, pull, evidence, floor = 0, 1.0, 0.0, floats[SHRINKAGE] * floats[UNIT] + 1e-30
    for p in range(len(recent)):
        count = counts[recent[p]]
        root, by, faint = np.float32(math.sqrt(count)), np.float32(pull), np.float32(floor)
        for j in range(start, ends[p]):
            part = parts[j] * by / (root * roots[np.uint32(numbers[j])] + faint)
            parts[j] = part + np.float32(1e-30)  # never 0: who is heard has a vote
        evidence += pull * count / (count + floor)
        start, pull = ends[p], pull * floats[DECAY]
    return evidence


@njit(cache=True)
def unfaint_items(names: I32, taken: I32, votes: F32, named: int, sharpness: float) -> int:
    """Keep the items whose votes are more than a faint part of the best, their votes raised; returns how many."""
    peak, kept = np.float32(0), 0
    for c in range(named):
        peak = max(peak, votes[c])
    for c in range(named):  # the faint tail costs more than it brings
        vote = votes[c]
        names[kept], taken[kept], votes[kept] = names[c], taken[c], vote / peak
        kept += int(vote >= FAINT * peak)
    raise_all(votes[:kept], sharpness)
    return kept


@njit(cache=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def scales(parts: F32, own: I32, returns: float, left: float) -> tuple[Any, Any]:
    """From votes to probabilities: by what those of items that are new to the asker are multiplied, and of the own.

    Args:
        parts: (C,) votes.
        own: (C,) 1 for the asker's own, which share one part, as the others do the other.
        returns: how often the next item is one of the asker's own.
        left: what is left to the base.
    """
    new, of_own = 0.0, 0.0
    for c in range(len(parts)):
        new += parts[c] * (1 - own[c])
        of_own += parts[c] * own[c]
    share = (returns if new > 0 else 1.0) if of_own > 0 else 0.0
    return (
        np.float32((1.0 - share) * (1.0 - left) / new if new > 0 else 0.0),
        np.float32(share * (1.0 - left) / of_own if of_own > 0 else 0.0),
    )


@njit(cache=True)
def put_items(
    names: I32, parts: F32, own: I32, scale: float, own_scale: float, said: I32, mass: F32, keys: I64
) -> None:  # fmt: skip
    """Put down the answer by items.

    Args:
        names: (A,) the items by number.
        parts: (A,) their votes.
        own: (A,) see `scales`, as the next two.
        said: (A,) out: items.
        mass: (A, 2) out: both probabilities, so far.
        keys: (A,) out: of the greater one, see `leaders`.
    """
    for c in range(len(parts)):
        share = parts[c] * (own_scale if own[c] else scale)
        said[c], mass[c, 0], mass[c, 1] = names[c], share, 0.0
        keys[c] = key_of(share, names[c])


@njit(cache=True)
def put_users(
    names: I32, A: int, among: I32, parts: F32, own: I32, scale: float, own_scale: float, said: I32, mass: F32,
    keys: I64,
) -> int:  # fmt: skip
    """Put down the answer by users beside that by items; returns how many items both have.

    Args:
        names: the items by number.
        A: how many of them, the first, are in the answer by items.
        among: (U,) rising numbers of what the neighbours have.
        parts: (U,) their votes.
        own: (U,) see `scales`, as the next two.
        said: and what follows: see `put_items`.
    """
    j, C = 0, A
    while j < len(parts) and among[j] < A:
        c, share = among[j], parts[j] * (own_scale if own[j] else scale)
        mass[c, 1], keys[c] = share, max(keys[c], key_of(share, names[c]))
        j += 1
    for rest in range(j, len(parts)):
        item, share = names[among[rest]], parts[rest] * (own_scale if own[rest] else scale)
        said[C], mass[C, 0], mass[C, 1], keys[C] = item, 0.0, share, key_of(share, item)
        C += 1
    return C


@njit(cache=True, nogil=True, error_model="numpy")
def ask_all(
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, members: I32, width: int, lengths: I32, current: I64,
    shrunk: F32, around: F32, sample: int, k: int, floats: F64, rarities: F64, seen: I32, ints: I32, reals: F32,
    keys: I64, place: I32, epoch: I64, said: I32, mass: F32, ends: I64, rest: F32, query_items: int,
    item_floats: F64, offsets: I64, rooms: I32, row_keys: I32, row_weights: F32, item_counts: F64,
    item_query_items: int, items: I32, histories: I64, actors: I64, start: int, best: I32, kept: I64,
) -> int:  # fmt: skip
    """What is related to what the askers had: by items and by users; returns how many are answered now.

    Args:
        at: and what follows: of the users' store and its working memory, see `neighbours_query.ask_all`. The columns
            are by items and by users, and the best are so by the greater of both.
        item_floats: and what follows: of the related items, see `related`.
        items: and what follows: see `neighbours_query.ask_all`.
    """
    touched, first, names, heard, among, own, taken = (
        ints[TOUCHED], ints[FIRST], ints[NAMES], ints[HEARD], ints[AMONG], ints[OWN], ints[TAKEN],
    )  # fmt: skip
    near, votes, parts, item_votes = reals[NEAR], reals[VOTES], reals[PARTS], reals[MORE_VOTES]
    numbers, stops, known = 0, np.empty(item_query_items, np.int64), min(len(counts), len(item_counts))
    returns, fixed, kappa = item_floats[RETURNS], floats[LEAST_REST], floats[KAPPA]
    ends[0] = 0
    for b in range(start, len(actors)):
        mine, end, rest[b] = items[histories[b, BEGIN] : histories[b + 1, BEGIN]], ends[b], np.nan
        recent, base = latest(mine, known, max(query_items, item_query_items)), next_base(epoch, place, numbers)
        newest = recent[:item_query_items]
        V = related(newest, offsets, rooms, row_keys, row_weights, place, heard, parts, stops)
        numbers = number(heard[:V], place, base, 0, names, taken)
        evidence = alike(newest, stops, item_floats, item_counts, names[:numbers], heard, parts, item_votes)
        add_up(heard[:V], parts, item_votes[:numbers])
        base = next_base(epoch, place, numbers)
        A = unfaint_items(names, taken, item_votes, numbers, item_floats[ITEM_SHARPNESS])
        for c in range(A):
            place[2 * names[c]] = base + c
        recent = recent[:query_items]
        G = find(
            at, pool, blocks, sizes, counts, lengths, current, shrunk, sample, k, floats[SIZE_POWER], recent, actors[b],
            seen, touched, near, first,
        )  # fmt: skip
        R, weight = listen(
            members, width, lengths, recent, touched[:G], near, first, floats[MATCH_DECAY], len(around) // 2,
            keys, own, among, parts,
        )  # fmt: skip
        numbers = hear(members, around, keys, own, among, parts, R, place, base, A, names, taken, votes)
        U = unfaint(at, floats[RARITY_POWER], rarities, taken, votes, numbers, among, parts)
        if end + A + U > len(said):
            next_base(epoch, place, numbers)
            return b
        raise_all(parts[:U], floats[SHARPNESS])
        mark_own(mine, place, base, numbers, own)
        for j in range(U):
            heard[j] = own[among[j]]
        if A:
            rest[b, 0] = fixed + (1.0 - fixed) * kappa / (kappa + evidence + 1e-30)
        if U:
            rest[b, 1] = fixed + (1.0 - fixed) * kappa / (kappa + weight + 1e-30)
        by, own_by = scales(item_votes[:A], own, returns, rest[b, 0])
        put_items(names, item_votes[:A], own, by, own_by, said[end:], mass[end:], keys)
        by, own_by = scales(parts[:U], heard, returns, rest[b, 1])
        C = put_users(names, A, among, parts[:U], heard, by, own_by, said[end:], mass[end:], keys)
        ends[b + 1] = end + C
        kept[b] = leaders(keys[:C], best.shape[1], best[b])
    next_base(epoch, place, numbers)
    return len(actors)
