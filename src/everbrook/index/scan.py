"""The inner loops of the item table: scan with proven bounds, then an exact re-score. Plain arrays only.

A score is the float64 sum of products in column order, rounded to float32; ties go to the lower row. Every scan
only narrows down which rows deserve that score: it knows for each row an interval that must contain it, keeps the
best `top` lower ends, and drops a row only when its upper end lies below all of them. So no search misses a row.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everbrook.types import F32, F64, I32, Bool

I8 = NDArray[np.int8]

BLOCK = 256  # rows whose integer products are held at once: they stay in the first-level cache


def query_levels(width: int) -> int:
    """Levels of the int16 query, such that a row's int32 sum cannot overflow."""
    return int(min(32767, (2**31 - 1) // (127 * width)))


@njit(cache=True)
def exact(vectors: F32, row: int, query: F32) -> np.float32:
    """One score: the definition that everything else is measured against."""
    total = 0.0
    for d in range(vectors.shape[1]):
        total += np.float64(vectors[row, d]) * np.float64(query[d])
    return np.float32(total)


@njit(cache=True)
def score_rows(vectors: F32, rows: I32, query: F32, out: F32) -> None:
    """Scores of given rows into `out`."""
    for m in range(len(rows)):
        out[m] = exact(vectors, rows[m], query)


@njit(cache=True)
def put_rows(vectors: F32, codes: I8, scales: F32, slack: F32, norms: F32, levels: int, rows: I32, values: F32) -> None:
    """Write rows, their int8 codes, and how far a coded product can be from the true one (per unit of query norm).

    With v = s q + e and u = t p + f: |v·u - s t q·p| <= |e||u| + s|q||f|, and |f| <= sqrt(D)/(2 levels) |u|.
    """
    D = vectors.shape[1]
    coarse = 0.5001 * math.sqrt(D) / levels
    for m in range(len(rows)):
        row = rows[m]
        top = np.float32(0)
        norm2 = 0.0
        for d in range(D):
            v = values[m, d]
            vectors[row, d] = v
            top = max(top, abs(v))
            norm2 += np.float64(v) * np.float64(v)
        scale = np.float32(top / np.float32(127))
        lost2 = 0.0
        kept2 = 0.0
        if codes.shape[0] > 0:
            for d in range(D):
                code = 0.0
                if scale > 0:
                    code = min(127.0, max(-127.0, np.rint(np.float64(values[m, d]) / np.float64(scale))))
                codes[row, d] = np.int8(code)
                kept = code * np.float64(scale)
                lost2 += (np.float64(values[m, d]) - kept) ** 2
                kept2 += kept * kept
        scales[row] = scale
        norms[row] = np.float32(1.000001 * math.sqrt(norm2))
        # The last term covers float32 rounding, here and of the score itself.
        slack[row] = np.float32(
            1.000001 * (math.sqrt(lost2) + coarse * math.sqrt(kept2)) + 4e-7 * math.sqrt(norm2) + 1e-37
        )


@njit(cache=True)
def sift(heap: F64, start: int, size: int) -> None:
    """Restore a min-heap below `start`."""
    value = heap[start]
    at = start
    child = 2 * at + 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
        child = 2 * at + 1
    heap[at] = value


@njit(cache=True)
def raise_floor(heap: F64, filled: int, low: float) -> int:
    """Offer a lower end to the heap of the best ones; returns how many it now holds."""
    top = len(heap)
    if filled < top:
        heap[filled] = low
        filled += 1
        if filled == top:
            for start in range(top // 2 - 1, -1, -1):
                sift(heap, start, top)
        return filled
    if low > heap[0]:
        heap[0] = low
        sift(heap, 0, top)
    return filled


@njit(cache=True)
def settle(vectors: F32, query: F32, heap: F64, filled: int, found: I32, upper: F64, count: int) -> tuple[I32, F32]:
    """The candidates that the final floor leaves, in row order, and their exact scores."""
    floor = heap[0] if filled == len(heap) else -np.inf
    kept = 0
    for c in range(count):
        if upper[c] >= floor:
            found[kept] = found[c]
            kept += 1
    scores = np.empty(kept, np.float32)
    for c in range(kept):
        scores[c] = exact(vectors, found[c], query)
    return found[:kept], scores


@njit(cache=True)
def search_codes(
    vectors: F32, codes: I8, scales: F32, slack: F32, usable: Bool, query: F32, levels: int, top: int, rough: F32
) -> tuple[I32, F32]:
    """Rows among which the top ones are, in row order, and their exact scores; by an int8 scan.

    `rough` is filled with every row's coded product, where it has room for them.
    """
    count, D = vectors.shape
    peak = 0.0
    norm = 0.0
    for d in range(D):
        peak = max(peak, abs(np.float64(query[d])))
        norm += np.float64(query[d]) ** 2
    norm = math.sqrt(norm)
    step = peak / levels
    coded = np.zeros(D, np.int16)
    if step > 0:
        for d in range(D):
            coded[d] = np.int16(np.rint(np.float64(query[d]) / step))
    heap = np.full(top, -np.inf)
    found = np.empty(count, np.int32)
    upper = np.empty(count, np.float64)
    products = np.empty(BLOCK, np.int32)
    filled = 0
    hits = 0
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        for i in range(start, stop):
            total = np.int32(0)
            for d in range(D):
                total += np.int32(codes[i, d]) * np.int32(coded[d])
            products[i - start] = total
        floor = heap[0] if filled == top else -np.inf
        for i in range(start, stop):
            middle = products[i - start] * (np.float64(scales[i]) * step)
            reach = slack[i] * norm
            if len(rough):
                rough[i] = middle
            if middle + reach >= floor and usable[i]:
                found[hits] = i
                upper[hits] = middle + reach
                hits += 1
                filled = raise_floor(heap, filled, middle - reach)
                floor = heap[0] if filled == top else -np.inf
    return settle(vectors, query, heap, filled, found, upper, hits)


@njit(cache=True)
def search_rough(vectors: F32, rough: F32, norms: F32, usable: Bool, query: F32, top: int) -> tuple[I32, F32]:
    """The same from float32 products of any summation order."""
    count = len(rough)
    norm = 0.0
    for d in range(len(query)):
        norm += np.float64(query[d]) ** 2
    error = (len(query) + 4) * 6e-8 * math.sqrt(norm)  # of a float32 dot product, per unit of row norm
    heap = np.full(top, -np.inf)
    found = np.empty(count, np.int32)
    upper = np.empty(count, np.float64)
    filled = 0
    hits = 0
    floor = -np.inf
    for i in range(count):
        reach = np.float64(norms[i]) * error + 1e-37
        if rough[i] + reach >= floor and usable[i]:
            found[hits] = i
            upper[hits] = rough[i] + reach
            hits += 1
            filled = raise_floor(heap, filled, rough[i] - reach)
            floor = heap[0] if filled == top else -np.inf
    return settle(vectors, query, heap, filled, found, upper, hits)
