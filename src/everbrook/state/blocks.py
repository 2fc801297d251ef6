"""Kernels over pooled history blocks: each actor's events lie together, in a block that doubles as they grow.

A slot is two int64: `time << 16 | kind` and `item << 32 | mark`, where the mark tells which session it belongs to. A
block's first slot is a multiple of four, so that a small history is one cache line. The biggest block has a quarter
more slots than a history may hold: it is moved down once in so many events rather than at each. Not the owner of the
arrays: see `histories`. None of this makes room; the caller checks `has_room` and grows the arrays outside.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import I32, I64

UNIT = 4  # slots; blocks are whole units
START, COUNT, SIZE, OWNER = 0, 1, 2, 3  # columns of `actors`: first unit, events, size class, whose
GUEST, USER, GONE = 0, 1, 2  # owners
UNITS, ACTORS, SESSIONS = 0, 1, 2  # places in `control`: units handed out, actors made, unnamed sessions opened
TIME_BITS = 47
"""Times lie within 2**47 ms of 1970, about 4,400 years either way."""


def sizes_of(history: int) -> I32:
    """Slots of each size class for histories of so many events."""
    top = max(UNIT, -(-(history + history // 4) // UNIT) * UNIT)
    sizes = [UNIT]
    while 2 * sizes[-1] < history:
        sizes.append(2 * sizes[-1])
    if sizes[-1] < top:
        sizes.append(top)
    return np.array(sizes, np.int32)


@njit(cache=True)
def copy_ranges(source: I64, starts: I64, counts: I64, target: I64, places: I64) -> None:
    """Copy rows source[starts[i] : starts[i] + counts[i]] to target[places[i] : places[i] + counts[i]], for each i."""
    for i in range(len(counts)):
        for k in range(counts[i]):
            for column in range(source.shape[1]):
                target[places[i] + k, column] = source[starts[i] + k, column]


@njit(cache=True)
def has_room(actors: I32, slots: I64, control: I64, sizes: I32) -> bool:
    """Whether one more event surely finds room: one new actor and two blocks."""
    return control[ACTORS] < len(actors) and UNIT * control[UNITS] + 2 * sizes[-1] <= len(slots)


@njit(cache=True)
def take(slots: I64, control: I64, free: I32, sizes: I32, size: int) -> int:
    """Hand out a block."""
    start = int(free[size])
    if start >= 0:
        free[size] = slots[UNIT * start, 0]
        return start
    start = int(control[UNITS])
    control[UNITS] += sizes[size] // UNIT
    return start


@njit(cache=True)
def give(slots: I64, free: I32, size: int, start: int) -> None:
    """Take a block back, to be handed out again."""
    slots[UNIT * start, 0] = free[size]
    free[size] = start


@njit(cache=True)
def new_actor(actors: I32, control: I64, owner: int) -> int:
    """A row for an actor without events."""
    actor = int(control[ACTORS])
    control[ACTORS] += 1
    actors[actor, START] = -1
    actors[actor, COUNT] = 0
    actors[actor, SIZE] = -1
    actors[actor, OWNER] = owner
    return actor


@njit(cache=True)
def move(slots: I64, source: int, target: int, n: int) -> None:
    """Copy n slots downwards, or to where they do not overlap."""
    for i in range(n):
        slots[target + i, 0] = slots[source + i, 0]
        slots[target + i, 1] = slots[source + i, 1]


@njit(cache=True)
def make_slot(actors: I32, slots: I64, control: I64, free: I32, sizes: I32, actor: int, history: int) -> None:
    """See to it that an actor's block has a slot for one more event."""
    n, size = actors[actor, COUNT], actors[actor, SIZE]
    if size < 0:
        actors[actor, SIZE] = 0
        actors[actor, START] = take(slots, control, free, sizes, 0)
    elif n == sizes[size]:
        base = UNIT * int(actors[actor, START])
        if size == len(sizes) - 1:
            kept = min(n, history - 1)
            move(slots, base + n - kept, base, kept)
            actors[actor, COUNT] = kept
        else:
            start = take(slots, control, free, sizes, size + 1)
            move(slots, base, UNIT * start, n)
            give(slots, free, size, actors[actor, START])
            actors[actor, START] = start
            actors[actor, SIZE] = size + 1


@njit(cache=True)
def late_by(slots: I64, base: int, n: int, ts_ms: int, most: int) -> int:
    """How many of the last events of a history are later than a moment; `most` at most."""
    late = 0
    while late < most and (slots[base + n - 1 - late, 0] >> 16) > ts_ms:
        late += 1
    return late


@njit(cache=True)
def insert(actors: I32, slots: I64, actor: int, late: int, time_kind: int, item_mark: int) -> None:
    """Put an event before the last `late` ones; there must be a slot for it."""
    n = actors[actor, COUNT]
    at = UNIT * int(actors[actor, START]) + n
    for _ in range(late):
        slots[at, 0] = slots[at - 1, 0]
        slots[at, 1] = slots[at - 1, 1]
        at -= 1
    slots[at, 0] = time_kind
    slots[at, 1] = item_mark
    actors[actor, COUNT] = n + 1


@njit(cache=True)
def release(actors: I32, slots: I64, free: I32, actor: int) -> None:
    """Drop an actor's history and make the actor nobody's."""
    if actors[actor, SIZE] >= 0:
        give(slots, free, actors[actor, SIZE], actors[actor, START])
    actors[actor, START] = -1
    actors[actor, COUNT] = 0
    actors[actor, SIZE] = -1
    actors[actor, OWNER] = GONE


@njit(cache=True)
def join(actors: I32, slots: I64, control: I64, free: I32, sizes: I32, guest: int, user: int, history: int) -> None:
    """Merge a guest's history into a user's by time, the user's first where times are equal; the guest is gone."""
    i, j = actors[guest, COUNT], actors[user, COUNT]
    guest_base = UNIT * int(actors[guest, START])
    user_base = UNIT * int(actors[user, START])
    n = min(i + j, history)
    merged = np.empty((n, 2), np.int64)
    for k in range(n - 1, -1, -1):
        if j == 0 or (i > 0 and slots[guest_base + i - 1, 0] >> 16 >= slots[user_base + j - 1, 0] >> 16):
            i -= 1
            merged[k] = slots[guest_base + i]
        else:
            j -= 1
            merged[k] = slots[user_base + j]
    release(actors, slots, free, guest)
    release(actors, slots, free, user)
    actors[user, OWNER] = USER
    if n == 0:
        return
    size = 0
    while sizes[size] < n:
        size += 1
    actors[user, SIZE] = size
    actors[user, START] = take(slots, control, free, sizes, size)
    actors[user, COUNT] = n
    slots[UNIT * int(actors[user, START]) : UNIT * int(actors[user, START]) + n] = merged
