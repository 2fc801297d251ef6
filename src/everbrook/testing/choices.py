"""The kernel of the made worlds: who takes which item next, event by event.

The weight of item i for a person is  exp(affinity to i's genre) * w_i(t),  and what follows the last item of the visit
shares `follow` times the person's total weight on top. As genres are few, a choice costs their
number, not that of items.

Not the public face of the worlds (see `worlds`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from everbrook.types import F32, F64, I16, I32, I64, Bool


class Shelf(NamedTuple):
    """What can be taken during one tick."""

    weight: F64  # (N,) w_i, 0 for what is not there
    cumulated: F64  # (N + 1,) weights summed in genre order
    order: I64  # (N,) rows in genre order
    starts: I64  # (G + 1,) where each genre begins in that order
    successors: I32  # (N, S)


class Law(NamedTuple):
    """What does not change in a world."""

    follow: float  # odds of going to a successor
    deeper: F64  # (kinds,) chance that one kind leads to the next on the same item
    targets: I32  # (bots,) what each bot pushes


class Memory(NamedTuple):
    """What people and bots remember: rows from len(last) - len(targets) on are bots."""

    last: I32  # the last item of the visit, -1 for none
    depth: I16  # the last kind


@njit(cache=True)
def choose(
    person: I32, opens: Bool, affinity: F32, chance: F64, shelf: Shelf, law: Law, memory: Memory, item: I32, kind: I16
) -> None:
    """Let each event's person take an item.

    Args:
        person: (B,) rows.
        opens: (B,) whether the event opens a visit.
        affinity: (B, G) utility of each genre, there and then.
        chance: (B, 3) uniform numbers.
        shelf: what is there.
        law: how they choose.
        memory: of the visits; changed.
        item: (B,) out.
        kind: (B,) out.
    """
    last, depth = memory.last, memory.depth
    people = len(last) - len(law.targets)
    mass = np.empty(affinity.shape[1], np.float64)
    for b in range(len(person)):
        who = person[b]
        if opens[b]:
            last[who] = -1
        before = last[who]
        if who >= people and chance[b, 0] < 0.5:
            taken, deep = law.targets[who - people], 0
        elif who < people and before >= 0 and chance[b, 0] < law.deeper[depth[who]]:
            taken, deep = before, depth[who] + 1
        else:
            alive = _alive(shelf, before) if law.follow > 0.0 and who < people else 0
            draw = chance[b, 1] * (1.0 + law.follow * (alive > 0))
            if draw >= 1.0:
                place = min(alive - 1, int((draw - 1.0) / law.follow * alive))
                taken, deep = _successor(shelf, before, place), 0
            else:
                taken, deep = _any_item(shelf, affinity[b], mass, draw, chance[b, 2]), 0
        last[who], depth[who] = taken, deep
        item[b], kind[b] = taken, deep


@njit(cache=True)
def _alive(shelf: Shelf, before: int) -> int:
    count = 0
    if before >= 0:
        for after in shelf.successors[before]:
            count += shelf.weight[after] > 0.0
    return count


@njit(cache=True)
def _successor(shelf: Shelf, before: int, place: int) -> int:
    for after in shelf.successors[before]:
        if shelf.weight[after] > 0.0:
            if place == 0:
                return after
            place -= 1
    return before


@njit(cache=True)
def _any_item(shelf: Shelf, affinity: F32, mass: F64, draw: float, within: float) -> int:
    """An item by affinity to its genre and its weight: first the genre, then the item."""
    cumulated, starts = shelf.cumulated, shelf.starts
    total = 0.0
    for g in range(len(mass)):
        mass[g] = np.exp(affinity[g]) * (cumulated[starts[g + 1]] - cumulated[starts[g]])
        total += mass[g]
    left = draw * total
    genre = 0
    for g in range(len(mass)):
        if mass[g] > 0.0:
            genre = g
            if left < mass[g]:
                break
            left -= mass[g]
    low, high = cumulated[starts[genre]], cumulated[starts[genre + 1]]
    place = np.searchsorted(cumulated, low + within * (high - low), side="right") - 1
    place = min(max(place, starts[genre]), starts[genre + 1] - 1)
    while place > starts[genre] and shelf.weight[shelf.order[place]] == 0.0:
        place -= 1  # rounding at the edge
    return shelf.order[place]
