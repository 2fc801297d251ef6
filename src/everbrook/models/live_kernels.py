"""Inner loops of the live model's lists: scores of rows, the denominator over all items."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.models.live_exp import exp_below
from everbrook.models.prefetch import prefetch
from everbrook.types import F32, F64, I32, I64

_AHEAD, _LINE = 8, 16  # rows that memory is asked for ahead; numbers of a line of it
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several products at a time


@njit(cache=True, fastmath=_SUMS)
def overlaid(scores: F32, state: F32, rows: I32, values: F32) -> None:
    """Replace the scores of rows that have other values than the table, in place.

    Args:
        scores: (N,) products of the table's rows with the table's state.
        state: (D,)
        rows: (R,)
        values: (R, D)
    """
    for r in range(len(rows)):
        if rows[r] < len(scores):
            total = np.float32(0.0)
            for d in range(len(state)):
                total += values[r, d] * state[d]
            scores[rows[r]] = total


@njit(cache=True, fastmath=_SUMS)
def lifts(table: F32, state: F32, place: I32, buffer: F32, rows: I32, out: F32) -> None:
    """Products of given rows with a state.

    Args:
        table: (N, D)
        state: (D,)
        place: (N,) where a row has another value, in `buffer`; may be shorter, negative for none.
        buffer: (R, D)
        rows: (M,)
        out: (M,)
    """
    numbers, width = table.reshape(table.size), table.shape[1]
    for m in range(len(rows)):
        if m + _AHEAD < len(rows):
            begin = np.int64(rows[m + _AHEAD]) * width
            for d in range(0, width, _LINE):
                prefetch(numbers, begin + d)
        row = rows[m]
        at = place[row] if row < len(place) else -1
        total = np.float32(0.0)
        if at >= 0:
            for d in range(len(state)):
                total += buffer[at, d] * state[d]
        else:
            for d in range(len(state)):
                total += table[row, d] * state[d]
        out[m] = total


@njit(cache=True, fastmath=_SUMS)
def log_total(scores: F32, log_prior: F32) -> float:
    """Logarithm of the sum over all items of prior times lift; `scores` (N,) become the logarithms of the parts."""
    top = -1e30
    for i in range(len(scores)):
        scores[i] += log_prior[i]
        top = max(top, scores[i])
    total = 0.0
    for i in range(len(scores)):
        apart = scores[i] - top
        if apart > -25.0:
            total += math.exp(apart)
    return top + math.log(total)


@njit(cache=True, fastmath=_SUMS)
def scored(
    table: F32, states: F32, place: I32, buffer: F32, rows: I32, starts: I64, log_prior: F32, log_all: F64, mass: F32
) -> None:
    """Probabilities of given rows, those of one state after those of the other.

    Args:
        table: (N, D)
        states: (Q, D)
        place: (N,) where a row has another value, in `buffer`; may be shorter, negative for none.
        buffer: (R, D)
        rows: (M,)
        starts: (Q + 1,) where each state's rows begin.
        log_prior: (M,)
        log_all: (Q,) logarithms of the denominators; infinity gives nothing.
        mass: (M,), out.
    """
    for q in range(len(states)):
        own, state = slice(starts[q], starts[q + 1]), states[q]
        lifts(table, state, place, buffer, rows[own], mass[own])
        for m in range(starts[q], starts[q + 1]):
            mass[m] = exp_below(np.float32(max(log_all[q] - (np.float64(mass[m]) + log_prior[m]), 0.0)))
