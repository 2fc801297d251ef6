"""The network of the live model: a gated recurrence over the last events, read out at the last of them.

One layer, so that what is read out is a closed form: h = sum over j of (1 - keep_j) value_j times the product of the
later keeps. No loop over positions, no work on padding, and an actor's state costs O(D^2) to carry on. Holds no item
rows: they are passed in, so that live, older and published rows share one code. It is here to learn: who only serves
has its numbers (`live_numbers`).
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from everbrook.models.layers import dropout
from everbrook.models.live_state import plain_states
from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, Arrays

FEW_PLACES = 256
"""Up to so many places states are computed by plain arrays."""


class LiveNetwork(nn.Module):
    """The dense part: from the rows of a history to a state that is multiplied with item rows."""

    def __init__(self, settings: LiveSettings) -> None:
        super().__init__()
        D, buckets = settings.width, settings.time_buckets
        self.settings = settings
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.kind = nn.Parameter(0.02 * torch.randn(settings.kinds, D))
            self.since = nn.Parameter(torch.zeros(buckets, D))
            self.ahead = nn.Parameter(torch.zeros(buckets, D))
            self.time = nn.Parameter(torch.zeros(buckets, D))
            self.remember = nn.Parameter(torch.linspace(-1.0, 3.0, D))
            self.norm, self.norm_state, self.norm_wide = nn.LayerNorm(D), nn.LayerNorm(D), nn.LayerNorm(D)
            self.norm_out = nn.LayerNorm(D)
            self.project, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
            self.widen, self.narrow = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        for layer in (self.out, self.narrow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, rows: Tensor, windows: Windows) -> Tensor:
        """States, (B, D); `rows` (P, D) are the item rows of `windows.flat`. Every window must hold something."""
        shares, training = self.settings, self.training
        n = windows.held.sum(1)
        owner = torch.from_numpy(np.repeat(np.arange(len(n)), n))  # (P,)
        last = torch.from_numpy(np.cumsum(n) - 1)  # (B,)
        gaps = torch.from_numpy(windows.gaps[windows.held])
        x = dropout(rows, shares.item_dropout, training) * math.sqrt(shares.width)
        x = x + functional.embedding(torch.from_numpy(windows.kinds[windows.held]), self.kind)
        x = x + functional.embedding(gaps, self.since)
        value, forget, gate = self.project(self.norm(x)).chunk(3, -1)
        forget = forget + self.remember + functional.embedding(gaps, self.time)
        kept = functional.logsigmoid(forget).double().cumsum(0)  # over all actors: only differences within one are used
        later = (kept.index_select(0, last).index_select(0, owner) - kept).float()  # what later places leave of each
        weighed = torch.sigmoid(-forget) * later.exp() * value
        state = torch.zeros(len(n), shares.width).index_add(0, owner, weighed)
        mixed = self.out(self.norm_state(state) * functional.silu(gate.index_select(0, last)))
        y = x.index_select(0, last) + dropout(mixed, shares.dropout, training)
        wide = dropout(functional.relu(self.widen(self.norm_wide(y))), shares.dropout, training)
        y = y + dropout(self.narrow(wide), shares.dropout, training)
        return self.norm_out(y + functional.embedding(torch.from_numpy(windows.ahead), self.ahead))

    @functools.cached_property
    def views(self) -> Arrays:
        """Its numbers by name, as they are at any time: they are only ever changed in place."""
        return {name: tensor.detach().numpy() for name, tensor in self.state_dict().items()}

    def arrays(self) -> Arrays:
        """Its numbers by name, as copies."""
        return {name: tensor.detach().numpy().copy() for name, tensor in self.state_dict().items()}

    @torch.no_grad()
    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        for name, tensor in self.state_dict().items():
            np.copyto(tensor.numpy(), arrays[name])


@torch.no_grad()
def states_of(network: LiveNetwork, rows: F32, windows: Windows) -> F32:
    """(B, D) states without learning; `rows` (P, D) are those of `windows.flat`."""
    if len(rows) <= FEW_PLACES:
        return plain_states(network.views, rows, windows)
    network.eval()
    return network(torch.from_numpy(rows), windows).numpy()
