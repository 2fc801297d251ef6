"""Everbrook: a recommender that learns while it serves.

Importing this loads neither tensors nor a web framework; `Recommender` is found when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender

__version__ = "0.1.0"
__all__ = ["Recommender", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Recommender":
        from everbrook.engine.recommender import Recommender

        return Recommender
    raise AttributeError(f"module 'everbrook' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
