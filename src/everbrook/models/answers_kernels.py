"""The inner loop of looking up what was answered for given rows. Plain arrays only."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import F32, I32, I64


@njit(cache=True)
def slot_of(item: int, first: I32) -> int:
    """Where a search for the item begins in a table of 2^n slots."""
    return int(np.uint32(np.uint32(item) * np.uint32(2654435769)) >> np.uint32(7)) & (len(first) - 1)


@njit(cache=True, nogil=True)
def look_up_all(items: I32, found: F32, ends: I64, answers: I64, rows: I32, starts: I64, mass: F32) -> None:
    """Spread answers over the rows that each is asked for.

    Args:
        items: (C,) of all answers.
        found: (C, K) their probabilities.
        ends: where each answer starts, and the end.
        answers: (B,) which of them are asked.
        rows: the rows of the first, and then those of the next.
        starts: (B + 1,) where those of each start, and the end.
        mass: (rows, K) out.
    """
    most = 1
    for b in range(len(answers)):
        most = max(most, starts[b + 1] - starts[b])
    slots = 1024
    while slots < 8 * most:  # few share a slot, and the table stays near
        slots *= 2
    first = np.empty(slots, np.int32)  # the place of a row, from 1
    for b in range(len(answers)):
        first[:] = 0
        start, again = starts[b], 0
        for m in range(start, starts[b + 1]):
            slot = slot_of(rows[m], first)
            while first[slot] and rows[start + first[slot] - 1] != rows[m]:
                slot = (slot + 1) & (slots - 1)
            again += int(first[slot] > 0)
            first[slot] = m - start + 1 if first[slot] == 0 else first[slot]
            for column in range(found.shape[1]):
                mass[m, column] = 0.0
        for c in range(ends[answers[b]], ends[answers[b] + 1]):
            slot = slot_of(items[c], first)
            while first[slot]:
                m = start + first[slot] - 1
                if rows[m] == items[c]:
                    for column in range(found.shape[1]):
                        mass[m, column] = found[c, column]
                    break
                slot = (slot + 1) & (slots - 1)
        for m in range(start, starts[b + 1] if again else start):  # rows that are asked for twice
            slot = slot_of(rows[m], first)
            while rows[start + first[slot] - 1] != rows[m]:
                slot = (slot + 1) & (slots - 1)
            for column in range(found.shape[1]):
                mass[m, column] = mass[start + first[slot] - 1, column]
