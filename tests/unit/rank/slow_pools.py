"""The mixture's numbers once more, in plain Python: what the compiled loops must equal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FLOOR = 1e-12


def pool_of(weights: list[float], p: list[float], awake: list[bool]) -> float:
    """The awake columns' probability under weights that are made to sum to 1 among them."""
    total = sum(w for w, up in zip(weights, awake, strict=True) if up)
    return sum(w / total * q for w, q, up in zip(weights, p, awake, strict=True) if up)


def soft_bayes(weights: list[float], p: list[float], awake: list[bool], rate: float) -> tuple[list[float], float]:
    """Orseau, Lattimore, Legg (2017), eq. 2, among the awake, whose weights keep their sum."""
    mixed = pool_of(weights, p, awake)
    moved = [
        max(w * (1 - rate + rate * q / mixed), 1e-7) if up else w
        for w, q, up in zip(weights, p, awake, strict=True)
    ]
    kept = sum(w for w, up in zip(weights, awake, strict=True) if up)
    now = sum(w for w, up in zip(moved, awake, strict=True) if up)
    return [w * kept / now if up else w for w, up in zip(moved, awake, strict=True)], mixed


def fixed_share(weights: list[float], p: list[float], awake: list[bool], switch: float) -> tuple[list[float], float]:
    """Bayes' rule where a sleeper says what the others say, then a share of all weight is dealt out anew."""
    floored = [max(q, FLOOR) for q in p]
    mixed = pool_of(weights, floored, awake)
    said = [q if up else mixed for q, up in zip(floored, awake, strict=True)]
    evidence = sum(w * q for w, q in zip(weights, said, strict=True))
    posterior = [w * q / evidence for w, q in zip(weights, said, strict=True)]
    return [(1 - switch) * w + switch / len(weights) for w in posterior], mixed


@dataclass
class Layers:
    """Weights of all layers, as lists."""

    base: list[float]
    pools: list[list[list[float]]]
    top: list[float]
    losses: list[float]

    def completed(self, mass: list[float], rest: list[float], uniform: float) -> tuple[list[float], float]:
        """Each column's probability of one item, 0 where asleep, and the base's."""
        awake = [not math.isnan(r) for r in rest]
        popular = len(self.base)
        p = [m + r * uniform if up else 0.0 for m, r, up in zip(mass, rest, awake, strict=True)][:popular]
        base = pool_of(self.base, p, awake[:popular]) if any(awake[:popular]) else uniform
        late = zip(mass[popular:], rest[popular:], awake[popular:], strict=True)
        return p + [m + r * base if up else 0.0 for m, r, up in late], base

    def learn(self, p: list[float], awake: list[bool], buckets: list[int], rates: tuple[float, float]) -> float:
        """One event in which the stacker sleeps; gives the log-probability before it was learned."""
        popular = len(self.base)
        if any(awake[:popular]):
            self.base, _ = soft_bayes(self.base, p[:popular], awake[:popular], rates[0])
        q = []
        for j, bucket in enumerate(buckets):
            self.pools[j][bucket], mixed = soft_bayes(self.pools[j][bucket], p, awake, rates[0])
            q.append(mixed)
        said, up = [*q, 0.0, *p], [*(True for _ in q), False, *awake]
        self.top, mixed = fixed_share(self.top, said, up, rates[1])
        for j, one in enumerate(said):
            self.losses[j] -= math.log(max(one, FLOOR) if up[j] else mixed)
        return math.log(max(mixed, FLOOR))


@dataclass
class Made:
    """Columns and weights as arrays, made from a seed; some columns asleep, never all of the popular ones."""

    mass: np.ndarray  # (B, E)
    rest: np.ndarray  # (B, E)
    buckets: np.ndarray  # (B, J)
    base: np.ndarray
    pools: np.ndarray  # (J, C, E)
    top: np.ndarray

    @property
    def slow(self) -> Layers:
        """The same weights as lists, with no losses yet."""
        return Layers(self.base.tolist(), self.pools.tolist(), self.top.tolist(), [0.0] * len(self.top))


def made(seed: int, events: int = 30, columns: int = 6, popular: int = 2) -> Made:
    """Columns that give anything from nothing to nearly all, over pools of three buckets."""
    rng = np.random.default_rng(seed)
    pools, contexts = 3, 3
    rest = rng.uniform(0.01, 1.0, (events, columns)).astype(np.float32)
    mass = ((1.0 - rest) * rng.random((events, columns)) ** 4).astype(np.float32)
    asleep = rng.random((events, columns)) < 0.3
    asleep[:, 0] = False
    rest[asleep] = np.nan
    return Made(
        mass, rest, rng.integers(0, contexts, (events, pools)), rng.dirichlet(np.ones(popular)),
        rng.dirichlet(np.ones(columns), (pools, contexts)), rng.dirichlet(np.ones(pools + 1 + columns)),
    )
