"""Sequence networks by name, new models and grown ones. Their files stand in `sequence_file`."""

from __future__ import annotations

import math

import torch

from everbrook.models.recurrent import Recurrent
from everbrook.models.sequence import SequenceModel, Source, check
from everbrook.models.transformer import Transformer
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.sequence import SequenceSettings

SEQUENCE_MODELS: dict[str, tuple[type[SequenceSettings], Source]] = {
    "transformer": (
        SequenceSettings,
        Source(Transformer, "SASRec (Kang & McAuley 2018) with the relative bias of HSTU (Zhai et al. 2024)"),
    ),
    "recurrent": (SequenceSettings, Source(Recurrent, "gates of HGRN (Qin et al. 2023), forgetting by time gap")),
}


def new_model(
    settings: SequenceSettings, items: int, seed: int = 0, features: FeaturesSettings | None = None
) -> SequenceModel:
    """A model with weights that only the seed decides.

    Args:
        settings: its shape.
        items: N, how many item rows it knows.
        seed: of the first weights.
        features: how its inputs are coded; the defaults where None.
    """
    check(settings)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SEQUENCE_MODELS[settings.kind][1].build(settings, items, features or FeaturesSettings())


@torch.no_grad()
def grown(model: SequenceModel, items: int, seed: int = 0) -> SequenceModel:
    """A copy that knows more items; a new row is the mean of the others and noise of their spread."""
    before = model.items
    copy = new_model(model.settings, max(items, before), seed, model.features)
    state = model.state_dict()
    table = copy.table.clone()
    if 0 < before < len(table):
        known = model.table
        noise = torch.randn(len(table) - before, table.shape[1], generator=torch.Generator().manual_seed(seed + before))
        table[before:] = known.mean(0) + noise.to(table.device) * known.std() * math.sqrt(0.5)
    table[:before] = model.table
    copy.load_state_dict(state | {"table": table})
    return copy.to(model.table.device)
