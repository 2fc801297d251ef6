"""What each actor has met, beyond the history: one entry an item and kind, the latest last, up to a bound.

A history keeps the last events and forgets what they push out; here an item that was met stays until so many others
were. Events that only say that something was seen are kept too. Entries lie in pooled blocks as histories do (see
`blocks`): `time << 16 | kind` and `item << 32 | says`, where `says` is what the event said: 0 unwanted, 1 seen, 2 good.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from everbrook.state.blocks import (
    COUNT,
    GONE,
    OWNER,
    SIZE,
    START,
    UNIT,
    UNITS,
    copy_ranges,
    has_room,
    insert,
    make_slot,
    release,
    sizes_of,
)
from everbrook.state.histories import Histories, Rows
from everbrook.types import F32, I16, I32, I64, NO_ROW, Arrays

UNWANTED, SEEN, GOOD = 0, 1, 2  # that the first is 0 lets `has_unwanted` look for it fast
_LOW = 0xFFFFFFFF
_GROWTH = 1.5


class Met(NamedTuple):
    """The entries of one actor, those that were renewed last at the end."""

    items: I32
    times: I64
    kinds: I16
    says: I32


@njit(cache=True)
def put(
    rows: I32, slots: I64, control: I64, free: I32, sizes: I32, most: int, actor: int, time_kind: int, item_says: int,
) -> None:  # fmt: skip
    """Put an entry at the end, in the place of an older one of the same item and kind; the later of both is kept."""
    base, n = UNIT * int(rows[actor, START]), rows[actor, COUNT]
    at = n - 1
    while at >= 0 and not (
        slots[base + at, 1] >> 32 == item_says >> 32 and slots[base + at, 0] & 0xFFFF == time_kind & 0xFFFF
    ):
        at -= 1
    if at >= 0:
        if slots[base + at, 0] >> 16 > time_kind >> 16:
            time_kind, item_says = slots[base + at, 0], slots[base + at, 1]
        for i in range(at, n - 1):
            slots[base + i, 0] = slots[base + i + 1, 0]
            slots[base + i, 1] = slots[base + i + 1, 1]
        rows[actor, COUNT] = n - 1
    else:
        make_slot(rows, slots, control, free, sizes, actor, most)
    insert(rows, slots, actor, 0, time_kind, item_says)


@njit(cache=True, nogil=True)
def remember(
    first: int, most: int, ts_ms: I64, item: I32, kind: I16, weight: F32, actor: I32, session: I32, led: I32,
    owners: I32, rows: I32, slots: I64, control: I64, free: I32, sizes: I32,
) -> int:  # fmt: skip
    """Go through events from `first` on: take over a guest who was joined, then keep what was met.

    Returns:
        How many events are done; fewer than all where the arrays need to grow first.
    """
    for b in range(first, len(ts_ms)):
        if not has_room(rows, slots, control, sizes):
            return b
        now = actor[b]
        if session[b] >= 0:
            guest = led[session[b]]
            if guest >= 0 and guest != now and owners[guest, OWNER] == GONE and rows[guest, SIZE] >= 0:
                base = UNIT * int(rows[guest, START])
                for i in range(rows[guest, COUNT]):
                    put(rows, slots, control, free, sizes, most, now, slots[base + i, 0], slots[base + i, 1])
                release(rows, slots, free, guest)
            led[session[b]] = now
        says = UNWANTED if weight[b] < 0.0 else GOOD if weight[b] > 0.0 else SEEN
        put(rows, slots, control, free, sizes, most, now, ts_ms[b] << 16 | kind[b], int(item[b]) << 32 | says)
    return len(ts_ms)


class Remembered:
    """What all actors have met.

    Args:
        most: entries an actor may have; 0 keeps nothing.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._sizes = sizes_of(max(most, 1))
        self._clear(16, 64)

    def _clear(self, actors: int, units: int) -> None:
        self._control: I64 = np.zeros(3, np.int64)
        self._free: I32 = np.full(len(self._sizes), -1, np.int32)
        self._rows: I32 = _empty(max(16, actors))
        self._led: I32 = np.full(16, NO_ROW, np.int32)  # to whom each session led when it was last met
        self._slots: I64 = np.empty((UNIT * units + 4 * int(self._sizes[-1]), 2), np.int64)

    @property
    def lying(self) -> tuple[I32, I64]:
        """Actors, and entries as they lie; the caller must not write into them."""
        return self._rows, self._slots

    @property
    def n_bytes(self) -> int:
        """Memory that is held, in bytes."""
        return self._rows.nbytes + self._slots.nbytes + self._led.nbytes

    def note(self, events: Rows, actor: I32, histories: Histories, sessions: int) -> None:
        """Keep what was met in events that the histories have taken in.

        Args:
            events: in log order.
            actor: (B,) whose they are.
            histories: know who was joined.
            sessions: how many session rows there are.
        """
        if not self.most or not len(actor):
            return
        if histories.n_actors > len(self._rows):
            wider = _empty(max(histories.n_actors, int(_GROWTH * len(self._rows))))
            wider[: len(self._rows)] = self._rows
            self._rows = wider
        if sessions > len(self._led):
            led = np.full(max(sessions, int(_GROWTH * len(self._led))), NO_ROW, np.int32)
            led[: len(self._led)] = self._led
            self._led = led
        done = 0
        while True:
            done = remember(
                done, self.most, events.ts_ms, events.item, events.kind, events.weight, actor, events.session,
                self._led, histories.table, self._rows, self._slots, self._control, self._free, self._sizes,
            )  # fmt: skip
            if done == len(actor):
                return
            used = UNIT * int(self._control[UNITS])
            slots = np.empty((int(_GROWTH * len(self._slots)) + 4 * int(self._sizes[-1]), 2), np.int64)
            slots[:used] = self._slots[:used]
            self._slots = slots

    def follow(self, led: I32) -> None:
        """Take over to whom each session leads, from histories that were loaded."""
        self._led = np.concatenate((led, np.full(16, NO_ROW, np.int32))).astype(np.int32)

    def of(self, actor: int, guest: int = NO_ROW) -> Met:
        """What an actor has met; nothing where nobody knows who it is.

        Args:
            actor: whose.
            guest: whose entries come after, as they would when the next event joins both; NO_ROW where none.
        """
        slots = self._of(actor) if guest == NO_ROW else np.concatenate((self._of(actor), self._of(guest)))
        times, items = slots[:, 0], slots[:, 1]
        return Met(
            (items >> 32).astype(np.int32), times >> 16, (times & 0xFFFF).astype(np.int16),
            (items & _LOW).astype(np.int32),
        )  # fmt: skip

    def has_unwanted(self, actor: int) -> bool:
        """Whether there is anything that an actor did not want."""
        return not (self._of(actor)[:, 1] & _LOW).all()

    def _of(self, actor: int) -> I64:
        """(n, 2) an actor's entries as they lie."""
        known = 0 <= actor < len(self._rows) and self._rows[actor, SIZE] >= 0
        start, n = (UNIT * int(self._rows[actor, START]), int(self._rows[actor, COUNT])) if known else (0, 0)
        return self._slots[start + n - min(n, self.most) : start + n]

    def forget(self, actor: int, session_rows: list[int]) -> int:
        """Drop what an actor has met, and that sessions led there; how many entries that were."""
        self._led[[row for row in session_rows if row < len(self._led)]] = NO_ROW
        n = len(self.of(actor).items)
        if n:
            release(self._rows, self._slots, self._free, actor)
        return n

    def arrays(self) -> Arrays:
        """All entries, packed one actor after another."""
        n = np.minimum(self._rows[:, COUNT], self.most)
        n[self._rows[:, SIZE] < 0] = 0
        held = int(np.flatnonzero(n)[-1]) + 1 if n.any() else 0
        n = n[:held]
        stops = UNIT * self._rows[:held, START].astype(np.int64) + self._rows[:held, COUNT]
        return {"n": n.astype(np.int32), "slots": self._slots[_ranges(stops - n, n)]}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave; of more entries the last."""
        n = np.minimum(arrays["n"], self.most).astype(np.int64)
        size = np.searchsorted(self._sizes, n).astype(np.int32)
        size[n == 0] = -1
        units = np.where(size < 0, 0, self._sizes[size] // UNIT).astype(np.int64)
        start = np.cumsum(units) - units
        self._clear(len(n), int(units.sum()))
        self._control[UNITS] = units.sum()
        self._rows[: len(n)] = np.stack([np.where(size < 0, -1, start), n, size, np.zeros(len(n))], axis=1)
        stops = np.cumsum(arrays["n"].astype(np.int64))
        copy_ranges(arrays["slots"], stops - n, n, self._slots, UNIT * start)


def _empty(actors: int) -> I32:
    rows = np.full((actors, 4), -1, np.int32)
    rows[:, COUNT] = 0
    return rows


def _ranges(starts: I64, counts: I64) -> I64:
    """The places starts[i] .. starts[i] + counts[i] - 1, one range after another."""
    before = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
