"""One actor's state by plain array operations: what `LiveNetwork` computes for a batch, without its fixed cost.

A list needs one state; a hundred small tensor operations for it cost more than the arithmetic.
"""

from __future__ import annotations

import math

import numpy as np

from everbrook.models.live_network import LiveNetwork, Windows
from everbrook.types import F32, F64, Arrays

_EPSILON = np.float32(1e-5)  # of torch's LayerNorm


def state_of(network: LiveNetwork, rows: F32, windows: Windows) -> F32:
    """(D,) the state of a single window without learning, equal to `states_of` but for rounding.

    Args:
        network: its numbers are read in place.
        rows: (P, D) item rows of `windows.flat`.
        windows: one window that holds something.
    """
    w = network.views
    held = windows.held[0]
    gaps = windows.gaps[0][held]
    x = rows * np.float32(math.sqrt(network.settings.width)) + w["kind"][windows.kinds[0][held]] + w["since"][gaps]
    projected = _normal(x, w, "norm") @ w["project.weight"].T + w["project.bias"]
    D = x.shape[1]
    value, gate = projected[:, :D], projected[-1, 2 * D :]
    forget = projected[:, D : 2 * D] + w["remember"] + w["time"][gaps]
    kept: F64 = np.cumsum(-np.logaddexp(np.float32(0.0), -forget), axis=0, dtype=np.float64)
    later = np.exp((kept[-1] - kept).astype(np.float32))  # what later places leave of each
    state = (_sigmoid(-forget) * later * value).sum(axis=0)
    y = x[-1] + (_normal(state, w, "norm_state") * gate * _sigmoid(gate)) @ w["out.weight"].T + w["out.bias"]
    wide = np.maximum(_normal(y, w, "norm_wide") @ w["widen.weight"].T + w["widen.bias"], np.float32(0.0))
    y = y + wide @ w["narrow.weight"].T + w["narrow.bias"]
    return _normal(y + w["ahead"][int(windows.ahead[0])], w, "norm_out")


def _normal(x: F32, w: Arrays, name: str) -> F32:
    mean = x.mean(axis=-1, keepdims=True)
    apart = x - mean
    scale = np.sqrt((apart * apart).mean(axis=-1, keepdims=True) + _EPSILON)
    normal: F32 = apart / scale * w[f"{name}.weight"] + w[f"{name}.bias"]
    return normal


def _sigmoid(x: F32) -> F32:
    half = np.float32(0.5)
    sigmoid: F32 = half * (np.float32(1.0) + np.tanh(half * x))
    return sigmoid
