"""The inner loops of content similarity: an inverted index that takes items one by one. Plain arrays only.

The entries of an item lie side by side in one pool; those of a feature are chained from the newest item to the oldest.
An entry is valid while it lies within its item's present range; an item that changes is written anew at the end.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.models.neighbours_kernels import kth_smallest
from everbrook.models.powers import exp_below
from everbrook.types import F32, F64, I32, I64, Bool

END = -1
# Places of `sizes`: entries in use, entries that are no longer valid.
USED, STALE = 0, 1
LANES = 16
"""Chains that are followed at a time."""
CHUNK = 512
"""Rows that are computed with while they are near."""


@njit(cache=True)
def put(
    rows: I32, indptr: I64, columns: I32, values: F32, sizes: I64, starts: I64, counts: I32,
    heads: I64, lengths: I32, post_row: I32, post_column: I32, post_value: F32, post_next: I64,
) -> None:  # fmt: skip
    """Give rows these features in place of the ones they had; the pool must have room."""
    for m in range(len(rows)):
        row = rows[m]
        sizes[STALE] += counts[row]
        starts[row] = sizes[USED]
        counts[row] = indptr[m + 1] - indptr[m]
        for j in range(indptr[m], indptr[m + 1]):
            e = sizes[USED]
            sizes[USED] += 1
            post_row[e] = row
            post_column[e] = columns[j]
            post_value[e] = values[j]
            post_next[e] = heads[columns[j]]
            heads[columns[j]] = e
            lengths[columns[j]] += 1


@njit(cache=True)
def compact(
    sizes: I64, starts: I64, counts: I32, heads: I64, lengths: I32, post_row: I32, post_column: I32, post_value: F32,
    post_next: I64,
) -> None:  # fmt: skip
    """Drop the entries that are no longer valid; the order stays."""
    heads[:] = END
    lengths[:] = 0
    kept = 0
    e = 0
    while e < sizes[USED]:
        row = post_row[e]
        if e != starts[row] or counts[row] == 0:
            e += 1
            continue
        starts[row] = kept
        for _ in range(counts[row]):
            post_row[kept] = row
            post_column[kept] = post_column[e]
            post_value[kept] = post_value[e]
            post_next[kept] = heads[post_column[e]]
            heads[post_column[e]] = kept
            lengths[post_column[e]] += 1
            kept += 1
            e += 1
    sizes[USED] = kept
    sizes[STALE] = 0


@njit(cache=True)
def count(post_column: I32, used: int, lengths: I32) -> None:
    """Add the entries of each feature to its length."""
    for e in range(used):
        lengths[post_column[e]] += 1


@njit(cache=True)
def profile(
    recent: I32, decay: float, text_columns: I32, text_values: F32, text_share: float,
    starts: I64, counts: I32, post_column: I32, post_value: F32, dense: F32,
) -> tuple[I32, F32]:  # fmt: skip
    """What the asker is about, as a unit vector, in no order. `dense` must be zeros, and is again."""
    room = len(text_columns)
    for row in recent:
        room += counts[row]
    columns = np.empty(room, np.int32)
    n = 0
    norm = 0.0
    pull = 1.0
    for row in recent:
        for e in range(starts[row], starts[row] + counts[row]):
            if dense[post_column[e]] == 0:
                columns[n] = post_column[e]
                n += 1
            dense[post_column[e]] += np.float32(pull * post_value[e] + 1e-20)
        pull *= decay
    for j in range(n):
        norm += np.float64(dense[columns[j]]) ** 2
    if len(text_columns):
        scale = (1.0 - text_share) / math.sqrt(norm) if norm > 0 else 0.0
        for j in range(n):
            dense[columns[j]] = np.float32(dense[columns[j]] * scale + 1e-20)
        for j in range(len(text_columns)):
            if dense[text_columns[j]] == 0:
                columns[n] = text_columns[j]
                n += 1
            dense[text_columns[j]] += np.float32(text_share * text_values[j] + 1e-20)
    values = np.empty(n, np.float32)
    norm = 0.0
    for j in range(n):
        values[j] = dense[columns[j]]
        dense[columns[j]] = 0
        norm += np.float64(values[j]) ** 2
    if norm > 0:
        values /= np.float32(math.sqrt(norm))
    return columns[:n], values


@njit(cache=True, nogil=True)
def alike(
    columns: I32, values: F32, left_out: I32, budget: int, stale: int, starts: I64, counts: I32, heads: I64,
    lengths: I32, post_row: I32, post_value: F32, post_next: I64, votes: F32,
) -> tuple[I32, F32]:  # fmt: skip
    """Items that share features, and their cosines as far as the budget of entries reaches. `votes` must be zeros.

    Chains are followed several at a time, since each step waits for memory; how many entries of each the budget reaches
    is known before, by their lengths. Whether an entry is still its item's is looked up, in two more places of memory,
    only where some are `stale`.
    """
    items, n = np.empty(min(budget, len(votes)) + 1, np.int32), 0
    at, left, weight = np.empty(LANES, np.int64), np.empty(LANES, np.int64), np.empty(LANES, np.float32)
    used, j = 0, 0
    while True:
        while used < LANES and j < len(columns) and budget > 0:
            taken = min(int(lengths[columns[j]]), budget)
            if taken > 0:
                at[used], left[used], weight[used] = heads[columns[j]], taken, values[j]
                used += 1
                budget -= taken
            j += 1
        if used == 0:
            break
        steps = int(left[:used].min())
        for _ in range(steps):
            for lane in range(used):
                e = at[lane]
                row = post_row[e]
                if stale == 0 or starts[row] <= e < starts[row] + counts[row]:
                    items[n] = row
                    n += votes[row] == 0
                    votes[row] += np.float32(weight[lane] * post_value[e] + 1e-20)
                at[lane] = post_next[e]
        kept = 0
        for lane in range(used):
            if left[lane] > steps:
                at[kept], left[kept], weight[kept] = at[lane], left[lane] - steps, weight[lane]
                kept += 1
        used = kept
    for row in left_out:
        if 0 <= row < len(votes) and votes[row] > 0:
            votes[row] = -1
    found, cosines, kept = np.empty(n, np.int32), np.empty(n, np.float32), 0
    for c in range(n):
        if votes[items[c]] > 0:
            found[kept] = items[c]
            cosines[kept] = min(np.float32(1), votes[items[c]])
            kept += 1
        votes[items[c]] = 0
    return found[:kept], cosines[:kept]


@njit(cache=True, nogil=True)
def soften(cosines: F32, temperatures: F64, least_rest: float, mass: F32, rest: F32) -> None:
    """Cosines to probabilities, one column a temperature: exp(c/t) less what a cosine of 0 would have."""
    peak, parts = 0.0, np.empty(len(cosines))
    for c in range(len(cosines)):
        peak = max(peak, np.float64(cosines[c]))
    for k in range(len(temperatures)):
        total, nothing = 0.0, math.exp(-peak / temperatures[k])
        for c in range(len(cosines)):
            parts[c] = (cosines[c] - peak) / temperatures[k]
        exp_below(parts, 0.0)
        for c in range(len(cosines)):
            mass[c, k] = max(0.0, parts[c] - nothing)
            total += mass[c, k]
        if total <= 0:
            rest[k] = np.nan
            mass[:, k] = 0
            continue
        rest[k] = least_rest + (1.0 - least_rest) * (1.0 - peak)
        for c in range(len(cosines)):
            mass[c, k] *= (1.0 - rest[k]) / total


@njit(cache=True)
def nearest_of(
    recent: I32,
    rows: I32,
    decay: float,
    starts: I64,
    counts: I32,
    post_column: I32,
    post_value: F32,
    dense: F32,
    out: I32,
) -> None:
    """For each row, the recent item that resembles it most, by its place. `dense` must be zeros, and is again."""
    best = np.zeros(len(rows), np.float32)
    pull = 1.0
    for y in recent:
        for e in range(starts[y], starts[y] + counts[y]):
            dense[post_column[e]] = post_value[e]
        for m in range(len(rows)):
            if 0 <= rows[m] < len(starts) and rows[m] != y:
                dot = 0.0
                for e in range(starts[rows[m]], starts[rows[m]] + counts[rows[m]]):
                    dot += dense[post_column[e]] * post_value[e]
                if pull * dot > best[m]:
                    best[m] = pull * dot
                    out[m] = y
        for e in range(starts[y], starts[y] + counts[y]):
            dense[post_column[e]] = 0
        pull *= decay


@njit(cache=True)
def middle_of(table: F32, known: Bool, recent: I32, pull: F64) -> tuple[F64, F64, int]:
    """The weighted mean of recent rows of numbers, (names,); its weights; how many names have any."""
    names, N = table.shape
    middle, weight = np.zeros(names), np.zeros(names)
    for r in range(len(recent)):
        if 0 <= recent[r] < N:
            for k in range(names):
                if known[k, recent[r]]:
                    middle[k] += pull[r] * table[k, recent[r]]
                    weight[k] += pull[r]
    asked = 0
    for k in range(names):
        if weight[k] > 0:
            middle[k] /= weight[k]
            asked += 1
    return middle, weight, asked


@njit(cache=True)
def apart(table: F32, known: Bool, row: int, middle: F64, weight: F64) -> tuple[int, float]:
    """How many numbers a row shares with the middle, and the sum of their squared differences."""
    shared, squares = 0, 0.0
    for k in range(len(table)):
        if weight[k] > 0 and known[k, row]:
            shared += 1
            squares += (table[k, row] - middle[k]) ** 2
    return shared, squares


@njit(cache=True)
def near_numbers(
    table: F32, known: Bool, recent: I32, pull: F64, rows: I32, width: float, out: F32
) -> None:  # fmt: skip
    """How near rows of numbers, (names, N), lie to the weighted mean of the recent ones: 0 to 1 for each of `rows`."""
    middle, weight, asked = middle_of(table, known, recent, pull)
    for m in range(len(rows)):
        out[m] = 0
        if rows[m] < 0 or rows[m] >= table.shape[1]:
            continue
        shared, squares = apart(table, known, rows[m], middle, weight)
        if shared > 0:
            out[m] = shared / asked * math.exp(-squares / (2 * shared * width * width))


@njit(cache=True)
def _add_squares(numbers: F32, known: Bool, wanted: float, squares: F64, counted: I64) -> None:
    """A name at a time and without branches: several rows at once."""
    for i in range(len(numbers)):
        difference = numbers[i] - wanted if known[i] else 0.0
        squares[i] += difference * difference
        counted[i] += known[i]


@njit(cache=True, nogil=True)
def nearest_numbers(
    table: F32, known: Bool, recent: I32, pull: F64, left_out: I32, width: float, top: int
) -> I32:  # fmt: skip
    """Rows, ascending, among which are the `top` nearest and all that are level with the last of them.

    By logarithms, and by the greatest of each block: as many blocks as are wanted hold a row that is at least so near.
    """
    middle, weight, asked = middle_of(table, known, recent, pull)
    (names, N), nowhere = table.shape, np.float32(-1e30)
    block = 64 if 128 * top <= N else 1
    logs, peaks = np.empty(N, np.float32), np.full((N + block - 1) // block, -1e30)
    shares, steepness = np.zeros(names + 1), np.zeros(names + 1)
    for shared in range(1, names + 1):
        shares[shared] = math.log(shared / max(asked, 1))
        steepness[shared] = 1.0 / (2 * shared * width * width)
    shares[0] = nowhere
    squares, counted = np.empty(CHUNK), np.empty(CHUNK, np.int64)
    for first in range(0, N, CHUNK):
        n = min(CHUNK, N - first)
        squares[:n], counted[:n] = 0.0, 0
        for k in range(names):
            if weight[k] > 0:
                _add_squares(table[k, first : first + n], known[k, first : first + n], middle[k], squares, counted)
        for i in range(n):
            logs[first + i] = np.float32(shares[counted[i]] - squares[i] * steepness[counted[i]])
    for row in left_out:
        if 0 <= row < N:
            logs[row] = nowhere
    for number in range(len(peaks)):
        peak = np.float64(nowhere)
        for row in range(number * block, min(number * block + block, N)):
            peak = max(peak, np.float64(logs[row]))
        peaks[number] = peak
    floor = -1e30
    if len(peaks) > top:
        floor = kth_smallest(peaks, len(peaks) - top) - 1e-3  # more than rounding
    found, count = np.empty(N, np.int32), 0
    for row in range(N):
        if logs[row] > nowhere and logs[row] >= floor:
            found[count] = row
            count += 1
    return found[:count].copy()
