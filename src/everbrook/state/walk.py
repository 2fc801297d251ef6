"""The walk over events: one loop that says what was known before each event and then remembers it.

Who an event belongs to: the user where one is named, else the guest session. A session that was a guest and now comes
with a user gives its history to the user, and its later events too. A session goes on by its id, or, for an event
without one, by a pause shorter than the gap. An event that comes late takes its place in time: it sees only what was
before it, and where the whole history is later it is not kept.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.state.blocks import (
    COUNT,
    GUEST,
    OWNER,
    SESSIONS,
    START,
    UNIT,
    USER,
    has_room,
    insert,
    join,
    late_by,
    make_slot,
    new_actor,
)
from everbrook.types import F32, I16, I32, I64

_LOW = 0xFFFFFFFF
_GROUP = 64
_FIRST_UNNAMED = -2  # marks of sessions without id count down from here; marks >= 0 are session rows


@njit(cache=True)
def owner_of(
    user: int, session: int, user_actors: I32, session_actors: I32,
    actors: I32, slots: I64, control: I64, free: I32, sizes: I32, history: int,
) -> int:
    """The actor row of an event, made or joined where it has to be."""
    guest = session_actors[session] if session >= 0 else -1
    if user < 0:
        if guest < 0:
            guest = new_actor(actors, control, GUEST)
            session_actors[session] = guest
        return guest
    actor = user_actors[user]
    if guest >= 0 and guest != actor and actors[guest, OWNER] == GUEST:
        if actor < 0:
            actor = guest
            actors[actor, OWNER] = USER
        else:
            join(actors, slots, control, free, sizes, guest, actor, history)
    if actor < 0:
        actor = new_actor(actors, control, USER)
    user_actors[user] = actor
    if session >= 0:
        session_actors[session] = actor
    return actor


@njit(cache=True)
def mark_of(slots: I64, base: int, before: int, session: int, ts_ms: int, gap_ms: int, control: I64) -> int:
    """Which session an event belongs to: its own, the one before it, or a new one without id."""
    if session >= 0:
        return session
    if before > 0 and ts_ms - (slots[base + before - 1, 0] >> 16) < gap_ms:
        return int(np.int32(slots[base + before - 1, 1] & _LOW))
    return _FIRST_UNNAMED - int(control[SESSIONS] & 0x3FFFFFFF)


@njit(cache=True)
def run_of(slots: I64, base: int, before: int, least: int, mark: int) -> int:
    """How many events just before a place carry the mark, without a break."""
    at = before
    while at > least and int(np.int32(slots[base + at - 1, 1] & _LOW)) == mark:
        at -= 1
    return before - at


@njit(cache=True)
def unpack(slots: I64, base: int, n: int, items: I32, times: I64, kinds: I16) -> None:
    """Write n events of a history into arrays."""
    for i in range(n):
        time_kind = slots[base + i, 0]
        times[i] = time_kind >> 16
        kinds[i] = time_kind & 0xFFFF
        items[i] = slots[base + i, 1] >> 32


@njit(cache=True)
def look_ahead(
    first: int, user: I32, session: I32, user_actors: I32, session_actors: I32, actors: I32, slots: I64
) -> int:
    """Look at the histories of the next events all at once, so that the memory brings them at the same time.

    Returns:
        Something made of what was seen, without which the compiler would leave the looks out.
    """
    stop = min(len(user), first + _GROUP)
    found = np.empty(_GROUP, np.int32)
    seen = 0
    for b in range(first, stop):
        guest = session_actors[session[b]] if session[b] >= 0 else -1
        found[b - first] = user_actors[user[b]] if user[b] >= 0 else guest
        seen ^= guest
    last = np.zeros(_GROUP, np.int64)
    for g in range(stop - first):
        if found[g] >= 0:
            last[g] = max(0, UNIT * int(actors[found[g], START]) + actors[found[g], COUNT] - 1)
    for g in range(stop - first):
        seen ^= slots[last[g], 0]
    return seen


@njit(cache=True, nogil=True)
def walk(
    first: int, gap_ms: int, history: int,
    ts_ms: I64, user: I32, session: I32, item: I32, kind: I16, weight: F32,
    user_actors: I32, session_actors: I32, actors: I32, slots: I64, control: I64, free: I32, sizes: I32,
    actor_out: I32, n_out: I32, session_n_out: I32, items_out: I32, times_out: I64, kinds_out: I16,
) -> int:
    """Go through the events from `first` on.

    Returns:
        How many events are done; fewer than all where the arrays need to grow first.
    """
    contexts = items_out.shape[1] > 0
    for b in range(first, len(ts_ms)):
        if (b - first) % _GROUP == 0:
            n_out[b] = look_ahead(b, user, session, user_actors, session_actors, actors, slots)
        if not has_room(actors, slots, control, sizes):
            return b
        actor = owner_of(
            user[b], session[b], user_actors, session_actors, actors, slots, control, free, sizes, history
        )
        actor_out[b] = actor
        n = actors[actor, COUNT]
        base = UNIT * int(actors[actor, START])
        known = min(n, history)
        late = late_by(slots, base, n, ts_ms[b], known)
        mark = mark_of(slots, base, n - late if late < known else 0, session[b], ts_ms[b], gap_ms, control)
        n_out[b] = 0
        session_n_out[b] = 0
        if contexts:
            n_out[b] = known - late
            session_n_out[b] = run_of(slots, base, n - late, n - known, mark)
            unpack(slots, base + n - known, known - late, items_out[b], times_out[b], kinds_out[b])
        if weight[b] != 0.0 and late < history:
            make_slot(actors, slots, control, free, sizes, actor, history)
            insert(actors, slots, actor, late, ts_ms[b] << 16 | kind[b], int(item[b]) << 32 | (mark & _LOW))
            if mark == _FIRST_UNNAMED - (control[SESSIONS] & 0x3FFFFFFF):
                control[SESSIONS] += 1
    return len(ts_ms)
