"""The engine: one recommender on one data directory, the same for live traffic and replay.

Its names are loaded when they are asked for: the learner's process needs few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everbrook.engine.core import Core, Judging
    from everbrook.engine.recommender import Receipt, Recommender

__all__ = ["Core", "Judging", "Receipt", "Recommender"]
_HOMES = {"Core": "core", "Judging": "core", "Receipt": "recommender", "Recommender": "recommender"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'everbrook.engine' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"everbrook.engine.{_HOMES[name]}"), name)
