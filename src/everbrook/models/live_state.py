"""States by plain array operations: what `LiveNetwork` computes, without the fixed cost of its tensors.

A list needs one state and a small micro-batch a few dozen; some sixty small tensor operations cost more than the
arithmetic of these. For many places tensors are faster.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from everbrook.types import F32, F64, Arrays

if TYPE_CHECKING:
    from everbrook.models.live_windows import Windows

_EPSILON = np.float32(1e-5)  # of torch's LayerNorm


def plain_states(w: Arrays, rows: F32, windows: Windows) -> F32:
    """(B, D) states without learning, equal to those of the network but for rounding.

    Args:
        w: the network's numbers by name.
        rows: (P, D) item rows of `windows.flat`.
        windows: B windows, each of which holds something.
    """
    held, D = windows.held, rows.shape[1]
    n = held.sum(axis=1)
    last, gaps = np.cumsum(n) - 1, windows.gaps[held]
    x = rows * np.float32(math.sqrt(D)) + w["kind"][windows.kinds[held]] + w["since"][gaps]
    normal = _normal(x, w, "norm")
    wide, bias = w["project.weight"], w["project.bias"]
    projected = normal @ wide[: 2 * D].T + bias[: 2 * D]  # value and forget, of all places
    gate = normal[last] @ wide[2 * D :].T + bias[2 * D :]  # of the last ones
    forget = projected[:, D:] + w["remember"] + w["time"][gaps]
    away = np.logaddexp(np.float32(0.0), -forget)  # -log of what is kept
    kept: F64 = np.cumsum(-away, axis=0, dtype=np.float64)  # over all actors: only differences within one are used
    later = np.exp((np.repeat(kept[last], n, axis=0) - kept).astype(np.float32))  # what later places leave of each
    weighed = np.exp(-forget - away) * later * projected[:, :D]
    state = np.add.reduceat(weighed, last + 1 - n, axis=0)
    y = x[last] + (_normal(state, w, "norm_state") * gate * _sigmoid(gate)) @ w["out.weight"].T + w["out.bias"]
    wider = np.maximum(_normal(y, w, "norm_wide") @ w["widen.weight"].T + w["widen.bias"], np.float32(0.0))
    y = y + wider @ w["narrow.weight"].T + w["narrow.bias"]
    return _normal(y + w["ahead"][windows.ahead], w, "norm_out")


def _normal(x: F32, w: Arrays, name: str) -> F32:
    apart = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt((apart * apart).mean(axis=-1, keepdims=True) + _EPSILON)
    normal: F32 = apart / scale * w[f"{name}.weight"] + w[f"{name}.bias"]
    return normal


def _sigmoid(x: F32) -> F32:
    half = np.float32(0.5)
    sigmoid: F32 = half * (np.float32(1.0) + np.tanh(half * x))
    return sigmoid
