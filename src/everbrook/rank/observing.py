"""What the families say of a run of events before they learn it, and what the weights learn from that: one compiled
loop a run, for runs are short where events come singly and every single array operation costs as much as an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numba import njit

from everbrook.rank.contexts import of_events
from everbrook.rank.pools import learn_bulk
from everbrook.types import F32, I64

Block: TypeAlias = tuple[F32, F32]


class Told:
    """Room for what every family says of so many events; each has a block of its own, in which it writes.

    Args:
        widths: columns of each family.
        events: of a run, at most.
    """

    def __init__(self, widths: Sequence[int], events: int) -> None:
        self.events = events
        self.widths: I64 = np.array(widths, np.int64)
        self.mass: F32 = np.empty(events * sum(widths), np.float32)
        self.rest: F32 = np.empty_like(self.mass)
        stops = (events * np.cumsum(self.widths)).tolist()
        self._blocks: list[Block] = [
            (
                self.mass[stop - events * width : stop].reshape(events, width),
                self.rest[stop - events * width : stop].reshape(events, width),
            )
            for stop, width in zip(stops, widths, strict=True)
        ]
        self._parts: dict[int, list[Block]] = {}

    def blocks(self, events: int) -> list[Block]:
        """(events, K) mass and rest of each family, to write in; they hold what another run left there."""
        parts = self._parts.get(events)
        if parts is None:
            parts = self._parts[events] = [(mass[:events], rest[:events]) for mass, rest in self._blocks]
        return parts


@njit(cache=True)
def note_first(ts_ms, item, first_seen_ms):  # type: ignore[no-untyped-def]
    """Note when each item first came, in place; 0 stands for never."""
    for b in range(len(item)):
        if first_seen_ms[item[b]] == 0:
            first_seen_ms[item[b]] = max(ts_ms[b], 1)


@njit(cache=True)
def put_together(widths, room, parts, out):  # type: ignore[no-untyped-def]
    """Lay the blocks of `Told`, each with room for `room` events, side by side: (B, E) `out`."""
    first, begin = 0, 0
    for width in widths:
        for b in range(len(out)):
            for k in range(width):
                out[b, first + k] = parts[begin + b * width + k]
        first += width
        begin += room * width


@njit(cache=True, nogil=True)
def learn_run(  # type: ignore[no-untyped-def]
    ts_ms, item, scenario, weight, n, session_n, learned, widths, room, mass, rest, popular, first_seen_ms, n_items,
    rates, base_weights, pools, top, losses, logp
):  # fmt: skip
    """Note when items first came, and learn pools and insurance from a run of B events; see `learn_bulk`.

    Args:
        ts_ms: (B,) see `Step`.
        item: (B,) see `Step`.
        scenario: (B,) see `Step`.
        weight: (B,) see `Step`; events without a positive one are no targets.
        n: (B,) see `Step`.
        session_n: (B,) see `Step`.
        learned: (B,) events that are no targets either; none where it is empty.
        widths: see `Told`.
        room: events that there is room for in `mass` and `rest`.
        mass: what the families said, as `Told` has it.
        rest: the same.
        popular: see `learn_bulk`.
        first_seen_ms: (N,) in and out: when each item first came.
        n_items: how many items were known.
        rates: see `learn_bulk`.
        base_weights: see `learn_bulk`.
        pools: see `learn_bulk`.
        top: see `learn_bulk`.
        losses: see `learn_bulk`.
        logp: (B,), out: see `learn_bulk`.

    Returns:
        How many items are known now, and how many targets there were.
    """
    events, columns = len(item), 0
    for width in widths:
        columns += width
    note_first(ts_ms, item, first_seen_ms)
    skip, uniform = np.empty(events, np.bool_), np.empty(events)
    targets = 0
    for b in range(events):
        uniform[b] = 1.0 / max(n_items, 1)
        n_items = max(n_items, item[b] + 1)
        skip[b] = weight[b] <= 0.0 or (len(learned) > 0 and learned[b])
        targets += not skip[b]
    logp[:] = np.nan
    if targets > 0:
        side_mass, side_rest = np.empty((events, columns), np.float32), np.empty((events, columns), np.float32)
        put_together(widths, room, mass, side_mass)
        put_together(widths, room, rest, side_rest)
        learn_bulk(
            side_mass, side_rest, popular, of_events(scenario, n, session_n), uniform, rates, base_weights, pools, top,
            losses, logp, skip,
        )  # fmt: skip
    return n_items, targets
