"""What is known of several who ask at the same moment: their histories and sessions, found in one compiled loop.

The same as `State.query` gives for each of them, which stays for who asks alone and for all that is unusual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from everbrook.state.blocks import COUNT, GUEST, OWNER, SIZE, START, UNIT
from everbrook.state.walk import run_of, unpack
from everbrook.types import I16, I32, I64, NO_ROW, Bool, Query

if TYPE_CHECKING:
    from everbrook.state.fold import State

USER, SESSION, GIVEN = 0, 1, 2
"""Columns of who asks: rows of the user and the session, and how many items are named in the question."""
UNNAMED = -2  # in place of a row: none was named; NO_ROW: the one that was is not known
BEGIN, STOP, SESSION_N, ACTOR, STATE = 0, 1, 2, 3, 4
"""Columns of what is found: where the history begins and ends, its last events in the session, whose, and a state:"""
PLAIN, UNWANTED, JOINS = 0, 1, 2  # nothing else; some items are not wanted; a guest's history would be joined
_LOW = 0xFFFFFFFF


def queries_of(
    state: State, now_ms: int, askers: Sequence[tuple[int, int, int]], scenarios: Sequence[int], given: Sequence[int]
) -> list[tuple[Query, bool] | None]:
    """Whose next items are asked for, and whether there is anything that they do not want; changes nothing.

    Args:
        state: what is known.
        now_ms: the moment, the same for all.
        askers: (B,) rows of the user and the session (UNNAMED where none is named, NO_ROW where it is not known), and
            how many of `given` are this one's.
        scenarios: (B,) rows, NO_ROW where none is named.
        given: rows of items that are named in the questions, of one after those of the other, oldest first.

    Returns:
        (B,) None where a guest's history is to be joined first, as `State.query` does.
    """
    histories, remembered = state.histories, state.remembered
    rows, extra = np.array(askers, np.int64), np.array(given, np.int32)
    size = len(askers) * histories.history_events
    items, times, kinds = np.empty(size, np.int32), np.empty(size, np.int64), np.empty(size, np.int16)
    found = np.empty((len(askers), 5), np.int64)
    numbers = (now_ms, histories.history_events, histories.gap_ms, histories.n_actors, remembered.most)
    gather(
        numbers, rows, extra, state.kinds.common() if given else 0, *histories.lying, *remembered.lying,
        state.kinds.negative(), items, times, kinds, found,
    )  # fmt: skip
    asked: list[tuple[Query, bool] | None] = []
    for (begin, stop, session_n, actor, what), scenario in zip(found.tolist(), scenarios, strict=True):
        if what == JOINS:
            asked.append(None)
            continue
        own = slice(begin, stop)
        asked.append((
            Query(now_ms, actor, scenario, items[own], times[own], kinds[own], session_n), what == UNWANTED
        ))  # fmt: skip
    return asked


@njit(cache=True)
def _actor_of(actors: I32, row: int) -> int:
    return int(actors[row]) if 0 <= row < len(actors) else NO_ROW


@njit(cache=True)
def _has_unwanted(actor: int, most: int, rows: I32, slots: I64) -> bool:
    """See `Remembered.has_unwanted`."""
    if not 0 <= actor < len(rows) or rows[actor, SIZE] < 0:
        return False
    stop = UNIT * int(rows[actor, START]) + rows[actor, COUNT]
    found = False
    for at in range(stop - min(rows[actor, COUNT], most), stop):
        found |= slots[at, 1] & _LOW == 0
    return found


@njit(cache=True)
def gather(
    numbers: tuple[int, int, int, int, int], askers: I64, given: I32, common: int,
    user_actors: I32, session_actors: I32, actors: I32, slots: I64, met_rows: I32, met_slots: I64, negative: Bool,
    items: I32, times: I64, kinds: I16, found: I64,
) -> None:  # fmt: skip
    """Write the histories of B askers one after the other; see `queries_of`.

    Args:
        numbers: the moment in ms, the longest history, the pause in ms that ends a session, how many actors there
            are, and how many entries are remembered of one.
        askers: (B, 3)
        given: (G,) items named in the questions.
        common: kind of those.
        user_actors: (U,)
        session_actors: (S,)
        actors: (A, 4) as `blocks` lays them out.
        slots: (P, 2) their events.
        met_rows: the same of what was met.
        met_slots: its entries.
        negative: (kinds,) which kinds say that an item is not wanted.
        items: (B * longest,), out.
        times: the same, out.
        kinds: the same, out.
        found: (B, 5), out.
    """
    now_ms, longest, gap_ms, n_actors, most = numbers
    end, next_given = 0, 0
    for b in range(len(askers)):
        user, session, count = askers[b, USER], askers[b, SESSION], askers[b, GIVEN]
        guest = _actor_of(session_actors, session)
        actor = _actor_of(user_actors, user)
        if actor == NO_ROW and (user == UNNAMED or guest == NO_ROW or actors[guest, OWNER] == GUEST):
            actor = guest
        joins = guest != actor and guest != NO_ROW and actors[guest, OWNER] == GUEST
        known = 0 <= actor < n_actors
        whole = int(actors[actor, COUNT]) if known else 0
        base = UNIT * int(actors[actor, START]) if known else 0
        n = min(whole, longest)
        session_n = 0
        if n and session != NO_ROW:
            last = slots[base + whole - 1]
            mark = session if session >= 0 else int(np.int32(last[1] & _LOW))
            if session >= 0 or now_ms - (last[0] >> 16) < gap_ms:
                session_n = run_of(slots, base, whole, whole - n, mark)
        named = min(count, longest)
        kept = min(n, longest - named)
        unpack(slots, base + whole - kept, kept, items[end:], times[end:], kinds[end:])
        for i in range(named):
            items[end + kept + i] = given[next_given + count - named + i]
            times[end + kept + i] = now_ms
            kinds[end + kept + i] = common
        next_given += count
        stop = end + kept + named
        unwanted = _has_unwanted(actor, most, met_rows, met_slots)
        for i in range(end, stop):
            unwanted = unwanted or negative[kinds[i]]
        found[b, BEGIN], found[b, STOP], found[b, ACTOR] = end, stop, actor
        found[b, SESSION_N] = min(session_n + count, stop - end)
        found[b, STATE] = JOINS if joins else UNWANTED if unwanted else PLAIN
        end = stop
