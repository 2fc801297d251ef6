"""The inner loops of asking neighbours: their votes, and whose item brought which. Plain arrays only.

After VMIS-kNN (Kersbergen et al., SIGMOD 2022: latest sessions of each item, linear decay by place, votes weighted by
rarity), with the distance to the shared item as in VSTAN (Garg et al., SIGIR 2019).

What is read lies far apart in memory, and most of the time of a query would be spent waiting for it: so it is asked for
some steps ahead, and what is found is numbered and added up in short arrays. `place` says which number an item has in
the query at hand: what is less than the query's `base` is of an earlier one, so that nothing has to be cleared.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.leaders import key_of, leaders
from everbrook.models.neighbours_kernels import NEXT_GROUP, NONE, kth_smallest
from everbrook.models.portion import BEGIN, SESSION_N
from everbrook.models.powers import raise_all
from everbrook.models.prefetch import prefetch
from everbrook.types import F32, F64, I32, I64

# Places in the vector of float settings.
MATCH_DECAY, DISTANCE_DECAY, BEFORE_FACTOR, RARITY_POWER, SIZE_POWER, SHARPNESS, KAPPA, LEAST_REST = range(8)

FAINT = 0.005  # votes below this part of the best are dropped
FADED = 0.001  # of a neighbour's items those count that are so near to the shared one that this much is left
# Rows of working memory, whole numbers and others; in the slots of neighbours that are found, then what is numbered.
TOUCHED, FIRST, NAMES, HEARD, AMONG, OWN, INTS = range(7)
NEAR, VOTES, PARTS, MORE_VOTES, REALS = range(5)
COUNTS = 1024  # groups of an item up to which rarity is kept: most items have few
LENGTHS = 1024  # of groups up to which what similarity is divided by is kept
COLUMNS = 2  # without and with the asker's own items
PLACE_BITS = 8  # of `seen`, for the first place, from 1; above them it holds the sum of pulls
PLACES = 1 << PLACE_BITS
LINES = 8  # of a ring or a row that are asked for ahead; what reads on asks for the others by itself
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
    edge, above = 0, 0
    while above + many[edge] < k:
        above += many[edge]
        edge += 1
    keys, n = np.empty(many[edge], np.float64), 0
    for j in range(found):
        if min((top - bits[j]) >> 18, BINS - 1) == edge:
            age = touched[j] - ahead
            keys[n] = np.float64(near[j]) + part * (age if age >= 0 else age + slots)
            n += 1
    floor = kth_smallest(keys.copy(), n - (k - above))
    kept, n = 0, 0
    for j in range(found):
        bin = min((top - bits[j]) >> 18, BINS - 1)
        if bin == edge:
            n += 1
        if bin < edge or (bin == edge and keys[n - 1] >= floor and kept < k):
            touched[kept], near[kept], first[kept] = touched[j], near[j], first[j]
            kept += 1
    return kept


@njit(cache=True)
def shared_place(members: I32, row: int, held: int, item: int) -> int:
    """At which column of its row of members a group holds an item; NONE where it was pushed out."""
    place = np.int32(0)
    for q in range(held):
        place += np.int32(members[row + q] == item) * np.int32(q + 1)  # at most one is the same
    return int(place) - 1


@njit(cache=True)
def hear(
    members: I32, width: int, lengths: I32, recent: I32, groups: I32, near: F32, first: I32, match_decay: float,
    around: F32, place: I32, heard: I32, parts: F32,
) -> tuple[int, float]:  # fmt: skip
    """Write down what the neighbours have near the shared item; returns how many votes, and the neighbours' weight.

    Args:
        members: (S * W,) items of groups.
        width: W, how many are kept of a group.
        lengths: (S,) of groups.
        recent: (L,) the asker's items.
        groups: (G,) the neighbours' slots.
        near: (G,) their similarity.
        first: (G,) the place of the newest item that is shared.
        match_decay: what a neighbour's weight loses for each such place.
        around: (2 R,) weight of what stands R places before the shared item, R - 1 before it and so on.
        place: (N,) what will be looked up for the items.
        heard: (V,) out: items, some of them again and again.
        parts: (V,) out: their votes.
    """
    reach, total, n = len(around) // 2, 0.0, 0
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
            if start == stop:
                continue
            items, by = members[shift + start : shift + stop], around[start - shared + reach : stop - shared + reach]
            out, weights = heard[n : n + len(items)], parts[n : n + len(items)]
            for q in range(len(items)):
                out[q] = items[q]
                weights[q] = np.float32(weight) * by[q] + np.float32(1e-30)  # never 0: who is heard has a vote
            for q in range(len(items)):
                prefetch(place, items[q])
            n += len(items)
    return n, total


@njit(cache=True)
def number(heard: I32, place: I32, base: int, named: int, names: I32) -> int:
    """Give items numbers where they have none; returns how many have one.

    Args:
        heard: (V,) items; their numbers are written over them.
        place: (N,) by item, `base` and its number where it has one.
        base: of this query.
        named: how many items have a number already.
        names: (C,) in, out: the items by number.
    """
    start, so_far = np.uint32(base), np.uint32(named)  # what cannot be negative is read faster
    for j in range(len(heard)):  # without branches, for nobody can foretell them
        item = np.uint32(heard[j])
        known = np.uint32(place[item])
        fresh = known < start
        its = np.uint32(start + so_far) if fresh else known
        place[item] = its
        names[so_far] = item
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
    at: I64, counts: I64, rarity_power: float, rarities: F64, names: I32, votes: F32, named: int, among: I32, parts: F32
) -> int:  # fmt: skip
    """Which votes, weighed by rarity, are more than a faint part of the best; returns how many.

    Args:
        at: of the store.
        counts: (N,) how many groups took each item.
        rarity_power: power of the logarithm of rarity.
        rarities: (1 + COUNTS,) kept between queries: of how many groups in all, and the rarity of each count below.
        names: (C,) the items.
        votes: (C,) not 0 where there are any.
        named: C.
        among: (C,) out: their numbers.
        parts: (C,) out: their votes as parts of the best.
    """
    groups = at[NEXT_GROUP]
    if rarities[0] != groups:
        rarities[:] = 0.0
        rarities[0] = groups
    bits, top, best = votes[:named].view(np.int32), np.int32(0), 0
    for c in range(named):
        top = max(top, bits[c])
    if top == 0:
        return 0
    while bits[best] < top:
        best += 1
    least = FAINT * votes[best] * rarity(counts[names[best]], groups, rarity_power, rarities) / (
        1.000001 * np.log(1.0 + groups) ** rarity_power if rarity_power >= 0.0 else np.inf
    )
    passed, enough = np.uint64(0), max(np.float32(least), np.float32(1e-37))
    for c in range(named):  # more than those that stay: none is as rare as can be
        among[passed] = c
        passed += np.uint64(votes[c] >= enough)
    passing = int(passed)
    for j in range(passing):
        prefetch(counts, names[among[j]])
    peak = np.float32(0)
    for j in range(passing):
        parts[j] = votes[among[j]] * rarity(counts[names[among[j]]], groups, rarity_power, rarities)
        peak = max(peak, parts[j])
    kept = 0
    for j in range(passing):  # the faint tail costs more than it brings
        part = parts[j]
        among[kept] = among[j]
        parts[kept] = part / peak
        kept += int(part >= FAINT * peak)
    return kept


@njit(cache=True)
def rarity(taken: int, groups: int, power: float, rarities: F64) -> float:
    """By what the votes for an item are multiplied that so many of the groups took."""
    if taken >= COUNTS:
        return float(np.log(1.0 + groups / taken) ** power)
    if rarities[taken] == 0.0:
        rarities[taken] = np.log(1.0 + groups / taken) ** power
    return float(rarities[taken])


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
        place[:] = 0
        epoch[0] = 1
    return int(epoch[0])


@njit(cache=True)
def mark_own(mine: I32, place: I32, base: int, named: int, own: I32) -> None:
    """Write 1 for those of the numbered items that the asker has, and 0 for the others."""
    own[:named] = 0
    for item in mine:
        if 0 <= item < len(place) and 0 <= place[item] - base < named:
            own[place[item] - base] = 1


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
    touched, first, names, heard = ints[TOUCHED], ints[FIRST], ints[NAMES], ints[HEARD]
    among, own, near, votes, parts = ints[AMONG], ints[OWN], reals[NEAR], reals[VOTES], reals[PARTS]
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
        V, weight = hear(
            members, width, lengths, recent, touched[:G], near, first, floats[MATCH_DECAY], around, place, heard, parts
        )
        numbers = number(heard[:V], place, base, 0, names)
        add_up(heard[:V], parts, votes[:numbers])
        C = unfaint(at, counts, floats[RARITY_POWER], rarities, names, votes, numbers, among, parts)
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
        if 0 <= rows[m] < len(place):
            place[rows[m]] = base + m
    credit = np.zeros((len(rows), len(recent)), np.float32)
    has = np.zeros(len(recent), np.bool_)
    for slot in touched[:G]:
        held, row = min(lengths[slot], width), slot * width
        for p in range(len(recent)):
            has[p] = shared_place(members, row, held, recent[p]) >= 0
        for q in range(held):
            m = place[members[row + q]] - base
            if m >= 0:
                for p in range(len(recent)):
                    if has[p]:
                        credit[m, p] += np.float32((len(recent) - p) / len(recent))
    for m in range(len(rows)):
        out[m] = NONE
        if 0 <= rows[m] < len(place) and len(recent):
            first_m = place[rows[m]] - base  # of repeated rows, the last holds the credit
            top = np.argmax(credit[first_m])
            out[m] = recent[top] if credit[first_m, top] > 0 else NONE
    next_base(epoch, place, len(rows))
