"""A recurrent state over a history: learned as a scan, kept current at serving by one O(D^2) step an event."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from everbrook.models.layers import RecurrentBlock
from everbrook.models.sequence import SequenceBatch, SequenceModel
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.sequence import SequenceSettings


class Recurrent(SequenceModel):
    """Gated linear recurrences on top of each other."""

    def __init__(self, settings: SequenceSettings, items: int, features: FeaturesSettings) -> None:
        super().__init__(settings, items, features)
        self.blocks = nn.ModuleList(
            RecurrentBlock(settings.width, settings.dropout, self.gap_buckets) for _ in range(settings.layers)
        )

    def mix(self, x: Tensor, batch: SequenceBatch) -> Tensor:
        """Let each position take up the state of the one before it."""
        gaps = self._gaps(batch)
        for block in self.blocks:
            x = block(x, gaps)
        return x

    def start(self, count: int) -> Tensor:
        """States of `count` actors without a history: (B, layers, D)."""
        return torch.zeros(count, self.settings.layers, self.settings.width, device=self.table.device)

    def step(self, state: Tensor, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """Take up one new event each.

        Args:
            state: (B, layers, D), as from `start` or an earlier step.
            batch: the new events, of length L = 1, coded within their histories.

        Returns:
            The new state (B, layers, D), and what `encode` would give at this event, (B, D).
        """
        gaps = self._gaps(batch)[:, 0]
        x = self.enter(batch, None)[:, 0]
        states = []
        for depth, block in enumerate(self.blocks):
            after, x = block.step(state[:, depth], x, gaps)  # type: ignore[operator]
            states.append(after)
        return torch.stack(states, 1), self.leave(x[:, None], batch)[:, 0]

    def _gaps(self, batch: SequenceBatch) -> Tensor:
        return batch.gap.clamp(max=max(0, self.gap_buckets - 1))
