"""A recurrent state over a history: learned as a scan, kept current at serving by one O(D^2) step an event."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from everbrook.models.layers import RecurrentBlock, gap_buckets
from everbrook.models.sequence import SequenceBatch, SequenceModel, pauses_before
from everbrook.settings.sequence import SequenceSettings


class Recurrent(SequenceModel):
    """Gated linear recurrences on top of each other."""

    def __init__(self, settings: SequenceSettings, items: int) -> None:
        super().__init__(settings, items)
        self.blocks = nn.ModuleList(
            RecurrentBlock(settings.width, settings.dropout, settings.time_buckets) for _ in range(settings.layers)
        )

    def mix(self, x: Tensor, batch: SequenceBatch) -> Tensor:
        """Let each position take up the state of the one before it."""
        gaps = gap_buckets(pauses_before(batch.ts_s).float(), max(1, self.settings.time_buckets))
        for block in self.blocks:
            x = block(x, gaps)
        return x

    def start(self, count: int) -> Tensor:
        """States of `count` actors without a history: (B, layers, D)."""
        return torch.zeros(count, self.settings.layers, self.settings.width, device=self.table.device)

    def step(self, state: Tensor, batch: SequenceBatch, gap_s: Tensor) -> tuple[Tensor, Tensor]:
        """Take up one new event each.

        Args:
            state: (B, layers, D), as from `start` or an earlier step.
            batch: the new events, of length L = 1.
            gap_s: (B,) seconds since the actor's event before; 0 for the first.

        Returns:
            The new state (B, layers, D), and what `encode` would give at this event, (B, D).
        """
        gaps = gap_buckets(gap_s.float(), max(1, self.settings.time_buckets))
        x = self.enter(batch, None, gap_s[:, None])[:, 0]
        states = []
        for depth, block in enumerate(self.blocks):
            after, x = block.step(state[:, depth], x, gaps)  # type: ignore[operator]
            states.append(after)
        return torch.stack(states, 1), self.leave(x[:, None], batch)[:, 0]
