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
GROUP = 64  # rows that share a peak: they lie far apart, so that peaks are taken of many groups at a time
HEAVY = 5e-4  # share of the denominator from which a part is computed from the row itself
FAINT = 80.0  # parts of the denominator that are so many nats below the greatest count as one so far below
_PER_NAT = np.float32(1.0 / math.log(2.0))
_POWER = tuple(  # of 2 ** -x for -0.5 <= x <= 0.5, to 2e-7: interpolated at Chebyshev's points
    np.float32(c)
    for c in (1.0000000755, -0.6931472067, 0.2402210736, -0.0555032721, 0.0096760371, -0.0013400432)
)
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several numbers at a time


def state_levels(width: int) -> int:
    """Levels of a coded state, such that a row's int32 sum cannot overflow."""
    return int(min(32767, (2**31 - 1) // (127 * width)))


@njit(cache=True, nogil=True)
def code_rows(
    table: F32, place: I32, buffer: F32, rows: I32, to: I32, levels: int, codes: I8, scales: F32, slack: F32
) -> None:
    """Code rows as they are now.

    Args:
        table: (N, D)
        place: (N,) where a row has another value, in `buffer`; may be shorter, negative for none.
        buffer: (R, D)
        rows: (M,)
        to: (M,) the places of their codes.
        levels: see `state_levels`.
        codes: (P, C, 64), out: panels of codes.
        scales: (C,), out.
        slack: (C,), out.
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
            codes[d // PANEL, to[m], d % PANEL] = np.int8(code)
            kept = code * np.float64(scale)
            lost2 += (np.float64(values[d]) - kept) ** 2
            kept2 += kept * kept
        scales[to[m]] = scale
        # the last term covers the rounding of float32, here and where rows are multiplied themselves
        slack[to[m]] = np.float32(
            1.000001 * (math.sqrt(lost2) + coarse * math.sqrt(kept2)) + 4e-7 * math.sqrt(norm2) + 1e-37
        )


# Each of the loops below does one thing to arrays that begin at 0, for then the compiler does eight at a time.


@njit(cache=True)
def _products(codes: I8, state: I16, out: I32) -> None:
    for i in range(len(out)):
        total = np.int32(0)
        for d in range(PANEL):
            total += np.int32(codes[i, d]) * np.int32(state[d])
        out[i] = total


@njit(cache=True)
def _rough(products: I32, scales: F32, step: float, log_prior: F32, scores: F32) -> None:
    factor = np.float32(step)
    for i in range(len(products)):
        scores[i] = np.float32(products[i]) * (scales[i] * factor) + log_prior[i]


@njit(cache=True)
def _raise(scores: F32, slack: F32, norm: float, highs: F32) -> None:
    factor = np.float32(norm)
    for i in range(len(scores)):
        highs[i] = np.maximum(highs[i], scores[i] + slack[i] * factor)


@njit(cache=True)
def widest(slack: F32, rows: int) -> F32:
    """(G,) the greatest slack of each group of M rows; see `scan`."""
    most = np.zeros((rows + GROUP - 1) // GROUP, np.float32)
    for start in range(0, rows, len(most)):
        part = slack[start : min(start + len(most), rows)]
        for i in range(len(part)):
            most[i] = np.maximum(most[i], part[i])
    return most


@njit(cache=True, nogil=True)
def scan(
    codes: I8, scales: F32, slack: F32, states: I16, sizes: F64, log_prior: F32, scores: F32, highs: F32
) -> None:
    """Rough logarithms of the parts of the denominator, and what the greatest of each group cannot exceed.

    The rows of group g are g, g + G, g + 2 G and so on, where G is the number of groups. Several states are held
    against G rows while these are near: memory gives each row once.

    Args:
        codes: (P, M, 64)
        scales: (M,)
        slack: (M,)
        states: (Q, P * 64) coded.
        sizes: (Q, 2) what a level of each state stands for, and its length.
        log_prior: (M,)
        scores: (Q, M), out.
        highs: (Q, G), out.
    """
    G, M = highs.shape[1], len(log_prior)
    products, part = np.empty(G, np.int32), np.empty(G, np.int32)
    highs[:] = np.float32(-1e30)
    for start in range(0, M, G):
        stop = min(start + G, M)
        for q in range(len(states)):
            _products(codes[0, start:stop], states[q, :PANEL], products[: stop - start])
            for panel in range(1, codes.shape[0]):
                of_panel = states[q, panel * PANEL : (panel + 1) * PANEL]
                _products(codes[panel, start:stop], of_panel, part[: stop - start])
                products += part
            found = scores[q, start:stop]
            _rough(products[: stop - start], scales[start:stop], sizes[q, 0], log_prior[start:stop], found)
            _raise(found, slack[start:stop], sizes[q, 1], highs[q])


@njit(cache=True, fastmath=_SUMS)
def total_of(scores: F32, top: float) -> float:
    """The sum of exp(score - top), to a relative 1e-6, where no score is above `top`."""
    total = 0.0
    for start in range(0, len(scores), 1024):
        total += np.float64(_total(scores[start : min(start + 1024, len(scores))], np.float32(top)))
    return total


@njit(cache=True, fastmath=_SUMS)
def _total(scores: F32, top: np.float32) -> np.float32:
    total = np.float32(0.0)
    for i in range(len(scores)):
        total += _exp(top - scores[i])
    return total


@njit(cache=True, fastmath=_SUMS)
def _exp(below: np.float32) -> np.float32:
    """exp(-below) for below >= 0: a power of 2, by its bits, times a polynomial. No branches: loops vectorise."""
    steps = min(below, np.float32(FAINT)) * _PER_NAT
    whole = np.int32(steps + np.float32(0.5))
    rest = steps - np.float32(whole)
    near = _POWER[4] + rest * _POWER[5]
    near = _POWER[0] + rest * (_POWER[1] + rest * (_POWER[2] + rest * (_POWER[3] + rest * near)))
    power: np.float32 = np.int32((np.int32(127) - whole) << np.int32(23)).view(np.float32)
    return near * power


@njit(cache=True, fastmath=_SUMS)
def exp_all(values: F32, out: F32) -> None:
    """exp of numbers that are not above 0, to a relative 1e-6; of those below -80 as of -80."""
    for i in range(len(values)):
        out[i] = _exp(-values[i])


@njit(cache=True)
def worth_it(scores: F32, highs: F32, most: F32, norm: float, floor: float, found: I32) -> int:
    """Places of all whose score may reach a floor, ascending; gives how many, or -1 where `found` has no room.

    Args:
        scores: (M,)
        highs: (G,) see `scan`.
        most: (G,) see `widest`.
        norm: the state's length.
        floor: what the upper end of a score must reach.
        found: out.
    """
    count, G = 0, len(highs)
    for g in range(G):
        if highs[g] < floor:
            continue
        for i in range(g, len(scores), G):
            if scores[i] + most[g] * norm >= floor:
                if count == len(found):
                    return -1
                found[count] = i
                count += 1
    found[:count].sort()
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
def coded_lifts(codes: I8, scales: F32, state: F32, levels: int, out: F32) -> None:
    """(M,) products of coded rows with a state, as the codes say."""
    coded = np.zeros(codes.shape[0] * PANEL, np.int16)
    sizes = coded_state(state, levels, coded)
    products, part = np.empty(len(out), np.int32), np.empty(len(out), np.int32)
    _products(codes[0, : len(out)], coded[:PANEL], products)
    for panel in range(1, codes.shape[0]):
        _products(codes[panel, : len(out)], coded[panel * PANEL : (panel + 1) * PANEL], part)
        products += part
    _rough(products, scales, sizes[0], np.zeros(len(out), np.float32), out)


@njit(cache=True)
def where(rows: I32, wanted: I32) -> tuple[I32, I32]:
    """Places of rows that are wanted, and the row at each.

    Args:
        rows: (M,) ascending, repeats allowed.
        wanted: in any order.
    """
    places, found, count = np.empty(len(rows), np.int32), np.empty(len(rows), np.int32), 0
    for row in wanted:
        at = np.searchsorted(rows, row)
        while at < len(rows) and rows[at] == row and count < len(places):
            places[count], found[count] = at, row
            count += 1
            at += 1
    return places[:count], found[:count]


@njit(cache=True)
def coded_states(states: F32, levels: int, coded: I16, sizes: F64) -> None:
    """Code states.

    Args:
        states: (Q, D)
        levels: see `state_levels`.
        coded: (Q, P * 64) zeros, out.
        sizes: (Q, 2), out: what a level of each stands for, and its length.
    """
    for q in range(len(states)):
        sizes[q, 0], sizes[q, 1] = coded_state(states[q], levels, coded[q])


@njit(cache=True, nogil=True)
def answer(
    scores: F32, highs: F32, most: F32, norm: float, table: F32, place: I32, buffer: F32, state: F32, rows: I32,
    log_prior: F32, limit: int, found: I32,
) -> tuple[float, I32, F32]:  # fmt: skip
    """The denominator, and all rows that may be among the best with their scores; none where `found` has no room.

    Args:
        scores: (M,) see `scan`.
        highs: (G,) see `scan`.
        most: (G,) see `widest`.
        norm: the state's length.
        table: (N, D)
        place: (N,) where a row has another value, in `buffer`; may be shorter, negative for none.
        buffer: (R, D)
        state: (D,)
        rows: (M,) whose scores these are; none of them is given where it is the first M.
        log_prior: (M,)
        limit: how many of the best are wanted; at most a row for each group.
        found: scratch.

    Returns:
        The logarithm of the denominator, (C,) places in ascending order and (C,) their scores from the rows themselves.
    """
    G, top = len(highs), np.float64(highs.max())
    rough = total_of(scores, top)
    lows = np.empty(G)
    for g in range(G):
        lows[g] = highs[g] - 2.0 * most[g] * norm
    floor = kth_smallest(lows, G - limit)  # as many groups have a row above it
    count = worth_it(scores, highs, most, norm, min(floor, top + math.log(HEAVY * rough)), found)
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
