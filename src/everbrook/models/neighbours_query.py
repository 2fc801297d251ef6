"""The inner loops of asking neighbours: their votes, and whose item brought which. Plain arrays only.

After VMIS-kNN (Kersbergen et al., SIGMOD 2022: latest sessions of each item, linear decay by place, votes weighted by
rarity), with the distance to the shared item as in VSTAN (Garg et al., SIGIR 2019).

What is read lies far apart in memory, and most of the time of a query would be spent waiting for it: so it is asked for
some steps ahead, and what is found is numbered and added up in short arrays (`neighbours_votes`).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.leaders import key_of, leaders
from everbrook.models.neighbours_kernels import NEXT_GROUP, NONE, kth_smallest
from everbrook.models.neighbours_votes import LINES, hear, listen, shared_place, unfaint
from everbrook.models.portion import BEGIN, SESSION_N
from everbrook.models.powers import raise_all
from everbrook.models.prefetch import prefetch
from everbrook.types import F32, F64, I32, I64

# Places in the vector of float settings.
MATCH_DECAY, DISTANCE_DECAY, BEFORE_FACTOR, RARITY_POWER, SIZE_POWER, SHARPNESS, KAPPA, LEAST_REST = range(8)

FADED = 0.001  # of a neighbour's items those count that are so near to the shared one that this much is left
# Rows of working memory, whole numbers and others; in the slots of neighbours that are found, then what is numbered.
TOUCHED, FIRST, NAMES, HEARD, AMONG, OWN, TAKEN, INTS = range(8)
NEAR, VOTES, PARTS, MORE_VOTES, REALS = range(5)
LENGTHS = 1024  # of groups up to which what similarity is divided by is kept
COLUMNS = 2  # without and with the asker's own items
PLACE_BITS = 8  # of `seen`, for the first place, from 1; above them it holds the sum of pulls
PLACES = 1 << PLACE_BITS
BINS = 512  # of similarities, 32 for each doubling, from the greatest down


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
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, recent: I32, sample: int, seen: I32, touched: I32
) -> int:
    """Note of every group that is alive and shares an item how much and by which place first; returns how many.

    Args:
        at: and the next four: the rings, see `neighbours_kernels`.
        recent: (L,) the asker's items; the one at place p pulls by L - p.
        sample: latest entries of each ring that count.
        seen: (S,) zeros, by slot; see PLACE_BITS.
        touched: (L * sample,) out: the slots.
    """
    slots, found, L = len(seen), np.uint64(0), len(recent)  # what cannot be negative is read faster
    newest, oldest = (max(at[NEXT_GROUP], 1) - 1) // slots * slots, max(at[NEXT_GROUP] - slots, 0)
    for item in recent:
        prefetch(counts, item)
        prefetch(sizes, item)
        prefetch(blocks, item)
    for item in recent:
        size = sizes[item]
        last = (counts[item] - 1) % size if size else 0
        for line in range(min(LINES, (min(size, sample) + 7) // 8)):
            prefetch(pool, blocks[item] + max(0, last - 8 * line))
    for p in range(L):
        item = recent[p]
        size = np.int64(sizes[item])
        ring, taken = pool[blocks[item] : blocks[item] + size], min(counts[item], size, sample)
        entry = (counts[item] - 1) % size if taken else 0
        newer = min(taken, entry + 1)
        for start, stop in ((entry + 1 - newer, entry + 1), (size - (taken - newer), size)):
            part = ring[start:stop]
            for group in part:
                prefetch(seen, group - newest if group >= newest else group - newest + slots)
            for e in range(len(part)):
                group = part[len(part) - 1 - e]
                if group < oldest:
                    continue
                slot = np.uint64(group - newest if group >= newest else group - newest + slots)
                was = seen[slot]
                touched[found] = slot
                found += np.uint64(was == 0)
                seen[slot] = was + (L - p) * PLACES + int(was == 0) * (p + 1)
    return int(found)


@njit(cache=True)
def similar(
    lengths: I32, shrunk: F32, size_power: float, pulls: int, own: int, seen: I32, touched: I32, found: int,
    near: F32, first: I32,
) -> int:  # fmt: skip
    """How similar the touched groups are, the asker's own left out; `seen` is zeros again. Returns how many are left.

    Args:
        lengths: (S,) of groups.
        shrunk: (LENGTHS,) by what similarity is divided for each length.
        size_power: the power that made them; 0 divides nothing.
        pulls: L of `gather`.
        own: the asker's slot; NONE where there is none.
        seen: as `gather` left it.
        touched: (found,) in, out: slots.
        found: how many.
        near: (found,) out.
        first: (found,) out: the place of the newest item that is shared.
    """
    kept, L = np.uint64(0), np.float32(pulls)
    for j in range(found):
        slot = np.uint64(touched[j])
        packed = seen[slot]
        seen[slot] = 0
        touched[kept] = slot
        first[kept] = (packed & (PLACES - 1)) - 1
        near[kept] = np.float32(packed >> PLACE_BITS) / L
        kept += np.uint64(np.int64(slot) != own)
    left = int(kept)
    if size_power > 0:
        for j in range(left):
            length = max(1, lengths[np.uint64(touched[j])])
            near[j] /= shrunk[length] if length < LENGTHS else np.float32(length**size_power)
    return left


@njit(cache=True)
def nearest(at: I64, slots: int, k: int, touched: I32, found: int, near: F32, first: I32) -> int:
    """Leave the k most similar groups, in their order; among equals the newer. Returns how many."""
    if found <= k:
        return found
    bits, ahead = near[:found].view(np.int32), at[NEXT_GROUP] % slots
    top, part = np.int32(0), 1e-6 / slots
    for j in range(found):
        top = max(top, bits[j])
    many = np.zeros(BINS, np.int32)
    for j in range(found):
        many[min((top - bits[j]) >> 18, BINS - 1)] += 1
    edge, above, left = 0, 0, 0
    while above + many[edge] < k:
        above += many[edge]
        edge += 1
    for j in range(found):  # without branches, for nobody can foretell them
        within = min((top - bits[j]) >> 18, BINS - 1) <= edge
        touched[left], near[left], first[left] = touched[j], near[j], first[j]
        left += int(within)
    keys, n = np.empty(many[edge], np.float64), 0
    for j in range(left):
        if min((top - bits[j]) >> 18, BINS - 1) == edge:
            age = touched[j] - ahead
            keys[n] = np.float64(near[j]) + part * (age if age >= 0 else age + slots)
            n += 1
    floor = kth_smallest(keys.copy(), n - (k - above))
    kept, n = 0, 0
    for j in range(left):
        bin = min((top - bits[j]) >> 18, BINS - 1)
        if bin == edge:
            n += 1
        if bin < edge or (bin == edge and keys[n - 1] >= floor and kept < k):
            touched[kept], near[kept], first[kept] = touched[j], near[j], first[j]
            kept += 1
    return kept


@njit(cache=True, error_model="numpy")
def find(
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, lengths: I32, current: I64, shrunk: F32,
    sample: int, k: int, size_power: float, recent: I32, actor: int, seen: I32, touched: I32, near: F32, first: I32,
) -> int:  # fmt: skip
    """From the recent items to the neighbours in `touched`, `near` and `first`; returns how many there are."""
    slots, own = len(lengths), NONE
    if 0 <= actor < len(current) and current[actor] >= max(at[NEXT_GROUP] - slots, 0):
        own = current[actor] % slots
    found = gather(at, pool, blocks, sizes, counts, recent, sample, seen, touched)
    found = similar(lengths, shrunk, size_power, len(recent), own, seen, touched, found, near, first)
    return nearest(at, slots, k, touched, found, near, first)


@njit(cache=True)
def next_base(epoch: I64, place: I32, numbers: int) -> int:
    """The base of a query after one that gave so many numbers; clears `place` where numbers would not fit."""
    epoch[0] += numbers
    if epoch[0] > (1 << 31) - (1 << 24):
        place[::2] = 0
        epoch[0] = 1
    return int(epoch[0])


@njit(cache=True)
def mark_own(mine: I32, place: I32, base: int, named: int, own: I32) -> None:
    """Write 1 for those of the numbered items that the asker has, and 0 for the others."""
    own[:named] = 0
    for item in mine:
        if 0 <= 2 * item < len(place) and 0 <= place[2 * item] - base < named:
            own[place[2 * item] - base] = 1


@njit(cache=True, nogil=True, error_model="numpy")
def ask_all(
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, members: I32, width: int, lengths: I32, current: I64,
    shrunk: F32, around: F32, sample: int, k: int, floats: F64, rarities: F64, seen: I32, ints: I32, reals: F32,
    keys: I64, place: I32, epoch: I64, said: I32, mass: F32, ends: I64, rest: F32, query_items: int,
    items: I32, histories: I64, actors: I64, start: int, best: I32, kept: I64,
) -> int:  # fmt: skip
    """What the neighbours say to those who had `items`, from one asker on; returns how many are answered now.

    Args:
        at: and what follows: of the store and its working memory.
        said: (C,) out: items of all answers.
        mass: (C, 2) out: their probabilities without and with what the askers had.
        ends: (B + 1 or more,) out: where each answer starts.
        rest: (B or more, 2) out: what is left to the base.
        query_items: latest distinct items that are looked up.
        items: what the askers had, oldest first.
        histories: where those of each start, and how many of the last count, see `Portion.numbers`.
        actors: (B,) actor rows.
        start: how many are answered already; what does not fit into `said` is left to do.
        best: (B, T) out: the best by the first probability.
        kept: (B,) out: how many those are.
    """
    touched, first, names = ints[TOUCHED], ints[FIRST], ints[NAMES]
    among, own, taken, near, votes, parts = ints[AMONG], ints[OWN], ints[TAKEN], reals[NEAR], reals[VOTES], reals[PARTS]
    numbers, B, limit, totals = 0, len(actors), best.shape[1], np.empty(COLUMNS)
    ends[0] = 0
    for b in range(start, B):
        stop, end, rest[b] = histories[b + 1, BEGIN], ends[b], np.nan
        mine = items[stop - histories[b, SESSION_N] : stop]
        recent, base = latest(mine, len(counts), query_items), next_base(epoch, place, numbers)
        G = find(
            at, pool, blocks, sizes, counts, lengths, current, shrunk, sample, k, floats[SIZE_POWER], recent, actors[b],
            seen, touched, near, first,
        )  # fmt: skip
        R, weight = listen(
            members, width, lengths, recent, touched[:G], near, first, floats[MATCH_DECAY], len(around) // 2,
            keys, own, among, parts,
        )  # fmt: skip
        numbers = hear(members, around, keys, own, among, parts, R, place, base, 0, names, taken, votes)
        C = unfaint(at, floats[RARITY_POWER], rarities, taken, votes, numbers, among, parts)
        if end + C > len(said):
            next_base(epoch, place, numbers)
            return b
        raise_all(parts[:C], floats[SHARPNESS])
        mark_own(mine, place, base, numbers, own)
        totals[:] = 0.0
        for c in range(C):
            totals[0] += 0.0 if own[among[c]] else parts[c]
            totals[1] += parts[c]
        left = floats[LEAST_REST] + (1.0 - floats[LEAST_REST]) * floats[KAPPA] / (floats[KAPPA] + weight + 1e-30)
        scale = (1.0 - left) / totals
        for column in range(COLUMNS):
            rest[b, column] = left if totals[column] > 0 else np.nan
        for c in range(C):
            item, new = names[among[c]], own[among[c]] == 0
            said[end + c] = item
            mass[end + c, 0] = parts[c] * scale[0] if new else 0.0
            mass[end + c, 1] = parts[c] * scale[1]
            keys[c] = key_of(mass[end + c, 0] if new else mass[end + c, 1], item) + (int(new) << 62)
        ends[b + 1] = end + C
        kept[b] = leaders(keys[:C], limit, best[b])
    next_base(epoch, place, numbers)
    return B


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
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, members: I32, width: int, lengths: I32, current: I64,
    shrunk: F32, sample: int, k: int, floats: F64, seen: I32, ints: I32, reals: F32, place: I32, epoch: I64,
    recent: I32, actor: int, rows: I32, out: I32,
) -> None:  # fmt: skip
    """For each row, the recent item whose groups among the nearest hold it most, by the place of the item."""
    touched, near, first = ints[TOUCHED], reals[NEAR], ints[FIRST]
    G = find(
        at, pool, blocks, sizes, counts, lengths, current, shrunk, sample, k, floats[SIZE_POWER], recent, actor, seen,
        touched, near, first,
    )  # fmt: skip
    base = next_base(epoch, place, 0)
    for m in range(len(rows)):
        if 0 <= 2 * rows[m] < len(place):
            place[2 * rows[m]] = base + m
    credit = np.zeros((len(rows), len(recent)), np.float32)
    has = np.zeros(len(recent), np.bool_)
    for slot in touched[:G]:
        held, row = min(lengths[slot], width), slot * width
        for p in range(len(recent)):
            has[p] = shared_place(members, row, held, recent[p]) >= 0
        for q in range(held):
            m = place[2 * members[row + q]] - base
            if m >= 0:
                for p in range(len(recent)):
                    if has[p]:
                        credit[m, p] += np.float32((len(recent) - p) / len(recent))
    for m in range(len(rows)):
        out[m] = NONE
        if 0 <= 2 * rows[m] < len(place) and len(recent):
            first_m = place[2 * rows[m]] - base  # of repeated rows, the last holds the credit
            top = np.argmax(credit[first_m])
            out[m] = recent[top] if credit[first_m, top] > 0 else NONE
    next_base(epoch, place, len(rows))
