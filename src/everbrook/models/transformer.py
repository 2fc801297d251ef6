"""A causal Transformer over a history, with distance in places and in time as a bias of its attention."""

from __future__ import annotations

from torch import Tensor, nn

from everbrook.models.layers import AttentionBlock, PointwiseBlock, RelativeBias, causal, gap_buckets
from everbrook.models.sequence import SequenceBatch, SequenceModel
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.sequence import SequenceSettings

_BLOCKS = {"softmax": AttentionBlock, "pointwise": PointwiseBlock}


class Transformer(SequenceModel):
    """SASRec's causal encoder with HSTU's relative bias; the block is softmax attention or HSTU's pointwise one."""

    def __init__(self, settings: SequenceSettings, items: int, features: FeaturesSettings) -> None:
        super().__init__(settings, items, features)
        block = _BLOCKS[settings.attention]
        self.blocks = nn.ModuleList(
            block(settings.width, settings.heads, settings.dropout,
                  RelativeBias(settings.heads, settings.history, self.gap_buckets))
            for _ in range(settings.layers)
        )

    def mix(self, x: Tensor, batch: SequenceBatch) -> Tensor:
        """Let each position attend to itself and those before it."""
        gaps = None
        if self.gap_buckets:
            apart_ms = batch.since_first_ms[:, :, None] - batch.since_first_ms[:, None, :]
            gaps = gap_buckets(apart_ms, self.gap_buckets)
        mask = causal(x.shape[1], x)
        for block in self.blocks:
            x = block(x, gaps, mask)
        return x
