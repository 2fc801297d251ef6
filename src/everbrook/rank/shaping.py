"""What decides about a list beside the probability: factors on it, variety, drawn places, pinned places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from everbrook.rank.mixture import Mixture
from everbrook.rank.variety import Mix
from everbrook.rank.weighing import Weighed
from everbrook.state.catalogue import NEVER_MS
from everbrook.types import F32, F64, I32, I64, Bool


@dataclass(frozen=True, slots=True)
class Freshness:
    """factor ** (influence x youth), where youth is 1 for a new item and halves with each half-life of its age."""

    influence: float  # -1..1
    factor: float
    half_life_ms: float
    born_ms: Callable[[I32], I64]  # since when each of (M,) rows exists
    now_ms: int

    def factors(self, rows: I32) -> F64:
        """(M,) what each item's probability is multiplied by; 1 where nobody knows its age."""
        born = self.born_ms(rows)
        age_ms = np.maximum(self.now_ms - born, 0)
        youth = np.where(born == NEVER_MS, 0.0, 0.5 ** (age_ms / self.half_life_ms))
        return np.asarray(self.factor ** (self.influence * youth))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """All of it for one list."""

    boosts: tuple[tuple[Bool, float], ...] = ()  # (N,) which items, and what their probability is multiplied by
    pinned: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    positions: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    freshness: Freshness | None = None
    popularity: float = 0.0
    disliked: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    dislike: float = 0.0  # share of its probability that an item loses by being all like one of them
    diversity: float = 0.0
    calibration: float = 0.0
    pool: int = 200
    explore: float = 0.0
    temperature: float = 1.0
    draws: np.random.Generator = field(default_factory=np.random.default_rng)
    vectors: Callable[[I32], F32] = lambda rows: np.zeros((len(rows), 1), np.float32)
    mix: Callable[[I32], Mix]

    def factors(self, mixture: Mixture, weighed: Weighed) -> F64:
        """(M,) what each candidate's probability is multiplied by."""
        rows = weighed.rows
        found = np.ones(len(rows))
        for mask, by in self.boosts:
            found[mask[rows]] *= by
        if self.freshness is not None:
            found *= self.freshness.factors(rows)
        if self.popularity:
            found *= _popular(mixture, weighed) ** self.popularity
        if len(self.disliked) and len(rows):
            vectors = self.vectors(np.concatenate((rows, self.disliked)))
            alike = vectors[: len(rows)] @ vectors[len(rows) :].T
            found *= 1.0 - self.dislike * np.clip(alike.max(axis=1), 0.0, 1.0)
        return found


def _popular(mixture: Mixture, weighed: Weighed) -> F64:
    """(M,) the popularity of each candidate against the middle one: what the popularity experts say together."""
    popular = mixture.popular
    weights = mixture.base_weights * weighed.awake[:popular]
    base = np.maximum(weighed.p[:, :popular] @ weights, 1e-12)
    return np.asarray(base / np.exp(np.log(base).mean())) if len(base) else base
