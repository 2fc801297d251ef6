"""Inner loops of the live model's lists: scores of rows, the denominator over all items."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from everbrook.models.live_exp import exp_below
from everbrook.models.prefetch import prefetch
from everbrook.types import F32, F64, I32, I64

_AHEAD, _LINE = 8, 16  # rows that memory is asked for ahead; numbers of a line of it
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several products at a time


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


@njit(cache=True, nogil=True)
def scored(
    plain: Any, states: F32, log_all: F64, rows: I32, starts: I64, prior: Any, uniform: float, share: float, out: F32
) -> None:  # fmt: skip
    """Probabilities of given rows, those of one state after those of the other.

    Args:
        plain: (N, D) rows, (N,) where a row has another value and (R, D) those values, as a tuple; see `lifts`.
        states: (Q, D)
        log_all: (Q,) logarithms of the denominators; infinity gives nothing.
        rows: (M,)
        starts: (Q + 1,) where each state's rows begin.
        prior: (K, M or more) probabilities, (K,) what they leave, NaN where asleep, and (K,) their weights, as a tuple.
        uniform: the probability of each item that what is left goes to.
        share: of what comes out that counts.
        out: (M,), out.
    """
    table, place, buffer = plain
    whole, rest, weights = prior
    total, spread = 0.0, 0.0
    for k in range(len(weights)):
        total += 0.0 if np.isnan(rest[k]) else weights[k]
    for k in range(len(weights)):
        spread += 0.0 if np.isnan(rest[k]) else weights[k] / total * rest[k]
    likely = np.full(len(rows), np.float32(spread * uniform))
    for k in range(len(weights)):
        if not np.isnan(rest[k]) and weights[k] > 0.0:
            _add(whole[k, : len(rows)], np.float32(weights[k] / total), likely)
    for q in range(len(states)):
        own = slice(starts[q], starts[q + 1])
        if math.isinf(log_all[q]):
            out[own] = np.float32(0.0)
            continue
        lifts(table, states[q], place, buffer, rows[own], out[own])
        _lifted(likely[own], np.float32(log_all[q]), np.float32(share), out[own])


@njit(cache=True, fastmath=_SUMS)
def _add(mass: F32, share: np.float32, out: F32) -> None:
    for m in range(len(mass)):
        out[m] += mass[m] * share


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def _lifted(likely: F32, log_all: np.float32, share: np.float32, out: F32) -> None:
    """Lifts, in place, to their parts of the denominator, none above 1."""
    for m in range(len(likely)):
        apart = out[m] - log_all
        power = exp_below(abs(apart))
        power = np.float32(1.0) / power if apart > np.float32(0.0) else power
        out[m] = share * min(likely[m] * power, np.float32(1.0))
