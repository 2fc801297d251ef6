"""Steps of item rows while serving: sized by each row's own recent gradients, clipped, and never fading with age.

A row's step is rate * g / sqrt(m + floor^2), where m is the mean square of its last gradients: an average over all
of them at first, then over about the last `memory` (RMSprop by rows, with the start of an average). Rows whose
gradients are small, such as negatives far from everything, move little, since the floor stands in the root.

Two bounds hold whatever the gradients are. One step moves no number by more than `clip[0]` of its size plus `clip[1]`
(Clippy: Tang et al., 'Improving training stability for multitask ranking models in recommender systems', KDD 2023).
Within a window a row stays within `cap` of what it was when the window began, in the L2 norm, however many events or
actors push it: so that for a state s its score changes by at most cap * |s|.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.types import F32, I32, I64, Bool


@njit(cache=True, fastmath={"contract", "reassoc"})
def step_rows(
    table: F32, rows: I32, grads: F32, squares: F32, updates: F32, sizes: tuple[float, float, float, float, float],
    clip: tuple[float, float], changes: F32,
) -> int:
    """Move rows in place.

    Args:
        table: (N, D)
        rows: (R,) without repeats.
        grads: (R, D) their gradients.
        squares: (N,) in and out: mean square of a row's gradients.
        updates: (N,) in and out: how often each row has moved.
        sizes: step size; updates over which `squares` averages; gradient size below which steps shrink; how many times
            larger a row's first step is; multiple of the step size down to which its steps shrink with the root of
            their number.
        clip: of a number's own size and of 1: what one step may change it by.
        changes: (N,) in and out: sum of the lengths of the steps since someone last looked.

    Returns:
        How many rows were clipped.
    """
    rate, memory, floor, first, last = sizes
    clipped = 0
    for r in range(len(rows)):
        row = rows[r]
        total = 0.0
        for d in range(table.shape[1]):
            total += grads[r, d] * grads[r, d]
        if not total < np.inf:  # not a number, too
            continue
        updates[row] += 1.0
        squares[row] += (total / table.shape[1] - squares[row]) / min(updates[row], memory)
        size = rate * max(last, first / math.sqrt(updates[row])) / math.sqrt(squares[row] + floor * floor)
        over = 1.0
        for d in range(table.shape[1]):
            most = clip[0] * abs(table[row, d]) + clip[1]
            over = max(over, size * abs(grads[r, d]) / most)
        clipped += over > 1.0
        step = np.float32(size / over)
        for d in range(table.shape[1]):
            table[row, d] -= step * grads[r, d]
        changes[row] += step * math.sqrt(total)
    return clipped


@njit(cache=True)
def hold_rows(table: F32, rows: I32, place: I32, began: F32, cap: float) -> int:
    """Pull rows back to within `cap` of what they were when the window began; how many.

    Args:
        table: (N, D)
        rows: (R,)
        place: (N,) where a row's value at the window's begin stands in `began`; negative where it has not moved since.
        began: (W, D)
        cap: largest length of the movement.
    """
    held = 0
    for r in range(len(rows)):
        row = rows[r]
        at = place[row]
        if at < 0:
            continue
        total = 0.0
        for d in range(table.shape[1]):
            moved = table[row, d] - began[at, d]
            total += moved * moved
        if total > cap * cap:
            held += 1
            share = np.float32(cap / math.sqrt(total))
            for d in range(table.shape[1]):
                table[row, d] = began[at, d] + share * (table[row, d] - began[at, d])
    return held


@njit(cache=True)
def place_rows(table: F32, targets: I32, updates: F32, items: I32, held: Bool, share: float) -> None:
    """Let rows that never moved begin near those of the history in which they are taken: the nearer, the nearer.

    Args:
        table: (N, D)
        targets: (B,) what was taken.
        updates: (N,) how often each row has moved.
        items: (B, L) the histories, oldest first, right-aligned.
        held: (B, L) whether a place holds an event.
        share: of the histories' weighted mean that a new row takes up.
    """
    L = items.shape[1]
    for b in range(len(targets)):
        row = targets[b]
        if updates[row] > 0.0:
            continue
        total = 0.0
        for place in range(L):
            if held[b, place] and items[b, place] != row:
                total += 1.0 / (L - place)
        if total == 0.0:
            continue
        for place in range(L):
            if held[b, place] and items[b, place] != row:
                weight = np.float32(share / (L - place) / total)
                for d in range(table.shape[1]):
                    table[row, d] += weight * table[items[b, place], d]


@njit(cache=True)
def count_targets(seen: I32, items: I32) -> None:
    """Count how often each item was taken."""
    for item in items:
        if seen[item] < 2**31 - 1:
            seen[item] += 1


@njit(cache=True)
def touch_rows(last_s: I64, rows: I32, now_s: int) -> None:
    """Note when rows were last of use."""
    for row in rows:
        last_s[row] = now_s
