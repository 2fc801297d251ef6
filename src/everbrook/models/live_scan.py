"""Inner loops of scanning coded item rows: eight bits a number in the place of thirty-two, with proven bounds.

With a row v = c q + e (c its scale, q its codes) and a state s = t p + f (p of sixteen bits), the product v.s lies
within |e||s| + c|q||f| of c t q.p; a row's slack is that distance for a state of length 1. Sixteen rows lie side by
side as a block, pair of numbers by pair, so that one instruction multiplies a pair of eight rows; see `live_block`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everbrook.models.live_block import ROWS, hold_four, hold_one, hold_two, lowest_bit, reaching
from everbrook.models.live_exp import exp_below, rough_exp_below, total_below
from everbrook.models.live_kernels import lifts
from everbrook.models.neighbours_kernels import kth_smallest
from everbrook.models.prefetch import prefetch
from everbrook.models.sequence_kernels import by_score
from everbrook.types import F32, F64, I32, I64, Bool

I8 = NDArray[np.int8]
I16 = NDArray[np.int16]

GROUP = 64  # rows of which at most one is counted where it is asked how many are above something
_TILE = 32  # blocks whose scores are near while they are added up
_AHEAD = 3  # rows whose memory is asked for ahead
_NOTHING = 1e-30  # rows of numbers below are coded as nothing
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several numbers at a time
HEAVY = 1e-3  # share of the denominator from which a part is computed from the row itself


class Coded(NamedTuple):
    """Codes of M rows in blocks of 16; beyond the last row a block holds anything that is finite."""

    codes: I8  # (M / 16, pairs of D, 16, 2)
    scales: F32  # (M,) rounded up to whole blocks
    slack: F32  # (M,) the same


class Table(NamedTuple):
    """The rows themselves."""

    rows: F32  # (N, D)
    place: I32  # (N,) where a row has another value, in `buffer`; may be shorter, negative for none
    buffer: F32  # (R, D)


class Scratch(NamedTuple):
    """Room for a scan; its content means nothing afterwards."""

    scores: F32  # (Q, M) rounded up to whole blocks
    highs: F32  # (Q, M / 16)
    found: I32  # (L,) places of rows that are looked at themselves


class Asked(NamedTuple):
    """Coded states."""

    levels: I16  # (Q, 2 pairs of D)
    sizes: F32  # (Q, 2) what a level of each stands for, and its length


def state_levels(width: int) -> int:
    """Levels of a coded state, such that a row's int32 sum cannot overflow."""
    return int(min(32767, (2**31 - 1) // (127 * width)))


@njit(cache=True, nogil=True)
def code_rows(plain: Any, rows: I32, to: I32, levels: int, given: Any) -> None:
    """Code rows as they are now.

    Args:
        plain: a `Table` of the rows, as a plain tuple.
        rows: (M,)
        to: (M,) the places of their codes.
        levels: see `state_levels`.
        given: a `Coded` as a plain tuple, out.
    """
    table, coded = Table(*plain), Coded(*given)
    D, numbers, codes = table.rows.shape[1], table.rows.reshape(table.rows.size), coded.codes.reshape(coded.codes.size)
    coarse, block_codes = 0.5001 * math.sqrt(D) / levels, coded.codes.shape[1] * 2 * ROWS
    whole, sizes = np.zeros(D + D % 2, np.float32), np.empty(3, np.float32)
    for m in range(len(rows)):
        if m + _AHEAD < len(rows):
            begin = np.int64(to[m + _AHEAD]) // ROWS * block_codes
            for line in range(0, block_codes, 64):
                prefetch(codes, begin + line)
            begin = np.int64(rows[m + _AHEAD]) * D
            for line in range(0, D, 16):
                prefetch(numbers, begin + line)
        row = rows[m]
        at = table.place[row] if row < len(table.place) else -1
        values = table.buffer[at] if at >= 0 else table.rows[row]
        scale = _whole_numbers(values, whole, sizes)
        block, lane = to[m] // ROWS, to[m] % ROWS
        for pair in range(len(whole) // 2):
            coded.codes[block, pair, lane, 0] = np.int8(whole[2 * pair])
            coded.codes[block, pair, lane, 1] = np.int8(whole[2 * pair + 1])
        coded.scales[to[m]] = scale
        lost, kept, norm = math.sqrt(sizes[0]), scale * math.sqrt(sizes[1]), math.sqrt(sizes[2])
        if scale == 0.0:
            lost = np.float64(_NOTHING) * math.sqrt(D)
        # the last term covers the rounding of float32, here and where rows are multiplied themselves
        coded.slack[to[m]] = np.float32(1.00001 * (lost + coarse * kept) + 5e-7 * norm + 1e-37)


@njit(cache=True)
def where(rows: I32, wanted: I32) -> tuple[I32, I32]:
    """Places of rows that are wanted, each once, and the row at each.

    Args:
        rows: (M,) ascending, repeats allowed.
        wanted: in any order, repeats allowed.
    """
    places, found, count = np.empty(len(rows), np.int32), np.empty(len(rows), np.int32), 0
    taken = np.zeros(len(rows), np.bool_)
    for row in wanted:
        at = np.searchsorted(rows, row)
        while at < len(rows) and rows[at] == row and not taken[at]:
            places[count], found[count], taken[at] = at, row, True
            count += 1
            at += 1
    return places[:count], found[:count]


@njit(cache=True, nogil=True)
def code_moved(plain: Any, moved: I32, rows: I32, levels: int, given: Any) -> int:
    """Code rows that have moved wherever they are among others; in how many places they were.

    Args:
        plain: see `code_rows`.
        moved: in any order, repeats allowed.
        rows: (M,) ascending, repeats allowed.
        levels: see `state_levels`.
        given: (M,) see `code_rows`.
    """
    places, found = where(rows, moved)
    code_rows(plain, found, places, levels, given)
    return len(places)


@njit(cache=True, fastmath=_SUMS | {"nnan", "nsz"})
def _whole_numbers(values: F32, whole: F32, sizes: F32) -> np.float32:
    """Code a row by numbers from -127 to 127 in (D,) `whole`, and give what a step of them stands for.

    `sizes` become the sums of squares of what is lost, of the numbers, and of the values.
    """
    D = len(values)
    top = np.float32(0.0)
    for d in range(D):
        top = max(top, abs(values[d]))
    if top < np.float32(_NOTHING):
        whole[:] = np.float32(0.0)
        sizes[:] = np.float32(0.0)
        return np.float32(0.0)
    scale, steps = top / np.float32(127.0), np.float32(127.0) / top
    lost2, kept2, norm2 = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for d in range(D):
        number = np.rint(values[d] * steps)
        lost = values[d] - number * scale
        whole[d] = number
        lost2 += lost * lost
        kept2 += number * number
        norm2 += values[d] * values[d]
    sizes[0], sizes[1], sizes[2] = lost2, kept2, norm2
    return scale


@njit(cache=True, nogil=True)
def take_shared(coded: Coded, rows: I32, lacking: Bool, other: Coded, others: I32) -> int:
    """Let lacking rows have the codes that they have among other rows; gives how many are lacking still.

    Args:
        coded: in and out, of the rows.
        rows: (M,) ascending, repeats allowed.
        lacking: (M,) in and out.
        other: codes of the other rows.
        others: (O,) the same, ascending.
    """
    left, j = 0, 0
    for i in range(len(rows)):
        if not lacking[i]:
            continue
        while j < len(others) and others[j] < rows[i]:
            j += 1
        if j < len(others) and others[j] == rows[i]:
            _take(coded, i, other, j)
            lacking[i] = False
        else:
            left += 1
    return left


@njit(cache=True, nogil=True)
def take_first(coded: Coded, rows: I32, other: Coded, count: int) -> None:
    """Let those of (M,) rows that are below `count` have the codes that lie there in the order of the table."""
    for i in range(len(rows)):
        if rows[i] < count:
            _take(coded, i, other, rows[i])


@njit(cache=True)
def _take(coded: Coded, to: int, other: Coded, at: int) -> None:
    for pair in range(coded.codes.shape[1]):
        for k in range(2):
            coded.codes[to // ROWS, pair, to % ROWS, k] = other.codes[at // ROWS, pair, at % ROWS, k]
    coded.scales[to], coded.slack[to] = other.scales[at], other.slack[at]


@njit(cache=True, nogil=True)
def scan(coded: Coded, asked: Asked, log_prior: F32, scratch: Scratch, parts: F64) -> None:
    """Rough logarithms of the parts of the denominator, and what the greatest of each block cannot exceed.

    Several states are held against some blocks while these are near: memory gives each row once.

    Args:
        coded: of M rows or more.
        asked: Q states.
        log_prior: (M,)
        scratch: out.
        parts: (Q, 2), out: a logarithm that no score exceeds, and the sum of exp(score - that).
    """
    M, Q = len(log_prior), len(asked.levels)
    blocks, whole = (M + ROWS - 1) // ROWS, M // ROWS
    rest = np.full(ROWS, np.float32(-1e30))  # the prior of the last block, where it is not full
    rest[: M - whole * ROWS] = log_prior[whole * ROWS :]
    parts[:, 0], parts[:, 1] = -1e30, 0.0
    for start in range(0, blocks, _TILE):
        stop = min(start + _TILE, blocks)
        _hold(coded, asked, log_prior, start, min(stop, whole), 0, scratch)
        _hold(coded, asked, rest, max(start, whole), stop, whole, scratch)
        for q in range(Q):
            top = parts[q, 0]
            for b in range(start, stop):
                top = max(top, np.float64(scratch.highs[q, b]))
            parts[q, 1] *= math.exp(parts[q, 0] - top)
            parts[q, 0] = top
            scores = scratch.scores[q, start * ROWS : stop * ROWS]
            parts[q, 1] += np.float64(total_below(scores, np.float32(top)))


@njit(cache=True, fastmath={"nnan", "nsz"})
def _greatest(numbers: F32) -> np.float32:
    top = np.float32(-1e30)
    for i in range(len(numbers)):
        top = max(top, numbers[i])
    return top


@njit(cache=True)
def _hold(coded: Coded, asked: Asked, log_prior: F32, start: int, stop: int, first: int, scratch: Scratch) -> None:
    """Hold all states against some blocks; `first` is the block where `log_prior` begins."""
    Q = len(asked.levels)
    fours, twos = Q - Q % 4, Q - Q % 2
    for q in range(0, fours, 4):
        for b in range(start, stop):
            hold_four(coded, b, asked, q, log_prior, b - first, scratch)
    for q in range(fours, twos, 2):
        for b in range(start, stop):
            hold_two(coded, b, asked, q, log_prior, b - first, scratch)
    for q in range(twos, Q):
        for b in range(start, stop):
            hold_one(coded, b, asked, q, log_prior, b - first, scratch)


@njit(cache=True)
def coded_states(states: F32, levels: int, asked: Asked) -> None:
    """Code (Q, D) states, whose `levels` are zeros before; `levels`: see `state_levels`."""
    for q in range(len(states)):
        peak, norm2 = 0.0, 0.0
        for d in range(states.shape[1]):
            peak = max(peak, abs(np.float64(states[q, d])))
            norm2 += np.float64(states[q, d]) * np.float64(states[q, d])
        step = np.float32(peak / levels if peak > 0.0 else 1.0)
        for d in range(states.shape[1]):
            level = np.rint(np.float64(states[q, d]) / np.float64(step))
            asked.levels[q, d] = np.int16(max(-levels, min(levels, level)))
        asked.sizes[q, 0], asked.sizes[q, 1] = step, np.float32(1.000001 * math.sqrt(norm2))


@njit(cache=True)
def worth_it(scores: F32, slack: F32, highs: F32, norm: np.float32, floor: np.float32, found: I32) -> int:
    """Places of all whose score may reach a floor, ascending; how many, or -1 where `found` has no room.

    Args:
        scores: (M,) rounded up to whole blocks.
        slack: (M,) see `Coded`.
        highs: (M / 16,) see `scan`.
        norm: the state's length.
        floor: what the upper end of a score must reach.
        found: out.
    """
    hot, blocks, count = np.empty(len(highs), np.int32), 0, 0
    for b in range(len(highs)):
        hot[blocks] = b
        blocks += highs[b] >= floor
    for at in range(blocks):
        if count + ROWS > len(found):
            return -1
        block = np.int64(hot[at])
        bits = reaching(scores, slack, block, norm, floor)
        while bits:
            found[count] = block * ROWS + lowest_bit(bits)
            count += 1
            bits &= bits - 1
    return count


@njit(cache=True)
def floor_of(highs: F32, widest: np.float32, norm: np.float32, limit: int) -> np.float32:
    """What at least `limit` scores reach, by what the greatest of blocks cannot exceed; `widest`: the most slack."""
    apart = GROUP // ROWS
    groups = np.full((len(highs) + apart - 1) // apart, -1e30)
    for b in range(len(highs)):
        groups[b // apart] = max(groups[b // apart], np.float64(highs[b]))
    return np.float32(kth_smallest(groups, len(groups) - limit) - 2.0 * np.float64(widest) * np.float64(norm))


@njit(cache=True)
def _rounded(floor: np.float32) -> np.float32:
    return floor - np.float32(4e-7) * abs(floor)  # the ends of scores are rounded by less


@njit(cache=True, nogil=True)
def answer(
    q: int, coded: Coded, asked: Asked, table: Table, state: F32, rows: I32, log_prior: F32, scratch: Scratch,
    part: F64, widest: np.float32, best: I32,
) -> int:  # fmt: skip
    """The best rows of one state, best first, after a scan; gives how many, or -1 where too many may be among them.

    Args:
        q: which of the states that were scanned.
        coded: see `scan`.
        asked: see `scan`.
        table: of the rows.
        state: (D,)
        rows: (M,) whose scores these are; none of them is given where it is the first M.
        log_prior: (M,)
        scratch: of the scan.
        part: (2,) of the scan; its sum becomes that with the greater parts as they are.
        widest: the most slack of a row.
        best: (limit,), out; not more than a row for each group.
    """
    blocks = (len(log_prior) + ROWS - 1) // ROWS
    scores, norm, found = scratch.scores[q], asked.sizes[q, 1], scratch.found
    highs, slack = scratch.highs[q, :blocks], coded.slack
    heavy = np.float32(part[0] + math.log(HEAVY * part[1]))
    floor = _rounded(min(heavy, floor_of(highs, widest, norm, len(best))))
    count = worth_it(scores, slack, highs, norm, floor, found)
    if count < 0:
        return -1
    places = found[:count]
    exact, looked = np.empty(count, np.float32), places
    if len(rows):
        looked = rows[places]
    lifts(table.rows, state, table.place, table.buffer, looked, exact)
    top, more = np.float32(part[0]), 0.0
    for c in range(count):
        exact[c] += log_prior[places[c]]
        more += np.float64(exp_below(top - exact[c])) - np.float64(rough_exp_below(top - scores[places[c]]))
    part[1] += more
    order = by_score(exact)
    for k in range(min(len(best), count)):
        best[k] = looked[order[k]]
    return min(len(best), count)


@njit(cache=True, nogil=True)
def answers(
    states: F32, levels: int, given: Any, plain: Any, rows: I32, log_prior: F32, stand: Any, log_rest: float,
    even: F32, room: Any, log_all: F64, best: I32, counts: I64,
) -> None:  # fmt: skip
    """For each state the logarithm of the denominator, and the best rows, best first.

    What has names is given as plain tuples: which arrays those hold is found out in a tenth of the time.

    Args:
        states: (Q, D)
        levels: see `state_levels`.
        given: a `Coded` of M rows.
        plain: a `Table` of the rows themselves.
        rows: (M,) see `answer`.
        log_prior: (M,)
        stand: a `Coded` of rows that stand for all that are not among these; not looked at where there are none.
        log_rest: logarithm of the prior of all the others together.
        even: (T,) zeros, as many as the others are.
        room: a `Scratch`.
        log_all: (Q,), out.
        best: (Q, limit), out.
        counts: (Q,), out: how many of the best there are; -1 where codes do not help.
    """
    Q, D = states.shape
    coded, table, scratch = Coded(*given), Table(*plain), Scratch(*room)
    asked = Asked(np.zeros((Q, D + D % 2), np.int16), np.empty((Q, 2), np.float32))
    coded_states(states, levels, asked)
    parts, widest = np.empty((Q, 2)), _greatest(coded.slack)
    scan(coded, asked, log_prior, scratch, parts)
    for q in range(Q):
        counts[q] = answer(q, coded, asked, table, states[q], rows, log_prior, scratch, parts[q], widest, best[q])
        log_all[q] = parts[q, 0] + math.log(parts[q, 1])
    if len(even):
        scan(Coded(*stand), asked, even, scratch, parts)
        for q in range(Q):
            one, other = log_all[q], parts[q, 0] + math.log(parts[q, 1] / len(even)) + log_rest
            log_all[q] = max(one, other) + math.log1p(math.exp(-abs(one - other)))
