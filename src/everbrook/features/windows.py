"""The last events of actors as padded arrays, from whatever holds them: a step, a query, packed histories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from everbrook.types import I16, I32, I64, Bool, Query, Step

ANY_ROW = np.iinfo(np.int32).max
"""All item rows lie below it."""


@dataclass(frozen=True, slots=True)
class Window:
    """The last events of B actors, left-aligned, and the moment asked about after them.

    Places beyond `n` hold anything.
    """

    items: I32  # (B, L)
    times: I64  # (B, L)
    kinds: I16  # (B, L)
    n: I32  # (B,)
    now_ms: I64  # (B,)

    @property
    def held(self) -> Bool:
        """(B, L) whether there is an event."""
        return np.arange(self.items.shape[1]) < self.n[:, None]


def step_window(step: Step, length: int, known: int = ANY_ROW, wanted: I64 | None = None) -> Window:
    """The histories before events of a step.

    Args:
        step: the events.
        length: L, how many of the last events at most.
        known: events on item rows from here on are passed over.
        wanted: (B,) which events of the step; all where None.
    """
    at = np.arange(len(step)) if wanted is None else wanted
    items, times, kinds = _blank(len(at), length)
    n = _known_histories(step.items, step.times, step.kinds, step.n, at, known, items, times, kinds)
    return Window(items, times, kinds, n, step.ts_ms[at])


def query_window(query: Query, length: int, known: int = ANY_ROW) -> Window:
    """The history of one who asks, as a batch of one; `length` and `known` as in `step_window`."""
    items, times, kinds = _blank(1, length)
    n = _known_history(query.items, query.times, query.kinds, len(query.items), known, items[0], times[0], kinds[0])
    return Window(items, times, kinds, np.array([n], np.int32), np.array([query.now_ms], np.int64))


def _blank(count: int, length: int) -> tuple[I32, I64, I16]:
    shape = (count, length)
    return np.zeros(shape, np.int32), np.zeros(shape, np.int64), np.zeros(shape, np.int16)


@njit(cache=True)
def _known_history(
    items: I32, times: I64, kinds: I16, n: int, known: int, into_items: I32, into_times: I64, into_kinds: I16
) -> int:
    """Copy the last events whose item row is below `known` to the front of three arrays of length L; how many."""
    left, first = len(into_items), n
    while first > 0 and left > 0:
        first -= 1
        if 0 <= items[first] < known:
            left -= 1
    count = 0
    for place in range(first, n):
        if 0 <= items[place] < known:
            into_items[count], into_times[count], into_kinds[count] = items[place], times[place], kinds[place]
            count += 1
    return count


@njit(cache=True)
def _known_histories(
    items: I32, times: I64, kinds: I16, n: I32, at: I64, known: int, into_items: I32, into_times: I64, into_kinds: I16
) -> I32:
    """`_known_history` of the events `at` into three (B, L) arrays."""
    counts = np.empty(len(at), np.int32)
    for place in range(len(at)):
        b = at[place]
        counts[place] = _known_history(
            items[b], times[b], kinds[b], n[b], known, into_items[place], into_times[place], into_kinds[place]
        )
    return counts
