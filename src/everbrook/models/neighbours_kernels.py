"""The inner loops by which neighbour models learn: which groups took which items, latest first. Plain arrays only.

A *group* is a session or a user. Groups are numbered in the order in which they open; group g lives in slot g % S until
group g + S opens. Each item has a ring of the groups that took it, newest last, in a block of a shared pool; blocks
double up to the cap. Layout after the item index of Serenade (Kersbergen et al., SIGMOD 2022), made incremental.
"""

from __future__ import annotations

from numba import njit

from everbrook.types import F32, F64, I32, I64

FIRST_BLOCK = 4
NONE = -1

# Places in the vector of counters `at`.
NEXT_GROUP = 0
POOL_USED = 1
FREE = 2  # FREE + c: first free block of FIRST_BLOCK << c entries, NONE where none

CLASSES = 24


@njit(cache=True)
def size_class(size: int) -> int:
    """Which list of free blocks holds blocks of this size, or the next larger."""
    found = 0
    while (FIRST_BLOCK << found) < size:
        found += 1
    return found


@njit(cache=True)
def take_block(at: I64, pool: I64, size: int) -> int:
    """Offset of a free block."""
    c = size_class(size)
    block = at[FREE + c]
    if block != NONE:
        at[FREE + c] = pool[block]
        return block
    block = at[POOL_USED]
    at[POOL_USED] += size
    return block


@njit(cache=True)
def post(at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, item: int, group: int, cap: int) -> None:
    """Add a group to an item's ring; the pool must have room for a block of twice the cap."""
    size = sizes[item]
    count = counts[item]
    if count >= size and size < cap:
        wider = FIRST_BLOCK if size == 0 else 2 * size
        block = take_block(at, pool, wider)
        for j in range(size):
            pool[block + j] = pool[blocks[item] + j]
        if size > 0:
            c = size_class(size)
            pool[blocks[item]] = at[FREE + c]
            at[FREE + c] = blocks[item]
        blocks[item] = block
        sizes[item] = wider
        size = wider
    pool[blocks[item] + count % size] = group
    counts[item] = count + 1


@njit(cache=True)
def kth_smallest(values: F64, k: int) -> float:
    """The value that would stand at place k if they were sorted; shuffles them. Hoare's selection.

    By hand, for NumPy's own takes half a minute to compile.
    """
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return float(pivot)
    return float(values[k])


@njit(cache=True)
def alive(at: I64, group: int, slots: int) -> bool:
    """Whether no newer group has taken the slot."""
    return group >= 0 and group >= at[NEXT_GROUP] - slots


@njit(cache=True, nogil=True)
def learn(
    at: I64, pool: I64, blocks: I64, sizes: I32, counts: I64, cap: int,
    members: I32, lengths: I32, current: I64, place: I32, closing: bool,
    start: int, actors: I32, items: I32, weights: F32, session_n: I32,
) -> int:  # fmt: skip
    """Take in events from `start` on; returns the first that did not fit into the pool, or their number."""
    slots, width = members.shape
    for b in range(start, len(items)):
        if at[POOL_USED] + 2 * cap > len(pool):
            return b
        actor = actors[b]
        if closing and session_n[b] == 0:
            current[actor] = NONE
        if weights[b] <= 0:
            continue
        item = items[b]
        group = current[actor]
        if not alive(at, group, slots):
            group = at[NEXT_GROUP]
            at[NEXT_GROUP] = group + 1
            current[actor] = group
            lengths[group % slots] = 0
        slot = group % slots
        length = lengths[slot]
        known = False
        for j in range(min(length, width)):
            known = known or members[slot, j] == item
        if known:
            continue
        post(at, pool, blocks, sizes, counts, item, group, cap)
        place[2 * item + 1] = counts[item]  # queries want it beside the item's number
        members[slot, length % width] = item
        lengths[slot] = length + 1
    return len(items)
