"""The engine: one recommender on one data directory, the same for live traffic and replay."""

from everbrook.engine.core import Core, Judging
from everbrook.engine.recommender import Receipt, Recommender

__all__ = ["Core", "Judging", "Receipt", "Recommender"]
