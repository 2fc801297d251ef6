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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from everbrook.errors import SettingError
from everbrook.features.sequence import EVENT_FEATURES, SequenceInputs
from everbrook.models.layers import dropout
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.sequence import SequenceSettings
from everbrook.types import I64


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """`SequenceInputs` as tensors; beyond a history's end its last item stands again, so that every row is valid."""

    items: Tensor  # (B, L) int64, rows of the table that is passed beside
    kinds: Tensor  # (B, L) int32
    since_first_ms: Tensor  # (B, L) int64
    gap: Tensor  # (B, L) int32, as these three the codes of that name in EVENT_FEATURES
    pause: Tensor
    ahead: Tensor
    hour: Tensor

    @classmethod
    def of(cls, inputs: SequenceInputs) -> SequenceBatch:
        """Inputs of training or of serving."""
        place = np.minimum(np.arange(inputs.items.shape[1]), np.maximum(inputs.n - 1, 0)[:, None])
        items = np.maximum(np.take_along_axis(inputs.items, place, 1), 0)
        codes = {name: torch.from_numpy(codes.astype(np.int32)) for name, codes in inputs.codes.items()}
        return cls(
            items=torch.from_numpy(items.astype(np.int64)), kinds=torch.from_numpy(inputs.kinds.astype(np.int32)),
            since_first_ms=torch.from_numpy(inputs.since_first_ms), **codes,
        )  # fmt: skip

    def cut(self, rows: Tensor | I64, length: int) -> SequenceBatch:
        """Some histories, their first `length` places."""
        rows = torch.as_tensor(rows)
        return SequenceBatch(*(getattr(self, name)[rows, :length] for name in self.__slots__))

    def to(self, device: torch.device) -> SequenceBatch:
        """The same on a device."""
        return SequenceBatch(*(getattr(self, name).to(device) for name in self.__slots__))


class SequenceModel(nn.Module, ABC):
    """What networks share: the tied item table, the input's parts, the scores. A network adds `mix`."""

    def __init__(self, settings: SequenceSettings, items: int, features: FeaturesSettings) -> None:
        super().__init__()
        D = settings.width
        sizes = {name: feature.size(features) for name, feature in EVENT_FEATURES.items()}
        self.settings, self.features = settings, features
        self.gap_buckets = min(settings.time_buckets, sizes["gap"])
        self.table = nn.Parameter(torch.randn(items, D) / math.sqrt(D))  # (N, D)
        self.kind = nn.Parameter(torch.zeros(settings.kinds, D))
        self.since = nn.Parameter(torch.zeros(sizes["pause"], D))
        self.ahead = nn.Parameter(torch.zeros(sizes["ahead"], D))
        self.hour = nn.Parameter(torch.zeros(sizes["hour"], D)) if settings.hour else None
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

    def enter(self, batch: SequenceBatch, table: Tensor | None) -> Tensor:
        """What the network is fed with: (B, L, D)."""
        vectors = self.targets(functional.embedding(batch.items, self.table if table is None else table))
        scale = math.sqrt(self.settings.width) if self.settings.cosine else 1.0
        x = dropout(vectors, self.settings.item_dropout, self.training) * scale
        kinds = functional.embedding(batch.kinds.clamp(max=len(self.kind) - 1), self.kind)
        return x + kinds + functional.embedding(batch.pause, self.since)

    def leave(self, x: Tensor, batch: SequenceBatch) -> Tensor:
        """States to be multiplied with `targets`, of what the network gave: (B, L, D)."""
        x = x + functional.embedding(batch.ahead, self.ahead)
        if self.hour is not None:
            x = x + functional.embedding(batch.hour, self.hour)
        state = self.norm(x)
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

    build: Callable[[SequenceSettings, int, FeaturesSettings], SequenceModel]
    source: str


def check(settings: SequenceSettings) -> None:
    """Refuse a shape that cannot be built.

    Raises:
        SettingError: the heads do not divide the width.
    """
    if settings.width % settings.heads:
        raise SettingError(
            f"Setting 'sequence.heads' must divide 'sequence.width'; got {settings.heads} and {settings.width}."
        )
