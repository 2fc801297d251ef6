"""Groups (sessions or users) and the items they took, kept so that neighbours are found in microseconds.

Not a model: `SessionNeighbours` and `UserNeighbours` are two ways to use it. Memory is bounded by the number of
remembered groups, and per item by the longest ring; nothing depends on how many events there have been.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.models import neighbours_kernels as kernels
from everbrook.models import neighbours_query as asking
from everbrook.state.mapped import AHEAD, grown, owned, with_room
from everbrook.types import F32, F64, I32, I64, NO_ROW, Arrays, Query, Step

ARRAYS = ("at", "pool", "blocks", "sizes", "counts", "members", "lengths", "current")
FIRST_POOL = 1 << 14


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is remembered, and how much of it is looked at for a query."""

    groups: int
    group_items: int
    sample: int
    nearest: int
    query_items: int
    closing: bool  # a group ends with its session
    floats: F64  # by the places named in neighbours_query


@dataclass(frozen=True, slots=True)
class Answer:
    """What the neighbours said."""

    items: I32  # (C,)
    mass: F32  # (C, K)
    rest: F32  # (K,)


class NeighbourStore:
    """Who took what lately, by group and by item."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._ring = kernels.FIRST_BLOCK << kernels.size_class(shape.sample)
        at = np.full(kernels.FREE + kernels.CLASSES, kernels.NONE, np.int64)
        at[: kernels.FREE] = 0
        self._arrays: Arrays = {
            "at": at,
            "pool": np.zeros(FIRST_POOL, np.int64),
            "blocks": np.zeros(0, np.int64),
            "sizes": np.zeros(0, np.int32),
            "counts": np.zeros(0, np.int64),
            "members": np.zeros((shape.groups, shape.group_items), np.int32),
            "lengths": np.zeros(shape.groups, np.int32),
            "current": np.zeros(0, np.int64),
        }
        # Working memory of a query; it holds the same before and after each.
        self._near: F32 = np.zeros(shape.groups, np.float32)
        self._first: I32 = np.full(shape.groups, kernels.NONE, np.int32)
        self._touched: I64 = np.zeros(shape.sample * shape.query_items, np.int64)
        self._votes: F32 = np.zeros(0, np.float32)
        self._place: I32 = np.zeros(0, np.int32)

    def grow(self, items: int, actors: int) -> None:
        """Make room for item and actor rows below these."""
        for name in ("blocks", "sizes", "counts"):
            self._arrays[name] = _longer(self._arrays[name], items, 0)
        self._arrays["current"] = _longer(self._arrays["current"], actors, kernels.NONE)
        self._votes = _longer(self._votes, items, 0)
        self._place = _longer(self._place, items, 0)

    def learn(self, step: Step) -> None:
        """Take in the events of positive weight."""
        start = 0
        while True:
            a = self._arrays
            start = kernels.learn(
                a["at"], a["pool"], a["blocks"], a["sizes"], a["counts"], self._ring, a["members"], a["lengths"],
                a["current"], self.shape.closing, start, step.actor, step.item, step.weight, step.session_n,
            )  # fmt: skip
            if start >= len(step):
                return
            a["pool"] = grown([a["pool"]], len(a["pool"]) + 4 * self._ring)[0]

    def recent(self, query: Query, count: int) -> I32:
        """Distinct known items among the last `count` of the history, newest first."""
        n = len(query.items)
        items = np.ascontiguousarray(query.items[n - min(count, n) :], np.int32)
        return asking.latest(items, len(self._arrays["counts"]), self.shape.query_items)

    def forget_actor(self, actor: int) -> int:
        """Let nothing lead from an actor to what was taken; how many rows that were."""
        current = self._arrays["current"]
        if not 0 <= actor < len(current) or current[actor] == kernels.NONE:
            return 0
        current[actor] = kernels.NONE
        return 1

    def answer(self, recent: I32, mine: I32, actor: int) -> Answer:
        """The neighbours' votes, as two columns of probabilities: without and with the asker's own items."""
        a = self._arrays
        items, mass, rest = asking.ask(
            a["at"], a["pool"], a["blocks"], a["sizes"], a["counts"], a["members"], a["lengths"],
            self._near, self._first, self._touched, self._votes, self._place,
            recent, np.ascontiguousarray(mine, np.int32), self._own(actor),
            self.shape.sample, self.shape.nearest, self.shape.floats,
        )  # fmt: skip
        return Answer(items, mass, rest)

    def look_up(self, answer: Answer, rows: I32, mass: F32) -> None:
        """Spread an answer over (M,) rows into (M, K) mass."""
        asking.look_up(answer.items, answer.mass, np.ascontiguousarray(rows, np.int32), self._place, mass)

    def because(self, recent: I32, actor: int, rows: I32) -> I32:
        """(M,) the recent item that brought each row most; NO_ROW where none did."""
        out = np.full(len(rows), NO_ROW, np.int32)
        if len(recent):
            a = self._arrays
            asking.brought(
                a["at"], a["pool"], a["blocks"], a["sizes"], a["counts"], a["members"], a["lengths"],
                self._near, self._first, self._touched, recent, self._own(actor), self.shape.sample,
                self.shape.nearest, self.shape.floats, np.ascontiguousarray(rows, np.int32), self._place, out,
            )  # fmt: skip
        return out

    def state(self) -> Arrays:
        """All groups and rings; slots and pool as far as used, all slots where half are, to load faster."""
        a = self._arrays
        slots = min(int(a["at"][kernels.NEXT_GROUP]), self.shape.groups)
        slots = self.shape.groups if 2 * slots >= self.shape.groups else slots
        used = {"pool": int(a["at"][kernels.POOL_USED]), "members": slots, "lengths": slots}
        return {name: a[name][: used.get(name)] for name in ARRAYS}

    def load(self, arrays: Arrays) -> None:
        """Take over all groups and rings."""
        for name in ("members", "lengths"):
            if arrays[name].shape == self._arrays[name].shape:
                self._arrays[name] = owned(arrays[name])
            else:
                self._arrays[name][: len(arrays[name])] = arrays[name]
        for name in ("at", "blocks", "sizes", "counts", "current"):
            self._arrays[name] = owned(arrays[name])
        self._arrays["pool"] = with_room(arrays["pool"], max(AHEAD * len(arrays["pool"]), FIRST_POOL))
        self._votes = np.zeros(len(self._arrays["counts"]), np.float32)
        self._place = np.zeros(len(self._arrays["counts"]), np.int32)

    def _own(self, actor: int) -> int:
        current = self._arrays["current"]
        return int(current[actor]) if 0 <= actor < len(current) else kernels.NONE


def _longer(array, rows: int, fill: int):  # type: ignore[no-untyped-def]
    """The array with room for at least so many entries, by doubling."""
    if rows <= len(array):
        return array
    size = max(rows, 2 * len(array))
    bigger = np.full(size, fill, array.dtype) if fill else np.zeros(size, array.dtype)  # zeros are not written
    bigger[: len(array)] = array
    return bigger
