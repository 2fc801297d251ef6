"""Inner loops of scanning coded item rows: eight bits a number in the place of thirty-two, with proven bounds.

With a row v = c q + e (c its scale, q its codes) and a state s = t p + f (p of sixteen bits), the product v.s lies
within |e||s| + c|q||f| of c t q.p; a row's slack is that distance for a state of length 1.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everbrook.models.live_kernels import lifts
from everbrook.models.neighbours_kernels import kth_smallest
from everbrook.types import F32, F64, I32

I8 = NDArray[np.int8]
I16 = NDArray[np.int16]

PANEL = 64  # numbers of a row that lie side by side: a fixed count lets the compiler unroll
BLOCK = 64  # rows that share a peak
HEAVY = 1e-4  # share of the denominator from which a part is computed from the row itself
FAINT = 25.0  # parts of the denominator that are so many nats below the greatest count as nothing
_STEPS = 16  # table entries for each power of 2
_POWERS = np.exp2(-np.arange(int(FAINT * 1.4427) * _STEPS + 2 * _STEPS) / _STEPS).astype(np.float32)
_PER_NAT = np.float32(_STEPS / math.log(2.0))
_STEP_NATS = np.float32(math.log(2.0) / _STEPS)
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several numbers at a time


def state_levels(width: int) -> int:
    """Levels of a coded state, such that a row's int32 sum cannot overflow."""
    return int(min(32767, (2**31 - 1) // (127 * width)))


@njit(cache=True)
def code_rows(
    table: F32, place: I32, buffer: F32, rows: I32, levels: int, codes: I8, scales: F32, slack: F32
) -> None:
    """Code rows as they are now.

    Args:
        table: (N, D)
        place: (N,) where a row has another value, in `buffer`; may be shorter, negative for none.
        buffer: (R, D)
        rows: (M,)
        levels: see `state_levels`.
        codes: (P, N, 64), out: panels of codes.
        scales: (N,), out.
        slack: (N,), out.
    """
    D = table.shape[1]
    coarse = 0.5001 * math.sqrt(D) / levels
    for m in range(len(rows)):
        row = rows[m]
        at = place[row] if row < len(place) else -1
        values = buffer[at] if at >= 0 else table[row]
        top = np.float32(0.0)
        norm2 = 0.0
        for d in range(D):
            top = max(top, abs(values[d]))
            norm2 += np.float64(values[d]) * np.float64(values[d])
        scale = np.float32(top / np.float32(127.0))
        lost2, kept2 = 0.0, 0.0
        for d in range(D):
            code = 0.0
            if scale > 0.0:
                code = min(127.0, max(-127.0, np.rint(np.float64(values[d]) / np.float64(scale))))
            codes[d // PANEL, row, d % PANEL] = np.int8(code)
            kept = code * np.float64(scale)
            lost2 += (np.float64(values[d]) - kept) ** 2
            kept2 += kept * kept
        scales[row] = scale
        # the last term covers the rounding of float32, here and where rows are multiplied themselves
        slack[row] = np.float32(
            1.000001 * (math.sqrt(lost2) + coarse * math.sqrt(kept2)) + 4e-7 * math.sqrt(norm2) + 1e-37
        )


@njit(cache=True)
def _products(codes: I8, state: I16, start: int, stop: int, out: I32) -> None:
    for i in range(start, stop):
        total = np.int32(0)
        for d in range(PANEL):
            total += np.int32(codes[0, i, d]) * np.int32(state[d])
        out[i - start] = total
    for panel in range(1, codes.shape[0]):
        for i in range(start, stop):
            total = np.int32(0)
            for d in range(PANEL):
                total += np.int32(codes[panel, i, d]) * np.int32(state[panel * PANEL + d])
            out[i - start] += total


@njit(cache=True)
def _products_of(codes: I8, state: I16, rows: I32, start: int, stop: int, out: I32) -> None:
    for m in range(start, stop):
        row = rows[m]
        total = np.int32(0)
        for d in range(PANEL):
            total += np.int32(codes[0, row, d]) * np.int32(state[d])
        for panel in range(1, codes.shape[0]):
            for d in range(PANEL):
                total += np.int32(codes[panel, row, d]) * np.int32(state[panel * PANEL + d])
        out[m - start] = total


@njit(cache=True, fastmath=_SUMS)
def scan(
    codes: I8, scales: F32, slack: F32, state: I16, sizes: tuple[float, float], rows: I32, log_prior: F32, scores: F32,
    peaks: F32,
) -> float:  # fmt: skip
    """Rough logarithms of the parts of the denominator, and between what the greatest of each block must lie.

    Args:
        codes: (P, N, 64)
        scales: (N,)
        slack: (N,)
        state: (P * 64,) coded.
        sizes: what a level of the state stands for, and the state's length.
        rows: (M,) which rows; none of them is given where it is the first M.
        log_prior: (M,)
        scores: (M,), out.
        peaks: (3, blocks), out: the lower and the upper end of each block's greatest score, and its greatest error.

    Returns:
        The greatest score.
    """
    products = np.empty(BLOCK, np.int32)
    step, norm, top = np.float32(sizes[0]), np.float32(sizes[1]), np.float32(-1e30)
    for block in range(peaks.shape[1]):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, len(log_prior))
        low, high, most = np.float32(-1e30), np.float32(-1e30), np.float32(0.0)
        if len(rows):
            _products_of(codes, state, rows, start, stop, products)
        else:
            _products(codes, state, start, stop, products)
        for i in range(start, stop):
            row = rows[i] if len(rows) else i
            score = np.float32(products[i - start]) * (scales[row] * step) + log_prior[i]
            reach = slack[row] * norm
            scores[i] = score
            top = score if score > top else top
            low = score - reach if score - reach > low else low
            high = score + reach if score + reach > high else high
            most = reach if reach > most else most
        peaks[0, block], peaks[1, block], peaks[2, block] = low, high, most
    return np.float64(top)


@njit(cache=True, fastmath=_SUMS)
def total_of(scores: F32, top: float) -> float:
    """The sum of exp(score - top), to a relative 1e-6, where no score is above `top`."""
    total = 0.0
    for start in range(0, len(scores), 1024):
        part = np.float32(0.0)
        for i in range(start, min(start + 1024, len(scores))):
            part += _exp(np.float32(top) - scores[i])
        total += np.float64(part)
    return total


@njit(cache=True, fastmath=_SUMS)
def _exp(below: np.float32) -> np.float32:
    """exp(-below) for below >= 0, by a table and a polynomial; nothing beyond FAINT. No branches: loops vectorise."""
    steps = min(below, np.float32(FAINT)) * _PER_NAT
    whole = np.int32(steps)
    rest = (steps - np.float32(whole)) * _STEP_NATS
    one, third = np.float32(1.0), np.float32(1.0 / 3.0)
    near = one - rest * (one - rest * (np.float32(0.5) - rest * np.float32(0.5) * third))
    return _POWERS[whole] * near


@njit(cache=True)
def worth_it(scores: F32, peaks: F32, floor: float, found: I32) -> int:
    """Places of all whose score may reach a floor; gives how many, or -1 where `found` has no room.

    Args:
        scores: (M,)
        peaks: (3, blocks) see `scan`.
        floor: what the upper end of a score must reach.
        found: out.
    """
    count = 0
    for block in range(peaks.shape[1]):
        if peaks[1, block] < floor:
            continue
        for i in range(block * BLOCK, min((block + 1) * BLOCK, len(scores))):
            if scores[i] + peaks[2, block] >= floor:
                if count == len(found):
                    return -1
                found[count] = i
                count += 1
    return count


@njit(cache=True)
def coded_state(state: F32, levels: int, coded: I16) -> tuple[float, float]:
    """Code a state; gives what a level stands for, and the state's length.

    Args:
        state: (D,)
        levels: see `state_levels`.
        coded: (P * 64,) zeros, out.
    """
    peak, norm2 = 0.0, 0.0
    for d in range(len(state)):
        peak = max(peak, abs(np.float64(state[d])))
        norm2 += np.float64(state[d]) * np.float64(state[d])
    step = peak / levels if peak > 0.0 else 1.0
    for d in range(len(state)):
        coded[d] = np.int16(np.rint(state[d] / step))
    return step, math.sqrt(norm2)


@njit(cache=True)
def answer(
    codes: I8, scales: F32, slack: F32, levels: int, table: F32, place: I32, buffer: F32, state: F32, rows: I32,
    log_prior: F32, limit: int, scores: F32, found: I32,
) -> tuple[float, I32, F32]:  # fmt: skip
    """The denominator, and all rows that may be among the best with their scores; none where `found` has no room.

    Args:
        codes: (P, N, 64) see `code_rows`.
        scales: (N,)
        slack: (N,)
        levels: see `state_levels`.
        table: (N, D)
        place: (N,) where a row has another value, in `buffer`; may be shorter, negative for none.
        buffer: (R, D)
        state: (D,)
        rows: (M,) see `scan`.
        log_prior: (M,)
        limit: how many of the best are wanted; at most a row for each block.
        scores: (M,) scratch.
        found: scratch.

    Returns:
        The logarithm of the denominator, (C,) places in ascending order and (C,) their scores from the rows themselves.
    """
    coded = np.zeros(codes.shape[0] * PANEL, np.int16)
    sizes = coded_state(state, levels, coded)
    peaks = np.empty((3, (len(log_prior) + BLOCK - 1) // BLOCK), np.float32)
    top = scan(codes, scales, slack, coded, sizes, rows, log_prior, scores, peaks)
    rough = total_of(scores, top)
    lows: F64 = peaks[0].astype(np.float64)
    floor = kth_smallest(lows, len(lows) - limit)  # as many blocks have a row above it
    count = worth_it(scores, peaks, min(floor, top + math.log(HEAVY * rough)), found)
    if count < 0:
        return 0.0, np.empty(0, np.int32), np.empty(0, np.float32)
    places = found[:count].copy()
    looked = rows[places] if len(rows) else places
    exact = np.empty(count, np.float32)
    lifts(table, state, place, buffer, looked, exact)
    total = rough
    for c in range(count):
        exact[c] += log_prior[places[c]]
        total += math.exp(exact[c] - top) - math.exp(scores[places[c]] - top)
    return top + math.log(total), places, exact
