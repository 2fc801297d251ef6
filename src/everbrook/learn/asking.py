"""From events to questions for the live model: which items compete, and what popularity alone would have said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.learn.live_losses import log_shares
from everbrook.learn.live_negatives import RecentNegatives
from everbrook.learn.reservoir import Drawn, Questions
from everbrook.models.live_prior import LivePrior
from everbrook.models.live_windows import windows_of
from everbrook.models.popularity import Popularity
from everbrook.settings.live import LiveSettings
from everbrook.settings.popularity import PopularitySettings
from everbrook.types import F32, I64, Arrays, Step


@dataclass(frozen=True, slots=True)
class Asked:
    """What a micro-batch asks."""

    at: I64  # (B,) positions of the step's events that are asked about
    questions: Questions
    drawn: Drawn


class Asker:
    """Keeps popularity and the last targets: `ask` says what they were before a micro-batch, then they learn it."""

    def __init__(self, settings: LiveSettings, popularity: PopularitySettings) -> None:
        self.settings = settings
        self.popularity = Popularity(popularity)
        self.prior = LivePrior(self.popularity, settings.prior_rate)
        self.negatives = RecentNegatives(settings)

    def grow(self, items: int, actors: int) -> None:
        """Make room for item rows below `items`."""
        self.popularity.grow(items, actors)
        self.negatives.grow(items)

    def ask(self, step: Step, items: int, rng: np.random.Generator) -> Asked:
        """Make the questions of a micro-batch.

        Events that are positive and have a history are asked about.

        Args:
            step: the events, with their histories; there is room for their items.
            items: N.
            rng: of the negatives.
        """
        s = self.settings
        positive = step.weight > 0.0
        at = np.flatnonzero(positive & (step.n > 0))
        now_ms = int(step.ts_ms.min(initial=2**62))
        rows, log_chance = self.negatives.draw(s.negatives, items, rng)
        drawn = Drawn(rows, log_chance, lambda scenario: np.log(self.prior.of(rows, scenario, now_ms, items)))
        offsets = drawn.offsets(step.item[at], step.scenario[at])
        given = self.prior.observe(step, positive, items)
        self.negatives.add(step.item[positive])
        windows = windows_of(step.items[at], step.times[at], step.kinds[at], step.n[at], step.ts_ms[at], s)
        weights = np.minimum(step.weight[at], np.float32(1.0))
        prior = np.log(np.maximum(given[at], 1e-30)).astype(np.float32)
        return Asked(at, Questions(windows, step.item[at], prior, rows, offsets, weights), drawn)

    def state(self) -> Arrays:
        """Everything it keeps."""
        arrays: Arrays = {"prior": self.prior.weights}
        arrays |= {f"popularity/{name}": array for name, array in self.popularity.state().items()}
        return arrays | {f"negatives/{name}": array for name, array in self.negatives.state().items()}

    def load(self, arrays: Arrays, items: int) -> None:
        """Take over what `state` gave.

        Args:
            arrays: as given.
            items: N.
        """
        self.prior.weights[...] = arrays["prior"]
        self.popularity.load({name[11:]: one for name, one in arrays.items() if name.startswith("popularity/")})
        self.negatives.load({name[10:]: one for name, one in arrays.items() if name.startswith("negatives/")}, items)


def log_probabilities(states: F32, targets: F32, negatives: F32, asked: Questions) -> F32:
    """(B,) what weights give each target, estimated from the drawn items.

    The denominator is the target's own part and the drawn items' parts, each weighed by how likely it was drawn
    (Bengio & Senécal 2008); earlier and later weights asked with the same draws share its noise.

    Args:
        states: (B, D)
        targets: (B, D) rows of the targets.
        negatives: (M, D) rows of the shared negatives.
        asked: the questions.
    """
    own = (states * targets).sum(1) + asked.target_offsets
    others = states @ negatives.T
    others += asked.offsets
    out = np.empty_like(own)
    log_shares(own, others, out)
    return out
