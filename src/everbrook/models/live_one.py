"""The states of a few histories, compiled: what `LiveNetwork` computes for many, for those that lists need.

Some fifty small array operations cost more than their arithmetic does. What learns does not use it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from everbrook.features.moments import gap_edges_ms
from everbrook.models.live_block import ROWS, multiply_four, multiply_one
from everbrook.models.live_exp import exp_below
from everbrook.models.live_numbers import Numbers
from everbrook.types import I64

_SUMS = {"contract", "reassoc"}  # what lets the compiler add several products at a time
_NAMES = (
    "kind", "since", "ahead", "time", "remember", "norm.weight", "norm.bias", "norm_state.weight", "norm_state.bias",
    "norm_wide.weight", "norm_wide.bias", "norm_out.weight", "norm_out.bias", "project.weight", "project.bias",
    "out.weight", "out.bias", "widen.weight", "widen.bias", "narrow.weight", "narrow.bias",
)  # fmt: skip


@cache
def gap_edges(buckets: int) -> I64:
    """The upper ends of the codes of gaps, milliseconds."""
    return gap_edges_ms(buckets)


def weights_of(network: Numbers) -> tuple[Any, ...]:
    """A network's numbers as `states_of` wants them; they stay those of the network as it changes."""
    views = network.views
    return tuple(views[name] for name in _NAMES)


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


@njit(cache=True)
def _times_places(matrix, stop, columns, bias, out):  # type: ignore[no-untyped-def]
    """The first rows of (O, D) `matrix`, up to `stop`, times (D, 16) `columns`, plus (O,) `bias`."""
    whole = stop - stop % 4
    for o in range(0, whole, 4):
        multiply_four(matrix, o, columns, bias, out)
    for o in range(whole, stop):
        multiply_one(matrix, o, columns, bias, out)


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def _gates(gates, faded, taken, kept):  # type: ignore[no-untyped-def]
    """What places take of their values, sigmoid(-gate), and keep of earlier places, sigmoid(gate)."""
    for i in range(len(faded)):
        gate = gates[i] + faded[i]
        small = exp_below(abs(gate))
        more = np.float32(1.0) / (np.float32(1.0) + small)  # sigmoid of whichever of the two is above 0
        kept[i] = more if gate > np.float32(0.0) else small * more
        taken[i] = small * more if gate > np.float32(0.0) else more


@njit(cache=True)
def _add_places(count, wide, taken, kept, state, left):  # type: ignore[no-untyped-def]
    """Add places to a state, the last first: what each takes of its values, of what later places left."""
    for d in range(len(state)):
        total, rest = state[d], left[d]
        for lane in range(count - 1, -1, -1):
            total += taken[d, lane] * rest * wide[d, lane]
            rest *= kept[d, lane]
        state[d], left[d] = total, rest


@njit(cache=True, nogil=True)
def state_of(plain, items, times, kinds, now_ms, edges, weights, out):  # type: ignore[no-untyped-def]
    """Read the places from the last to the first, sixteen at once: what a later one keeps of earlier ones is a product.

    Args:
        plain: a `Table`, as a plain tuple.
        items: (L,)
        times: (L,)
        kinds: (L,)
        now_ms: what time it is.
        edges: of the codes of gaps.
        weights: in the order of `_NAMES`.
        out: (D,), out.
    """
    (kind, since, ahead_rows, time, remember, norm_w, norm_b, norm_state_w, norm_state_b, norm_wide_w, norm_wide_b,
     norm_out_w, norm_out_b, project_w, project_b, out_w, out_b, widen_w, widen_b, narrow_w, narrow_b) = weights
    table, other, buffer = plain
    L, D = len(items), len(out)
    root = np.float32(math.sqrt(D))
    x, normal, gate, y = np.empty(D, np.float32), np.empty(D, np.float32), np.empty(D, np.float32), out
    state, left = np.zeros(D, np.float32), np.ones(D, np.float32)
    columns, wide = np.zeros((D, ROWS), np.float32), np.empty((2 * D, ROWS), np.float32)
    faded = np.zeros((D, ROWS), np.float32)
    taken, kept = np.empty((D, ROWS), np.float32), np.empty((D, ROWS), np.float32)
    for stop in range(L, 0, -ROWS):
        begin = max(0, stop - ROWS)
        for place in range(begin, stop):
            row = items[place]
            at = other[row] if row < len(other) else -1
            values = buffer[at] if at >= 0 else table[row]
            gap = np.searchsorted(edges, times[place] - times[place - 1] if place > 0 else 0)
            sort = min(np.int64(kinds[place]), len(kind) - 1)
            for d in range(D):
                x[d] = values[d] * root + kind[sort, d] + since[gap, d]
            _normal(x, norm_w, norm_b, normal)
            for d in range(D):
                columns[d, place - begin] = normal[d]
                faded[d, place - begin] = remember[d] + time[gap, d]
            if place == L - 1:
                y[:] = x
                _times(project_w, 2 * D, normal, project_b, gate)
        _times_places(project_w, 2 * D, columns, project_b, wide)
        _gates(wide[D:].reshape(D * ROWS), faded.reshape(D * ROWS), taken.reshape(D * ROWS), kept.reshape(D * ROWS))
        _add_places(stop - begin, wide, taken, kept, state, left)
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
    ahead = np.searchsorted(edges, now_ms - times[L - 1])
    for d in range(D):
        x[d] += y[d] + ahead_rows[ahead, d]
    _normal(x, norm_out_w, norm_out_b, out)
