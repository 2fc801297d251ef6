"""What the network of the live model computes for many histories at once, and what its gradient needs of that.

Products of matrices are numpy's; what lies between them is compiled, a few passes over numbers that are near.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from everbrook.models.live_exp import exp_below
from everbrook.models.live_windows import Windows
from everbrook.types import F32, I64, Arrays

_EPSILON = np.float32(1e-5)
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several numbers at a time


@dataclass(frozen=True, slots=True)
class Normal:
    """R rows with their mean taken away and their spread made 1 (Ba et al. 2016)."""

    apart: F32  # (R, D) before weight and bias
    scale: F32  # (R,) one over the spread
    out: F32  # (R, D)


@dataclass(frozen=True, slots=True)
class Drops:
    """What dropout multiplies numbers with: 0, or what makes up for those."""

    item: F32 | None  # (P, D) of the rows of histories; None where none is dropped
    mixed: F32 | None  # (B, D)
    wide: F32 | None  # (B, 4 D)
    narrow: F32 | None  # (B, D)


NO_DROPS = Drops(None, None, None, None)


@dataclass(frozen=True, slots=True)
class Forward:
    """A pass over B histories of P places together; D numbers a state."""

    ends: I64  # (B,) where each history's places end
    kinds: I64  # (P,)
    gaps: I64  # (P,)
    first: Normal  # of P places
    flow: F32  # (P, 2 D) values, and what is kept of what was before, 0 to 1
    states: F32  # (P, D) after each place
    gate: F32  # (B, D)
    state: Normal  # of the last places' states
    gated: F32  # (B, D)
    second: Normal  # of B rows
    wide: F32  # (B, 4 D) with dropout
    last: Normal
    drops: Drops

    @property
    def out(self) -> F32:
        """(B, D) the states."""
        return self.last.out


def forward(w: Arrays, rows: F32, windows: Windows, drops: Drops = NO_DROPS) -> Forward:
    """A pass.

    Args:
        w: the network's numbers by name.
        rows: (P, D) item rows of `windows.flat`.
        windows: B windows, each of which holds something.
        drops: what learning drops.
    """
    held, (P, D) = windows.held, rows.shape
    ends = np.cumsum(np.count_nonzero(held, axis=1))
    last, kinds, gaps = ends - 1, windows.kinds[held], windows.gaps[held]
    if drops.item is not None:
        rows = rows * drops.item
    x, first = np.empty((P, D), np.float32), _room(P, D)
    _enter(
        rows, kinds, gaps, w["kind"], w["since"], np.float32(math.sqrt(D)), w["norm.weight"], w["norm.bias"], x,
        first.apart, first.scale, first.out,
    )  # fmt: skip
    wide, bias = w["project.weight"], w["project.bias"]
    flow, states = first.out @ wide[: 2 * D].T, np.empty((P, D), np.float32)
    _recur(flow, bias, w["remember"], w["time"], gaps, ends, states)
    gate = first.out[last] @ wide[2 * D :].T + bias[2 * D :]
    state, gated = _normal(states[last], w, "norm_state"), np.empty((len(ends), D), np.float32)
    _gate(state.out, gate, gated)
    y = x[last] + _dropped(gated @ w["out.weight"].T + w["out.bias"], drops.mixed)
    second = _normal(y, w, "norm_wide")
    wider = second.out @ w["widen.weight"].T + w["widen.bias"]
    wider = _dropped(np.maximum(wider, np.float32(0.0), out=wider), drops.wide)
    y += _dropped(wider @ w["narrow.weight"].T + w["narrow.bias"], drops.narrow) + w["ahead"][windows.ahead]
    return Forward(
        ends, kinds, gaps, first, flow, states, gate, state, gated, second, wider, _normal(y, w, "norm_out"), drops
    )


def _room(rows: int, D: int) -> Normal:
    return Normal(*(np.empty(shape, np.float32) for shape in ((rows, D), (rows,), (rows, D))))


def _normal(x: F32, w: Arrays, name: str) -> Normal:
    made = _room(*x.shape)
    _normalise(x, w[f"{name}.weight"], w[f"{name}.bias"], made.apart, made.scale, made.out)
    return made


def _dropped(x: F32, kept: F32 | None) -> F32:
    return x if kept is None else np.multiply(x, kept, out=x)


@njit(cache=True, fastmath=_SUMS)
def _spread(x, weight, bias, apart, out):  # type: ignore[no-untyped-def]
    """Normalise one row; one over its spread."""
    D = len(x)
    total, squares = np.float32(0.0), np.float32(0.0)
    for d in range(D):
        total += x[d]
    mean = total / np.float32(D)
    for d in range(D):
        squares += (x[d] - mean) * (x[d] - mean)
    scale = np.float32(1.0) / np.float32(math.sqrt(squares / np.float32(D) + _EPSILON))
    for d in range(D):
        apart[d] = (x[d] - mean) * scale
        out[d] = apart[d] * weight[d] + bias[d]
    return scale


@njit(cache=True)
def _normalise(x, weight, bias, apart, scale, out):  # type: ignore[no-untyped-def]
    for r in range(len(x)):
        scale[r] = _spread(x[r], weight, bias, apart[r], out[r])


@njit(cache=True, fastmath=_SUMS)
def _enter(rows, kinds, gaps, kind, since, root, weight, bias, x, apart, scale, out):  # type: ignore[no-untyped-def]
    """What each place reads, (P, D), and that normalised."""
    for p in range(len(rows)):
        own, sort, gap = x[p], kind[kinds[p]], since[gaps[p]]
        for d in range(len(own)):
            own[d] = rows[p, d] * root + sort[d] + gap[d]
        scale[p] = _spread(own, weight, bias, apart[p], out[p])


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def _recur(flow, bias, remember, time, gaps, ends, states):  # type: ignore[no-untyped-def]
    """The states after all places; of each place's gates it makes what is kept.

    Args:
        flow: (P, 2 D) in: values and gates without biases; out: values, and sigmoid of the gates.
        bias: (3 D,) of the projection.
        remember: (D,)
        time: (codes, D)
        gaps: (P,)
        ends: (B,)
        states: (P, D), out.
    """
    D, start, one = states.shape[1], 0, np.float32(1.0)
    for b in range(len(ends)):
        for p in range(start, ends[b]):
            values, gates, later = flow[p, :D], flow[p, D:], time[gaps[p]]
            own = states[p]
            for d in range(D):
                gate = gates[d] + bias[D + d] + remember[d] + later[d]
                small = exp_below(abs(gate))
                more = one / (one + small)
                gates[d] = more if gate > np.float32(0.0) else small * more
                values[d] += bias[d]
                own[d] = (one - gates[d]) * values[d]
            if p > start:
                before = states[p - 1]
                for d in range(D):
                    own[d] += gates[d] * before[d]
        start = ends[b]


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def _gate(x, gate, out):  # type: ignore[no-untyped-def]
    """x times gate times sigmoid of gate (SiLU; Hendrycks & Gimpel 2016)."""
    one = np.float32(1.0)
    for b in range(len(x)):
        for d in range(x.shape[1]):
            small = exp_below(abs(gate[b, d]))
            more = one / (one + small)
            out[b, d] = x[b, d] * gate[b, d] * (more if gate[b, d] > np.float32(0.0) else small * more)


__all__ = ["NO_DROPS", "Drops", "Forward", "Normal", "forward"]
