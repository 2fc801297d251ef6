"""From the best few hundred to a list that is varied and keeps to the asker's own mix of categories.

Greedy: each place goes to the item with the largest (1 - d)(1 - c) relevance - d likeness - c distance, where relevance
is the logarithm of the probability scaled to 0..1 over the pool, likeness the largest cosine to what stands in the list
already, pinned items too (maximal marginal relevance; Carbonell & Goldstein, SIGIR 1998), and distance the
Kullback-Leibler divergence of the list's categories from the history's (Steck, 'Calibrated recommendations', RecSys
2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from everbrook.types import F32, F64, I32, I64, NO_ROW

SMOOTHING = 0.01  # Steck's alpha: the share of the history's mix that is added to the list's


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of categories."""

    share: F64  # (C,) of the history's items; sum 1, or none
    begins: I64  # (M + 1,) where each candidate's categories begin
    codes: I32  # which of the C, or -1
    weights: F64  # each item's categories share 1 evenly


def no_mix(candidates: int) -> Mix:
    """Where nobody asks for calibration, or nothing is known of the history's categories."""
    return Mix(np.zeros(0), np.zeros(candidates + 1, np.int64), np.zeros(0, np.int32), np.zeros(0))


def mix_of(history: tuple[I64, I32], candidates: tuple[I64, I32]) -> Mix:
    """How the history's items spread over categories, and which of those each candidate has.

    Args:
        history: where each item's categories begin, and their codes.
        candidates: the same for the candidates.
    """
    begins, codes = candidates
    weights = _even(begins)
    known, place = np.unique(history[1], return_inverse=True)
    share = np.bincount(place, _even(history[0]), minlength=len(known))
    if not len(known):
        return no_mix(len(begins) - 1)
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    found = np.where(known[at] == codes, at, -1).astype(np.int32)
    return Mix(share / share.sum(), begins, found, weights)


def _even(begins: I64) -> F64:
    counts = np.diff(begins)
    return np.repeat(1.0 / np.maximum(counts, 1), counts)


def varied(
    vectors: F32, probability: F64, mix: Mix, k: int, shares: tuple[float, float], turns: I64 | None = None
) -> I32:
    """(k,) the chosen candidates, in the order of choice.

    Args:
        vectors: (M + P, D) of length at most 1; those of P pinned items stand behind the candidates'.
        probability: (M,)
        mix: categories of the M + P; without any, calibration changes nothing.
        k: how many.
        shares: (diversity d, calibration c), each 0..1.
        turns: for each place of the list which of the P stands there, NO_ROW where one is chosen; all where None.
    """
    turns = np.full(k, NO_ROW, np.int64) if turns is None else turns
    logs = np.log(np.maximum(probability, 1e-12))
    low, high = (float(logs.min()), float(logs.max())) if len(logs) else (0.0, 0.0)
    relevance = (logs - low) / max(high - low, 1e-12)
    diversity, calibration = shares[0], shares[1] if len(mix.share) else 0.0
    return _greedy(
        np.ascontiguousarray(vectors, np.float32), relevance, mix.share, mix.begins, mix.codes, mix.weights,
        min(k, len(relevance)), diversity, calibration, turns,
    )  # fmt: skip


@njit(cache=True)
def _term(share, given, total):  # type: ignore[no-untyped-def]
    mixed = (1.0 - SMOOTHING) * (given / total if total > 0.0 else 0.0) + SMOOTHING * share
    return share * np.log(share / mixed)


@njit(cache=True, fastmath=True)
def _greedy(  # type: ignore[no-untyped-def]
    vectors, relevance, share, begins, codes, weights, k, diversity, calibration, turns
):
    rows, width = len(relevance), vectors.shape[1]
    chosen = np.empty(k, np.int32)
    nearest = np.zeros(rows)
    free = np.ones(rows, np.bool_)
    given = np.zeros(len(share))  # what the list's items gave each category
    found = 0
    for place in range(len(turns)):
        if found == k:
            break
        whole = 0.0
        if calibration > 0.0:
            for c in range(len(share)):
                whole += _term(share[c], given[c], place + 1.0)
        is_pin = turns[place] >= 0
        best, best_value = rows + turns[place] if is_pin else -1, -1e300
        for i in range(rows):
            if is_pin or not free[i]:
                continue
            value = (1.0 - diversity) * (1.0 - calibration) * relevance[i] - diversity * nearest[i]
            if calibration > 0.0:
                distance = whole
                for at in range(begins[i], begins[i + 1]):
                    c = codes[at]
                    if c >= 0:
                        distance += _term(share[c], given[c] + weights[at], place + 1.0)
                        distance -= _term(share[c], given[c], place + 1.0)
                value -= calibration * distance
            if value > best_value:
                best, best_value = i, value
        if not is_pin:
            chosen[found] = best
            free[best] = False
            found += 1
        if calibration > 0.0:
            for at in range(begins[best], begins[best + 1]):
                if codes[at] >= 0:
                    given[codes[at]] += weights[at]
        if diversity > 0.0:
            for i in range(rows):
                if free[i]:
                    s = np.float32(0.0)
                    for d in range(width):
                        s += vectors[i, d] * vectors[best, d]
                    if s > nearest[i]:
                        nearest[i] = s
    return chosen
