"""A core from the settings."""

from __future__ import annotations

from functools import partial

import numpy as np

from everbrook.engine.core import Core
from everbrook.engine.trail import Trail
from everbrook.index import ItemTable
from everbrook.models.live_expert import LiveExpert
from everbrook.models.popularity import Popularity
from everbrook.models.registry import build
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.rank.mixture import Mixture
from everbrook.settings import Settings
from everbrook.settings.index import IndexSettings
from everbrook.state import State
from everbrook.state.influence import Influence
from everbrook.types import F32


def new_core(settings: Settings, trail: bool = False) -> Core:
    """A core that has seen nothing.

    Args:
        settings: all of them.
        trail: whether it keeps what it folds, for batch learning.
    """
    state = State(settings.state)
    experts = [build(name, settings, state) for name in settings.mixture.experts]
    for expert in experts:
        if isinstance(expert, SequenceExpert):
            expert.index = partial(_indexed, settings.index)
        if isinstance(expert, LiveExpert) and isinstance(experts[0], Popularity):
            expert.stand_on(experts[0])
    guard = Influence(settings.guard) if settings.guard.enabled else None
    return Core(state, Mixture(experts, settings.mixture), Trail() if trail else None, guard)


def _indexed(settings: IndexSettings, vectors: F32) -> ItemTable:
    """An item table that holds vectors, (N, D)."""
    table = ItemTable(vectors.shape[1], settings)
    table.put(np.arange(len(vectors), dtype=np.int32), vectors)
    return table
