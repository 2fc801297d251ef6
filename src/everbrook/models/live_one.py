"""The states of a few histories, compiled: what `LiveNetwork` computes for many, for those that lists need.

Some fifty small array operations cost more than their arithmetic does. What learns does not use it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from everbrook.features.moments import gap_edges_ms
from everbrook.models.live_exp import exp_below
from everbrook.models.live_numbers import Numbers
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I16, I32, I64

_SUMS = {"contract", "reassoc"}  # what lets the compiler add several products at a time
_NAMES = (
    "kind", "since", "ahead", "time", "remember", "norm.weight", "norm.bias", "norm_state.weight", "norm_state.bias",
    "norm_wide.weight", "norm_wide.bias", "norm_out.weight", "norm_out.bias", "project.weight", "project.bias",
    "out.weight", "out.bias", "widen.weight", "widen.bias", "narrow.weight", "narrow.bias",
)  # fmt: skip


def gap_code(gap_ms: int, buckets: int) -> int:
    """`gap_codes` of one gap."""
    return bisect_left(_edges(buckets)[0], gap_ms)


@cache
def _edges(buckets: int) -> tuple[list[int], I64]:
    edges = gap_edges_ms(buckets)
    return edges.tolist(), edges


class History(NamedTuple):
    """The last events before a moment, oldest first; at least one, at most those that the model reads."""

    items: I32  # (L,)
    times: I64  # (L,)
    kinds: I16  # (L,)
    ahead: int  # code of the time from the last event to the moment


def states_after(
    network: Numbers, table: F32, kept: tuple[I32, F32], histories: Sequence[History], settings: LiveSettings
) -> F32:
    """(Q, D) the states after histories, without learning.

    Args:
        network: whose.
        table: (N, D) item rows.
        kept: (N,) where a row has another value and (R, D) those values; see `live_kernels.lifts`.
        histories: Q of them.
        settings: of the live model.
    """
    views = network.views
    weights: Any = tuple(views[name] for name in _NAMES)
    items, times, kinds, ahead = zip(*histories, strict=True)
    stops = np.fromiter(accumulate(map(len, items)), np.int64, len(items))
    read = (np.concatenate(items), np.concatenate(times), np.concatenate(kinds), stops, np.array(ahead))
    out = np.empty((len(histories), table.shape[1]), np.float32)
    _states(table, *kept, read, _edges(settings.time_buckets)[1], weights, out)
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
    whole = len(out) - len(out) % 4
    for o in range(0, whole, 4):  # four sums side by side wait for one another less
        one, two, three, four = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
        a, b, c, e = matrix[first + o], matrix[first + o + 1], matrix[first + o + 2], matrix[first + o + 3]
        for d in range(len(x)):
            one += a[d] * x[d]
            two += b[d] * x[d]
            three += c[d] * x[d]
            four += e[d] * x[d]
        out[o], out[o + 1] = one + bias[first + o], two + bias[first + o + 1]
        out[o + 2], out[o + 3] = three + bias[first + o + 2], four + bias[first + o + 3]
    for o in range(whole, len(out)):
        total = np.float32(0.0)
        for d in range(len(x)):
            total += matrix[first + o, d] * x[d]
        out[o] = total + bias[first + o]


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def _forget(gates, values, remember, time, state, left):  # type: ignore[no-untyped-def]
    """Add a place to a state: sigmoid(-gate) of its values, of what later places left; they leave sigmoid(gate)."""
    for d in range(len(state)):
        gate = gates[d] + remember[d] + time[d]
        small = exp_below(abs(gate))
        more = np.float32(1.0) / (np.float32(1.0) + small)  # sigmoid of whichever of the two is above 0
        kept = more if gate > np.float32(0.0) else small * more
        taken = small * more if gate > np.float32(0.0) else more
        state[d] += taken * left[d] * values[d]
        left[d] *= kept


@njit(cache=True, nogil=True)
def _states(table, place, buffer, read, edges, weights, out):  # type: ignore[no-untyped-def]
    """States after histories, one after the other in `read`.

    Args:
        table: (N, D)
        place: (N,) where a row has another value, in `buffer`; may be shorter, negative for none.
        buffer: (R, D)
        read: (S,) items, (S,) times, (S,) kinds, (Q,) where each history ends and (Q,) codes of the time ahead.
        edges: of the codes of gaps.
        weights: in the order of `_NAMES`.
        out: (Q, D), out.
    """
    items, times, kinds, stops, ahead = read
    start = 0
    for q in range(len(out)):
        rows = np.empty((stops[q] - start, out.shape[1]), np.float32)
        for at in range(start, stops[q]):
            other = place[items[at]] if items[at] < len(place) else -1
            rows[at - start] = buffer[other] if other >= 0 else table[items[at]]
        own = slice(start, stops[q])
        _state(rows, times[own], kinds[own], edges, ahead[q], weights, out[q])
        start = stops[q]


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
    y, state, left = np.empty(D, np.float32), np.zeros(D, np.float32), np.ones(D, np.float32)
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
        _forget(wide[D:], wide[:D], remember, time[gap], state, left)
    _normal(state, norm_state_w, norm_state_b, normal)
    for d in range(D):
        small = exp_below(abs(gate[d]))
        normal[d] *= gate[d] * (np.float32(1.0) if gate[d] > np.float32(0.0) else small) / (np.float32(1.0) + small)
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
