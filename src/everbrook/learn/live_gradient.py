"""The gradient of the live model's network: `models.live_forward` backwards, by hand.

Some two hundred small tensor operations cost more than the arithmetic of a micro-batch; these are a dozen products of
matrices and as many passes between them.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.models.live_exp import exp_below
from everbrook.models.live_forward import Drops, Forward, Normal
from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, Arrays

_SUMS = {"contract", "reassoc"}  # what lets the compiler add several numbers at a time


def drops_of(windows: Windows, settings: LiveSettings, rng: np.random.Generator) -> Drops:
    """Draw what a step drops."""
    B, D = len(windows), settings.width
    P = int(np.count_nonzero(windows.held)) if settings.item_dropout else 0
    share = settings.dropout
    return Drops(
        _kept((P, D), settings.item_dropout, rng), _kept((B, D), share, rng), _kept((B, 4 * D), share, rng),
        _kept((B, D), share, rng),
    )  # fmt: skip


def _kept(shape: tuple[int, int], share: float, rng: np.random.Generator) -> F32 | None:
    """0 for a share of numbers, rounded to 1/256, and what makes up for it for the others; one byte decides of each."""
    border = round(256 * share)
    if border == 0:
        return None
    size = shape[0] * shape[1]
    drawn = rng.integers(0, 2**64, (size + 7) // 8, np.uint64).view(np.uint8)[:size]
    return np.where(drawn >= border, np.float32(256 / (256 - border)), np.float32(0.0)).reshape(shape)


def backward(w: Arrays, made: Forward, windows: Windows, wanted: F32, sums: Arrays) -> F32:
    """The gradient of a loss.

    Args:
        w: the network's numbers by name, as they were in the pass.
        made: the pass.
        windows: what it was over.
        wanted: (B, D) the loss's gradient by the states.
        sums: by name, in and out: that by the network's numbers is added.

    Returns:
        (P, D) that by the rows of `windows.flat`.
    """
    D, last = wanted.shape[1], made.ends - 1
    y = _normal_back(wanted, made.last, w, "norm_out", sums)
    _add_at(sums["ahead"], windows.ahead, y)
    wide = _layer_back(_dropped(y, made.drops.narrow), made.wide, w, "narrow", sums)
    _dropped_in_place(wide, made.drops.wide)
    wide[made.wide <= 0.0] = 0.0  # what was not above 0, and what was dropped
    y += _normal_back(_layer_back(wide, made.second.out, w, "widen", sums), made.second, w, "norm_wide", sums)
    gated = _layer_back(_dropped(y, made.drops.mixed), made.gated, w, "out", sums)
    gate = np.empty_like(gated)
    _gate_back(gated, made.state.out, made.gate, gate)  # `gated` becomes the gradient by the normalised state
    state = _normal_back(gated, made.state, w, "norm_state", sums)
    flow = np.empty_like(made.flow)
    _recur_back(
        state, made.flow, made.states, made.gaps, made.ends, flow, sums["remember"], sums["time"], sums["project.bias"]
    )
    weight, sum_ = w["project.weight"], sums["project.weight"]
    sum_[: 2 * D] += flow.T @ made.first.out
    sum_[2 * D :] += gate.T @ made.first.out[last]
    sums["project.bias"][2 * D :] += gate.sum(axis=0)
    normal = flow @ weight[: 2 * D]
    normal[last] += gate @ weight[2 * D :]
    x = _normal_back(normal, made.first, w, "norm", sums)
    x[last] += y
    _enter_back(x, made.kinds, made.gaps, sums["kind"], sums["since"], np.float32(math.sqrt(D)))
    return _dropped_in_place(x, made.drops.item)


def _dropped(x: F32, kept: F32 | None) -> F32:
    return x if kept is None else x * kept


def _dropped_in_place(x: F32, kept: F32 | None) -> F32:
    return x if kept is None else np.multiply(x, kept, out=x)


def _layer_back(wanted: F32, x: F32, w: Arrays, name: str, sums: Arrays) -> F32:
    """The gradient by the input of a linear layer."""
    sums[f"{name}.weight"] += wanted.T @ x
    sums[f"{name}.bias"] += wanted.sum(axis=0)
    back: F32 = wanted @ w[f"{name}.weight"]
    return back


def _normal_back(wanted: F32, made: Normal, w: Arrays, name: str, sums: Arrays) -> F32:
    out = np.empty_like(made.out)
    _normalise_back(
        wanted, made.apart, made.scale, w[f"{name}.weight"], sums[f"{name}.weight"], sums[f"{name}.bias"], out
    )
    return out


@njit(cache=True, fastmath=_SUMS)
def _normalise_back(wanted, apart, scale, weight, weight_sum, bias_sum, out):  # type: ignore[no-untyped-def]
    D = apart.shape[1]
    per = np.float32(1.0) / np.float32(D)
    for r in range(len(apart)):
        mine, own, row = wanted[r], apart[r], out[r]
        total, along = np.float32(0.0), np.float32(0.0)
        for d in range(D):
            row[d] = mine[d] * weight[d]
            total += row[d]
            along += row[d] * own[d]
        total, along = total * per, along * per
        for d in range(D):
            row[d] = scale[r] * (row[d] - total - own[d] * along)
            weight_sum[d] += mine[d] * own[d]
            bias_sum[d] += mine[d]


@njit(cache=True)
def _add_at(sums, codes, rows):  # type: ignore[no-untyped-def]
    for r in range(len(rows)):
        own, row = sums[codes[r]], rows[r]
        for d in range(len(row)):
            own[d] += row[d]


@njit(cache=True, fastmath=_SUMS)
def _enter_back(x, kinds, gaps, kind_sums, since_sums, root):  # type: ignore[no-untyped-def]
    """`x` (P, D) becomes the gradient by the rows."""
    for p in range(len(x)):
        own, sort, gap = x[p], kind_sums[kinds[p]], since_sums[gaps[p]]
        for d in range(len(own)):
            sort[d] += own[d]
            gap[d] += own[d]
            own[d] *= root


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def _gate_back(wanted, x, gate, gate_out):  # type: ignore[no-untyped-def]
    """`wanted` (B, D) becomes the gradient by `x`, and `gate_out` that by the gates."""
    one = np.float32(1.0)
    for b in range(len(wanted)):
        for d in range(wanted.shape[1]):
            g = gate[b, d]
            small = exp_below(abs(g))
            more = one / (one + small)
            share = more if g > np.float32(0.0) else small * more
            gate_out[b, d] = wanted[b, d] * x[b, d] * share * (one + g * (one - share))
            wanted[b, d] *= g * share


@njit(cache=True, fastmath=_SUMS)
def _recur_back(wanted, flow, states, gaps, ends, out, remember_sum, time_sums, bias_sum):  # type: ignore[no-untyped-def]
    """Through the recurrence, from the last place of each history to its first.

    Args:
        wanted: (B, D) the gradient by the last states; what is left of it at the end means nothing.
        flow: (P, 2 D) values, and what was kept.
        states: (P, D)
        gaps: (P,)
        ends: (B,)
        out: (P, 2 D), out: the gradient by values and gates.
        remember_sum: (D,) in and out.
        time_sums: (codes, D) in and out.
        bias_sum: (3 D,) in and out; those of the projection's gates are another's.
    """
    D, start, one = states.shape[1], 0, np.float32(1.0)
    for b in range(len(ends)):
        mine = wanted[b]
        for p in range(ends[b] - 1, start - 1, -1):
            values, kept, time = flow[p, :D], flow[p, D:], time_sums[gaps[p]]
            value_out, gate_out = out[p, :D], out[p, D:]
            before = states[p - 1] if p > start else states[p]
            some = one if p > start else np.float32(0.0)
            for d in range(D):
                left = mine[d] * kept[d]
                value_out[d] = mine[d] - left
                slope = left * (one - kept[d]) * (some * before[d] - values[d])
                gate_out[d] = slope
                time[d] += slope
                remember_sum[d] += slope
                bias_sum[d] += value_out[d]
                bias_sum[D + d] += slope
                mine[d] = left
        start = ends[b]
