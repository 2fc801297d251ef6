"""Losses of the live model and their gradients by the logits, a few passes over each row of them."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.models.live_exp import exp_below
from everbrook.types import F32, I64

NO_WISH: F32 = np.zeros((0, 0), np.float32)
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several numbers at a time


@njit(cache=True, fastmath=_SUMS)
def _exp_all(row: F32, top: np.float32) -> np.float32:
    """Numbers become exp(number - top), none of them above `top`; their sum."""
    total = np.float32(0.0)
    for m in range(len(row)):
        row[m] = exp_below(top - row[m])
        total += row[m]
    return total


@njit(cache=True, fastmath=True)
def _top(row: F32, least: np.float32) -> np.float32:
    for m in range(len(row)):
        least = max(least, row[m])
    return least


@njit(cache=True, fastmath={"reassoc"})
def _sum(row: F32) -> np.float32:
    total = np.float32(0.0)
    for m in range(len(row)):
        total += row[m]
    return total


@njit(cache=True)
def loss_of(own: F32, others: F32, weights: F32, wish: F32, distillation: float, own_slope: F32) -> float:
    """Sum of the weighted sampled-softmax losses, and of the cross-entropies with other probabilities of the negatives.

    Args:
        own: (B,) logits of the targets.
        others: (B, M) logits of the negatives; out: the loss's gradient by them.
        weights: (B,) of the labels.
        wish: (B, M) logits that the negatives' are to be close to, overwritten; (0, 0) where there are none.
        distillation: weight of that.
        own_slope: (B,), out: the gradient by `own`.

    Returns:
        The sum; NaN where a logit is no finite number, and then the gradients mean nothing.
    """
    loss = 0.0
    for b in range(len(own)):
        row = others[b]
        if not math.isfinite(_sum(row)):
            return math.nan
        top = _top(row, np.float32(-1e30))
        if len(wish):
            mine = wish[b]
            wished = _exp_all(mine, _top(mine, np.float32(-1e30)))
            along = np.float64(0.0)
            for m in range(len(row)):
                mine[m] /= wished
                along += mine[m] * max(row[m] - top, np.float32(-1e6))
            among = _exp_all(row, top)
            loss += distillation * (math.log(among) - along)
        else:
            among = _exp_all(row, top)
        most = max(top, own[b])
        scale, target = math.exp(np.float64(top) - most), math.exp(np.float64(own[b]) - most)
        total = among * scale + target
        loss += weights[b] * (most + math.log(total) - own[b])
        own_slope[b] = weights[b] * (target / total - 1.0)
        by = np.float32(weights[b] * scale / total)
        if len(wish):
            by += np.float32(distillation / among)
            for m in range(len(row)):
                row[m] = by * row[m] - np.float32(distillation) * wish[b, m]
        else:
            for m in range(len(row)):
                row[m] *= by
    return loss


@njit(cache=True)
def log_shares(own: F32, others: F32, out: F32) -> None:
    """(B,) logarithm of each target's share of exp(logits), with the negatives', which are overwritten.

    Args:
        own: (B,) logits.
        others: (B, M) logits.
        out: (B,), out.
    """
    for b in range(len(own)):
        if not math.isfinite(_sum(others[b])):
            out[b] = math.nan
            continue
        top = _top(others[b], own[b])
        mine = np.float64(own[b]) - top
        out[b] = mine - math.log(_exp_all(others[b], top) + math.exp(mine))


@njit(cache=True)
def add_rows(sums: F32, places: I64, rows: F32) -> None:
    """Add rows (B, D) to those of `sums` (R, D) at `places` (B,)."""
    for b in range(len(places)):
        own, row = sums[places[b]], rows[b]
        for d in range(len(row)):
            own[d] += row[d]
