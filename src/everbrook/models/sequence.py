"""The large sequence model: what every network of it takes, gives and is called. It is learned in `everbrook.learn`.

A network reads an actor's last events and gives, at each position, a state; the item table that feeds the
network also scores its output (tied), so that an item has one vector.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from everbrook.errors import SettingError
from everbrook.models.layers import dropout
from everbrook.settings.sequence import SequenceSettings

PAUSES_S = (1800.0, 21_600.0, 86_400.0, 604_800.0)
"""Borders of the codes of a pause: between events, and between the last event and the moment a list is asked for.
Coarse, because a list is asked for before the next event happens, so that finer times would differ between learning
and serving."""


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """B histories, oldest first, left-aligned; what stands beyond a history's end is any valid value."""

    items: Tensor  # (B, L) int64, rows of the table that is passed beside
    kinds: Tensor  # (B, L) int64
    ts_s: Tensor  # (B, L) float64, seconds
    ahead_s: Tensor  # (B, L) float64, seconds until the moment asked about

    def to(self, device: torch.device) -> SequenceBatch:
        """The same on a device."""
        return SequenceBatch(*(getattr(self, name).to(device) for name in self.__slots__))


class SequenceModel(nn.Module, ABC):
    """What networks share: the tied item table, the input's parts, the scores. A network adds `mix`."""

    def __init__(self, settings: SequenceSettings, items: int) -> None:
        super().__init__()
        D = settings.width
        self.settings = settings
        self.table = nn.Parameter(torch.randn(items, D) / math.sqrt(D))  # (N, D)
        self.kind = nn.Parameter(torch.zeros(settings.kinds, D))
        self.since = nn.Parameter(torch.zeros(len(PAUSES_S) + 1, D))
        self.ahead = nn.Parameter(torch.zeros(len(PAUSES_S) + 1, D))
        self.norm = nn.LayerNorm(D)

    @abstractmethod
    def mix(self, x: Tensor, batch: SequenceBatch) -> Tensor:
        """Let each position take up those before it: (B, L, D) to (B, L, D)."""

    def encode(self, batch: SequenceBatch, table: Tensor | None = None) -> Tensor:
        """States of a batch of histories, ready to be multiplied with `targets`.

        Args:
            batch: the histories.
            table: (R, D) the rows that `batch.items` speaks of; the whole table where None.

        Returns:
            (B, L, D).
        """
        return self.leave(self.mix(self.enter(batch, table), batch), batch)

    def enter(self, batch: SequenceBatch, table: Tensor | None, pauses_s: Tensor | None = None) -> Tensor:
        """What the network is fed with: (B, L, D); `pauses_s` (B, L) before each event come from the times if None."""
        vectors = self.targets(functional.embedding(batch.items, self.table if table is None else table))
        scale = math.sqrt(self.settings.width) if self.settings.cosine else 1.0
        x = dropout(vectors, self.settings.item_dropout, self.training) * scale
        kinds = functional.embedding(batch.kinds.clamp(max=len(self.kind) - 1), self.kind)
        pauses_s = pauses_before(batch.ts_s) if pauses_s is None else pauses_s
        return x + kinds + functional.embedding(pause_codes(pauses_s), self.since)

    def leave(self, x: Tensor, batch: SequenceBatch) -> Tensor:
        """States to be multiplied with `targets`, of what the network gave: (B, L, D)."""
        state = self.norm(x + functional.embedding(pause_codes(batch.ahead_s), self.ahead))
        return functional.normalize(state, dim=-1) * self.settings.sharpness if self.settings.cosine else state

    def targets(self, table: Tensor | None = None) -> Tensor:
        """(…, D) what states are multiplied with, for rows of the table; for all where None."""
        rows = self.table if table is None else table
        return functional.normalize(rows, dim=-1) if self.settings.cosine else rows

    @property
    def items(self) -> int:
        """How many item rows the model knows."""
        return len(self.table)


class Source(NamedTuple):
    """Where a network comes from and how it is built."""

    build: Callable[[SequenceSettings, int], SequenceModel]
    source: str


def pauses_before(ts_s: Tensor) -> Tensor:
    """Seconds since the event before, 0 for the first: (B, L)."""
    pauses_s = torch.zeros_like(ts_s)
    pauses_s[:, 1:] = ts_s[:, 1:] - ts_s[:, :-1]
    return pauses_s


def pause_codes(pauses_s: Tensor) -> Tensor:
    """Code pauses by PAUSES_S: 0 up to the first border."""
    return torch.bucketize(pauses_s.contiguous(), torch.tensor(PAUSES_S, dtype=pauses_s.dtype, device=pauses_s.device))


def check(settings: SequenceSettings) -> None:
    """Refuse a shape that cannot be built.

    Raises:
        SettingError: the heads do not divide the width.
    """
    if settings.width % settings.heads:
        raise SettingError(
            f"Setting 'sequence.heads' must divide 'sequence.width'; got {settings.heads} and {settings.width}."
        )
