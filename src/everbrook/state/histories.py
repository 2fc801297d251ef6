"""Who is whose actor, and each actor's last events. Owns the arrays that the kernels of `blocks` and `walk` work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from everbrook.state.blocks import ACTORS, COUNT, GONE, GUEST, OWNER, START, UNIT, UNITS, copy_ranges, release, sizes_of
from everbrook.state.walk import walk
from everbrook.types import F32, I16, I32, I64, NO_ROW, Arrays

_GROWTH = 1.5
_SLOTS_AHEAD = 3  # for each event that comes at once: unwritten room costs nothing, moving what is there does
RowsT = TypeVar("RowsT", I32, I64)


class Rows(NamedTuple):
    """B events in row space, as the walk takes them."""

    ts_ms: I64
    user: I32
    session: I32
    item: I32
    kind: I16
    weight: F32


class Contexts(NamedTuple):
    """What was known before each of B events: see `types.Step`."""

    actor: I32
    n: I32
    session_n: I32
    items: I32
    times: I64
    kinds: I16


@dataclass(frozen=True, slots=True)
class Past:
    """The last events of one actor, oldest first; a mark >= 0 is the row of a session."""

    items: I32
    times: I64
    kinds: I16
    marks: I32

    def __len__(self) -> int:
        return len(self.items)

    def last(self, n: int) -> Past:
        """The last n of them."""
        cut = max(0, len(self) - n)
        return Past(self.items[cut:], self.times[cut:], self.kinds[cut:], self.marks[cut:])

    def followed_by(self, other: Past) -> Past:
        """These events, then the others."""
        return Past(
            np.concatenate([self.items, other.items]), np.concatenate([self.times, other.times]),
            np.concatenate([self.kinds, other.kinds]), np.concatenate([self.marks, other.marks]),
        )

    def joined(self, guest: Past) -> Past:
        """Merged by time with a guest's events, these first where times are equal."""
        both = self.followed_by(guest)
        order = np.argsort(both.times, kind="stable")
        return Past(both.items[order], both.times[order], both.kinds[order], both.marks[order])

    def session_n(self, session_row: int, now_ms: int, gap_ms: int) -> int:
        """How many of the last events belong to the session that goes on now.

        Args:
            session_row: row of the session named; NO_ROW where none is, and then the pause decides.
            now_ms: the moment.
            gap_ms: pause that ends a session.
        """
        if not len(self):
            return 0
        mark = session_row
        if mark == NO_ROW:
            if now_ms - int(self.times[-1]) >= gap_ms:
                return 0
            mark = int(self.marks[-1])
        others = np.flatnonzero(self.marks != mark)
        return len(self) - 1 - int(others[-1]) if len(others) else len(self)


class Histories:
    """The histories of all actors, in one pool that grows with the events and not with the actors."""

    def __init__(self, history_events: int, gap_ms: int) -> None:
        self.history_events = history_events
        self.gap_ms = gap_ms
        self._sizes = sizes_of(history_events)
        self._clear(16, 64)
        self._user_actors: I32 = np.full(16, NO_ROW, np.int32)
        self._session_actors: I32 = np.full(16, NO_ROW, np.int32)

    def _clear(self, actors: int, units: int) -> None:
        self._control: I64 = np.zeros(3, np.int64)
        self._free: I32 = np.full(len(self._sizes), -1, np.int32)
        self._actors: I32 = np.empty((max(16, actors), 4), np.int32)
        self._slots: I64 = np.empty((max(UNIT * units, 2 * int(self._sizes[-1])), 2), np.int64)

    @property
    def n_actors(self) -> int:
        """How many actor rows there are, joined and deleted ones too."""
        return int(self._control[ACTORS])

    @property
    def table(self) -> I32:
        """(A, 4) the actors as `blocks` lays them out; the caller must not write into it."""
        return self._actors

    @property
    def gone(self) -> I64:
        """The rows that are nobody's any more, ascending: guests who were joined to a user, and who was forgotten."""
        return np.flatnonzero(self._actors[: self.n_actors, OWNER] == GONE)

    @property
    def session_actors(self) -> I32:
        """(S,) to whom each session leads, NO_ROW where to nobody; the caller must not write into it."""
        return self._session_actors

    @property
    def lying(self) -> tuple[I32, I32, I32, I64]:
        """Actors by user, actors by session, actors, and events as they lie; the caller must not write into them."""
        return self._user_actors, self._session_actors, self._actors, self._slots

    @property
    def n_bytes(self) -> int:
        """Memory that is held, in bytes."""
        held = (self._actors, self._slots, self._user_actors, self._session_actors)
        return sum(array.nbytes for array in held)

    def remember(self, rows: Rows, contexts: bool, users: int, sessions: int) -> Contexts:
        """Go through events in order: say what was known before each, then keep it.

        Args:
            rows: the events.
            contexts: whether to write the histories out; without it `n` is 0 throughout.
            users: how many user rows there are.
            sessions: how many session rows there are.
        """
        self._user_actors = _longer(self._user_actors, users)
        self._session_actors = _longer(self._session_actors, sessions)
        B, H = len(rows.ts_ms), self.history_events if contexts else 0
        self._reserve(_SLOTS_AHEAD * B)
        out = Contexts(
            np.empty(B, np.int32), np.empty(B, np.int32), np.empty(B, np.int32),
            np.empty((B, H), np.int32), np.empty((B, H), np.int64), np.empty((B, H), np.int16),
        )
        done = 0
        while True:
            done = walk(
                done, self.gap_ms, self.history_events, *rows, self._user_actors, self._session_actors,
                self._actors, self._slots, self._control, self._free, self._sizes, *out,
            )
            if done == B:
                return out
            self._grow()

    def _reserve(self, slots: int) -> None:
        used = UNIT * int(self._control[UNITS])
        if used + slots > len(self._slots):
            wider = np.empty((max(used + slots, int(_GROWTH * used)), 2), np.int64)
            wider[:used] = self._slots[:used]
            self._slots = wider

    def _grow(self) -> None:
        actors, units = int(self._control[ACTORS]), int(self._control[UNITS])
        if actors == len(self._actors):
            self._actors = _bigger(self._actors, actors)
        if UNIT * units + 2 * int(self._sizes[-1]) > len(self._slots):
            self._slots = _bigger(self._slots, UNIT * units)

    def actor_of(self, user_row: int, session_row: int, named: bool) -> int:
        """Who asks: the user's actor, else the session's; NO_ROW for strangers.

        Args:
            user_row: row of the user.
            session_row: row of the session.
            named: whether a user was named at all: then a session counts only while it is a guest, for what another
                user did in it is not for this one.
        """
        actor = self._actor(self._user_actors, user_row)
        if actor != NO_ROW:
            return actor
        actor = self._actor(self._session_actors, session_row)
        return NO_ROW if named and actor != NO_ROW and self._actors[actor, OWNER] != GUEST else actor

    def guest_beside(self, actor: int, session_row: int) -> int:
        """The guest whose history the session's next event would join to the actor's; NO_ROW where none."""
        guest = self._actor(self._session_actors, session_row)
        return guest if guest not in (actor, NO_ROW) and self._actors[guest, OWNER] == GUEST else NO_ROW

    @staticmethod
    def _actor(actors: I32, row: int) -> int:
        return int(actors[row]) if 0 <= row < len(actors) else NO_ROW

    def past(self, actor: int) -> Past:
        """The last events of an actor; none of an unknown one."""
        if not 0 <= actor < self.n_actors:
            actor_start, n = 0, 0
        else:
            actor_start, n = int(self._actors[actor, START]), int(self._actors[actor, COUNT])
        stop = UNIT * actor_start + n
        slots = self._slots[stop - min(n, self.history_events) : stop]
        times, items = slots[:, 0], slots[:, 1]
        return Past(
            (items >> 32).astype(np.int32), times >> 16, (times & 0xFFFF).astype(np.int16), items.astype(np.int32)
        )

    def sessions_of(self, actor: int) -> list[int]:
        """The rows of the sessions that led to an actor."""
        return [] if actor == NO_ROW else np.flatnonzero(self._session_actors == actor).tolist()

    def forget(self, user_row: int) -> tuple[int, list[int]]:
        """Drop a user's history.

        Returns:
            How many events were kept, and the rows of the sessions that led to the user.
        """
        actor = self._actor(self._user_actors, user_row)
        if actor == NO_ROW:
            return 0, []
        n = len(self.past(actor))
        release(self._actors, self._slots, self._free, actor)
        sessions = np.flatnonzero(self._session_actors == actor)
        self._session_actors[sessions] = NO_ROW
        self._user_actors[user_row] = NO_ROW
        return n, sessions.tolist()

    def arrays(self) -> Arrays:
        """All histories, packed one after another; where they lie in the pool is not part of it."""
        actors = self._actors[: self.n_actors]
        n = np.minimum(actors[:, COUNT], self.history_events)
        stops = UNIT * actors[:, START].astype(np.int64) + actors[:, COUNT]
        return {
            "owner": actors[:, OWNER].astype(np.int8),
            "n": n.astype(np.int32),
            "slots": self._slots[_ranges(stops - n, n)],
            "sessions_opened": self._control[2:3].copy(),
            "user_actors": _shorter(self._user_actors),
            "session_actors": _shorter(self._session_actors),
        }

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave; of longer histories the last events."""
        n = np.minimum(arrays["n"], self.history_events).astype(np.int64)
        size = np.searchsorted(self._sizes, n).astype(np.int32)
        size[arrays["owner"] == GONE] = -1
        size[n == 0] = -1
        units = np.where(size < 0, 0, self._sizes[size] // UNIT).astype(np.int64)
        start = np.cumsum(units) - units
        self._clear(len(n), int(units.sum()) + int(self._sizes[-1]))
        self._control[:] = units.sum(), len(n), arrays["sessions_opened"][0]
        self._actors[: len(n)] = np.stack([np.where(size < 0, -1, start), n, size, arrays["owner"]], axis=1)
        stops = np.cumsum(arrays["n"].astype(np.int64))
        copy_ranges(arrays["slots"], stops - n, n, self._slots, UNIT * start)
        self._user_actors = _longer(arrays["user_actors"].copy(), 16)
        self._session_actors = _longer(arrays["session_actors"].copy(), 16)


def _bigger(array: RowsT, used: int) -> RowsT:
    bigger = np.empty((int(len(array) * _GROWTH) + 16, array.shape[1]), array.dtype)
    bigger[:used] = array[:used]
    return bigger


def _longer(array: I32, least: int) -> I32:
    if least <= len(array):
        return array
    longer = np.full(max(least, int(len(array) * _GROWTH)), NO_ROW, array.dtype)
    longer[: len(array)] = array
    return longer


def _shorter(array: I32) -> I32:
    """Without the end that holds nothing, however much room there was."""
    held = np.flatnonzero(array != NO_ROW)
    return array[: int(held[-1]) + 1 if len(held) else 0].copy()


def _ranges(starts: I64, counts: I64) -> I64:
    """The places starts[i] .. starts[i] + counts[i] - 1, one range after another."""
    before = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
