"""One history's state, compiled: what `LiveNetwork` computes for many, for the one that a list needs.

Some fifty small array operations cost more than their arithmetic does. What learns does not use it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from everbrook.features.moments import gap_edges_ms
from everbrook.models.live_numbers import Numbers
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I16, I64

_SUMS = {"contract", "reassoc"}  # what lets the compiler add several products at a time
_NAMES = (
    "kind", "since", "ahead", "time", "remember", "norm.weight", "norm.bias", "norm_state.weight", "norm_state.bias",
    "norm_wide.weight", "norm_wide.bias", "norm_out.weight", "norm_out.bias", "project.weight", "project.bias",
    "out.weight", "out.bias", "widen.weight", "widen.bias", "narrow.weight", "narrow.bias",
)  # fmt: skip


def gap_code(gap_ms: int, buckets: int) -> int:
    """`gap_codes` of one gap."""
    return bisect_left(_edges(buckets), gap_ms)


@cache
def _edges(buckets: int) -> list[int]:
    edges: list[int] = gap_edges_ms(buckets).tolist()
    return edges


def one_state(network: Numbers, rows: F32, times: I64, kinds: I16, ahead: int, settings: LiveSettings) -> F32:
    """(D,) the state after a history, without learning.

    Args:
        network: whose.
        rows: (L, D) item rows of the last events, oldest first; at least one, at most those that the model reads.
        times: (L,)
        kinds: (L,)
        ahead: code of the time from the last event to the moment asked about.
        settings: of the live model.
    """
    views = network.views
    weights: Any = tuple(views[name] for name in _NAMES)
    out = np.empty(rows.shape[1], np.float32)
    _state(rows, times, kinds, gap_edges_ms(settings.time_buckets), ahead, weights, out)
    return out


@njit(cache=True, fastmath=_SUMS)
def _normal(x, weight, bias, out):  # type: ignore[no-untyped-def]
    D = len(x)
    total, squares = 0.0, 0.0
    for d in range(D):
        total += np.float64(x[d])
    mean = np.float32(total / D)
    for d in range(D):
        squares += np.float64(x[d] - mean) * np.float64(x[d] - mean)
    scale = np.float32(1.0 / math.sqrt(squares / D + 1e-5))
    for d in range(D):
        out[d] = (x[d] - mean) * scale * weight[d] + bias[d]


@njit(cache=True, fastmath=_SUMS)
def _times(matrix, first, x, bias, out):  # type: ignore[no-untyped-def]
    for o in range(len(out)):
        total = np.float32(0.0)
        for d in range(len(x)):
            total += matrix[first + o, d] * x[d]
        out[o] = total + bias[first + o]


@njit(cache=True)
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + math.exp(-max(min(np.float64(x), 700.0), -700.0)))


@njit(cache=True, nogil=True)
def _state(rows, times, kinds, edges, ahead, weights, out):  # type: ignore[no-untyped-def]
    """Read the places from the last to the first: what a later place keeps of an earlier one is a product.

    Args:
        rows: (L, D)
        times: (L,)
        kinds: (L,)
        edges: of the codes of gaps.
        ahead: a code.
        weights: in the order of `_NAMES`.
        out: (D,), out.
    """
    (kind, since, ahead_rows, time, remember, norm_w, norm_b, norm_state_w, norm_state_b, norm_wide_w, norm_wide_b,
     norm_out_w, norm_out_b, project_w, project_b, out_w, out_b, widen_w, widen_b, narrow_w, narrow_b) = weights
    L, D = rows.shape
    root = np.float32(math.sqrt(D))
    x, normal = np.empty(D, np.float32), np.empty(D, np.float32)
    wide, gate = np.empty(2 * D, np.float32), np.empty(D, np.float32)
    y, state, left = np.empty(D, np.float32), np.zeros(D, np.float32), np.ones(D)
    for place in range(L - 1, -1, -1):
        gap_ms = times[place] - times[place - 1] if place > 0 else 0
        gap = np.searchsorted(edges, gap_ms)
        sort = min(np.int64(kinds[place]), len(kind) - 1)
        for d in range(D):
            x[d] = rows[place, d] * root + kind[sort, d] + since[gap, d]
        _normal(x, norm_w, norm_b, normal)
        _times(project_w, 0, normal, project_b, wide)
        if place == L - 1:
            y[:] = x
            _times(project_w, 2 * D, normal, project_b, gate)
        for d in range(D):
            forget = wide[D + d] + remember[d] + time[gap, d]
            state[d] += np.float32(_sigmoid(-forget) * left[d]) * wide[d]
            left[d] *= _sigmoid(forget)
    _normal(state, norm_state_w, norm_state_b, normal)
    for d in range(D):
        normal[d] *= gate[d] * np.float32(_sigmoid(gate[d]))
    _times(out_w, 0, normal, out_b, x)
    for d in range(D):
        y[d] += x[d]
    _normal(y, norm_wide_w, norm_wide_b, normal)
    wider = np.empty(len(widen_b), np.float32)
    _times(widen_w, 0, normal, widen_b, wider)
    for o in range(len(wider)):
        wider[o] = max(wider[o], np.float32(0.0))
    _times(narrow_w, 0, wider, narrow_b, x)
    for d in range(D):
        y[d] += x[d] + ahead_rows[ahead, d]
    _normal(y, norm_out_w, norm_out_b, out)
