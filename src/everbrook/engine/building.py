"""A core from the settings."""

from __future__ import annotations

from everbrook.engine.core import Core
from everbrook.engine.trail import Trail
from everbrook.models.registry import build
from everbrook.rank.mixture import Mixture
from everbrook.settings import Settings
from everbrook.state import State


def new_core(settings: Settings, trail: bool = False) -> Core:
    """A core that has seen nothing.

    Args:
        settings: all of them.
        trail: whether it keeps what it folds, for batch learning.
    """
    state = State(settings.state)
    experts = [build(name, settings, state) for name in settings.mixture.experts]
    return Core(state, Mixture(experts, settings.mixture), Trail() if trail else None)
