"""Groups (sessions or users) and the items they took, kept so that neighbours are found in microseconds.

Not a model: `SessionNeighbours` and `UserNeighbours` are two ways to use it. Memory is bounded by the number of
remembered groups, and per item by the longest ring; nothing depends on how many events there have been. Working
memory of queries comes to 4 bytes a group and 8 a known item, and 52 for each vote that a query can hear (1 MB for
users unless set otherwise).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from everbrook.models import neighbours_kernels as kernels
from everbrook.models import neighbours_query as asking
from everbrook.models.answers import Answers
from everbrook.models.neighbours_votes import COUNTS
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


class NeighbourStore:
    """Who took what lately, by group and by item."""

    def __init__(self, shape: Shape, more: int = 0) -> None:
        """Begin empty.

        Args:
            shape: how much is remembered and looked at.
            more: items that may get numbers in a query beside those of the neighbours.
        """
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
        # Working memory of a query.
        around = around_of(shape)
        most = more + shape.nearest * min(shape.group_items, len(around)) + 1
        lengths = np.arange(asking.LENGTHS, dtype=np.float64)
        self._shrunk: F32 = (lengths ** shape.floats[asking.SIZE_POWER]).astype(np.float32)
        self._around: F32 = around
        self._rarities: F64 = np.zeros(1 + COUNTS)
        pulls = shape.sample * shape.query_items * (shape.query_items + 1) // 2 * asking.PLACES
        # Zeros before and after each query, of a kind that holds the most that a group can be pulled.
        self._seen: Any = np.zeros(shape.groups, np.int32 if pulls < 1 << 31 else np.int64)
        most = max(most, shape.sample * shape.query_items + 1)
        self._ints: I32 = np.empty((asking.INTS, most), np.int32)
        self._reals: F32 = np.empty((asking.REALS, most), np.float32)
        self._keys: I64 = np.empty(most, np.int64)
        # By item: which number it has, and how many groups took it; from where numbers are free.
        self._place: I32 = np.zeros(0, np.int32)
        self._epoch: I64 = np.ones(1, np.int64)

    def grow(self, items: int, actors: int) -> None:
        """Make room for item and actor rows below these."""
        for name in ("blocks", "sizes", "counts"):
            self._arrays[name] = _longer(self._arrays[name], items, 0)
        self._arrays["current"] = _longer(self._arrays["current"], actors, kernels.NONE)
        self.number(items)

    def number(self, items: int) -> None:
        """Let item rows below `items` be numbered in queries, also where no group can have them."""
        if 2 * max(items, self.items) > len(self._place):
            self._place = np.zeros(2 * max(items, self.items), np.int32)
            self._place[1 : 2 * self.items : 2] = self._arrays["counts"]
            self._epoch[:] = 1

    @property
    def items(self) -> int:
        """For how many item rows there is room."""
        return len(self._arrays["counts"])

    def learn(self, step: Step) -> None:
        """Take in the events of positive weight."""
        start = 0
        while True:
            a = self._arrays
            start = kernels.learn(
                a["at"], a["pool"], a["blocks"], a["sizes"], a["counts"], self._ring, a["members"], a["lengths"],
                a["current"], self._place, self.shape.closing, start, step.actor, step.item, step.weight,
                step.session_n,
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

    def asked(self, answers: Answers) -> tuple[Any, ...]:
        """What kernels that ask begin with: everything that is kept, and working memory; see `neighbours_query`."""
        a, shape = self._arrays, self.shape
        return (
            a["at"], a["pool"], a["blocks"], a["sizes"], a["counts"], a["members"].reshape(-1), shape.group_items,
            a["lengths"], a["current"], self._shrunk, self._around, shape.sample, shape.nearest, shape.floats,
            self._rarities, self._seen, self._ints, self._reals, self._keys, self._place, self._epoch,
            *answers.memory(), shape.query_items,
        )  # fmt: skip

    def because(self, recent: I32, actor: int, rows: I32) -> I32:
        """(M,) the recent item that brought each row most; NO_ROW where none did."""
        out = np.full(len(rows), NO_ROW, np.int32)
        if len(recent):
            a, shape = self._arrays, self.shape
            asking.brought(
                a["at"], a["pool"], a["blocks"], a["sizes"], a["counts"], a["members"].reshape(-1), shape.group_items,
                a["lengths"], a["current"], self._shrunk, shape.sample, shape.nearest, shape.floats,
                self._seen, self._ints, self._reals, self._place, self._epoch, recent, actor,
                np.ascontiguousarray(rows, np.int32), out,
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
        self._rarities[:] = 0.0
        self._place = np.zeros(0, np.int32)
        self.number(self.items)


def around_of(shape: Shape, faded: float = asking.FADED) -> F32:
    """(2 R,) weight of what stands R places before the shared item, R - 1 before it and so on; see `FADED`."""
    fading = shape.floats[asking.DISTANCE_DECAY] ** np.arange(shape.group_items + 2)
    reach = int(np.searchsorted(-fading[:-1], -faded))
    before = fading[reach:0:-1] * shape.floats[asking.BEFORE_FACTOR]
    return np.concatenate((before, fading[:reach])).astype(np.float32)


def _longer(array, rows: int, fill: int):  # type: ignore[no-untyped-def]
    """The array with room for at least so many entries, by doubling."""
    if rows <= len(array):
        return array
    size = max(rows, 2 * len(array))
    bigger = np.full(size, fill, array.dtype) if fill else np.zeros(size, array.dtype)  # zeros are not written
    bigger[: len(array)] = array
    return bigger
