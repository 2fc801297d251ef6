"""The live model's network as tensors, event by event: a slow second computation with a gradient of its own."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everbrook.models.live_forward import NO_DROPS, Drops
from everbrook.models.live_network import LiveNetwork
from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, Arrays


def network_of(settings: LiveSettings, seed: int) -> LiveNetwork:
    """Weights as they may be after learning, none of them 0."""
    network, rng = LiveNetwork(settings), np.random.default_rng(seed)
    network.load({
        name: array + rng.normal(0.0, 0.3, array.shape).astype(np.float32) for name, array in network.arrays().items()
    })  # fmt: skip
    return network


def as_tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Numbers of 64 bits that know their gradient."""
    return {name: torch.from_numpy(array.astype(np.float64)).requires_grad_() for name, array in arrays.items()}


def states(w: dict[str, Tensor], rows: Tensor, windows: Windows, drops: Drops = NO_DROPS) -> Tensor:
    """(B, D) states; `rows` (P, D) are those of `windows.flat`."""
    ends = np.cumsum(windows.held.sum(1))
    return torch.stack([
        _state(w, rows, windows, drops, b, int(ends[b] - windows.held[b].sum())) for b in range(len(windows))
    ])  # fmt: skip


def _state(w: dict[str, Tensor], rows: Tensor, windows: Windows, drops: Drops, b: int, first: int) -> Tensor:
    D = rows.shape[1]
    state = torch.zeros(D, dtype=rows.dtype)
    for n, place in enumerate(np.flatnonzero(windows.held[b])):
        gap = int(windows.gaps[b, place])
        x = _times(rows[first + n], drops.item, first + n) * math.sqrt(D)
        x = x + w["kind"][int(windows.kinds[b, place])] + w["since"][gap]
        value, forget, gate = _layer(w, "project", _normal(w, "norm", x)).chunk(3)
        keep = torch.sigmoid(forget + w["remember"] + w["time"][gap])
        state = keep * state + (1 - keep) * value
    y = x + _times(_layer(w, "out", _normal(w, "norm_state", state) * functional.silu(gate)), drops.mixed, b)
    wide = _times(functional.relu(_layer(w, "widen", _normal(w, "norm_wide", y))), drops.wide, b)
    y = y + _times(_layer(w, "narrow", wide), drops.narrow, b)
    return _normal(w, "norm_out", y + w["ahead"][int(windows.ahead[b])])


def _times(x: Tensor, kept: np.ndarray | None, row: int) -> Tensor:
    return x if kept is None else x * torch.from_numpy(kept[row].astype(np.float64))


def _normal(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, (len(x),), w[f"{name}.weight"], w[f"{name}.bias"])


def _layer(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def states_as_plain(network: LiveNetwork, rows: F32, windows: Windows) -> F32:
    """(B, D) the same of a network, as plain numbers; `rows` (P, D)."""
    with torch.no_grad():
        found = states(as_tensors(network.views), torch.from_numpy(rows.astype(np.float64)), windows)
    plain: F32 = found.numpy().astype(np.float32)
    return plain
