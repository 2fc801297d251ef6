"""A reservoir of past positions, learned again beside new ones: each label at most a few times in all.

A position keeps its history, its target and what the prior gave that then; it is compared with what is drawn when it is
learned again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I16, I32, I64, Arrays, Bool

NEVER = np.float32(-1e9)
"""Logarithm of the weight of a drawn item that is the target itself."""


@dataclass(frozen=True, slots=True)
class Questions:
    """B positions to learn: a history each, what came next, and what it is compared with."""

    windows: Windows
    targets: I32  # (B,)
    target_offsets: F32  # (B,) logarithm of the prior of the target
    negatives: I32  # (M,) shared
    offsets: F32  # (B, M) logarithm of prior over chance of being drawn; very small where a negative is the target
    weights: F32  # (B,) of the label

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, chosen: I64 | Bool) -> Questions:
        """Only some of them."""
        return Questions(
            self.windows.take(chosen), self.targets[chosen], self.target_offsets[chosen], self.negatives,
            self.offsets[chosen], self.weights[chosen],
        )


class Drawn:
    """Items drawn for comparison, and what the prior of a scenario and the drawing make of each."""

    def __init__(self, rows: I32, log_chance: F32, log_prior: Callable[[int], F32]) -> None:
        """Prepare.

        Args:
            rows: (M,) what was drawn, with replacement.
            log_chance: (M,) logarithm of the chance that each had at one draw.
            log_prior: gives (M,) the logarithm of the prior in a scenario.
        """
        self.rows, self._log_prior = rows, log_prior
        self._base = -log_chance - np.float32(np.log(max(len(rows), 1)))
        self._known: dict[int, F32] = {}

    def offsets(self, targets: I32, scenarios: I16) -> F32:
        """What is added to the scores of the drawn items, (B, M).

        Args:
            targets: (B,) what came next; a drawn item that is the target is no negative.
            scenarios: (B,)
        """
        out = np.empty((len(targets), len(self.rows)), np.float32)
        for scenario in np.unique(scenarios).tolist():
            if scenario not in self._known:
                self._known[scenario] = self._log_prior(scenario) + self._base
            out[scenarios == scenario] = self._known[scenario]
        out[self.rows[None] == targets[:, None]] = NEVER
        return out


class Reservoir:
    """Positions of the past in R places; a new one takes the place of a random old one."""

    def __init__(self, settings: LiveSettings) -> None:
        R, L = settings.reservoir, settings.history
        self.settings = settings
        self._a: Arrays = {
            "items": np.zeros((R, L), np.int32), "held": np.zeros((R, L), np.bool_),
            "kinds": np.zeros((R, L), np.int16), "gaps": np.zeros((R, L), np.int8), "ahead": np.zeros(R, np.int8),
            "targets": np.zeros(R, np.int32), "target_offsets": np.zeros(R, np.float32),
            "scenarios": np.zeros(R, np.int16), "weights": np.zeros(R, np.float32),
            "actors": np.full(R, -1, np.int32), "fits": np.zeros(R, np.int8),
            "count": np.zeros(1, np.int64),
        }  # fmt: skip

    def __len__(self) -> int:
        return int(min(self._a["count"][0], len(self._a["targets"])))

    def put(self, asked: Questions, actors: I32, scenarios: I16, rng: np.random.Generator) -> None:
        """Keep positions that were just learned for the first time.

        Args:
            asked: the positions.
            actors: (B,) whose they are.
            scenarios: (B,) where.
            rng: of the places.
        """
        a, R = self._a, len(self._a["targets"])
        if not R or not len(asked):
            return
        count = int(a["count"][0])
        free = np.arange(count, min(count + len(asked), R))
        at = np.concatenate((free, rng.integers(0, R, len(asked) - len(free)))).astype(np.int64)
        w = asked.windows
        a["items"][at], a["held"][at], a["kinds"][at] = w.items, w.held, w.kinds
        a["gaps"][at], a["ahead"][at] = w.gaps, w.ahead
        a["targets"][at], a["target_offsets"][at] = asked.targets, asked.target_offsets
        a["scenarios"][at] = scenarios
        a["weights"][at], a["actors"][at], a["fits"][at] = asked.weights, actors, 1
        a["count"][0] += len(asked)

    def draw(self, count: int, drawn: Drawn, rng: np.random.Generator) -> Questions | None:
        """Positions to learn again, and count that they are.

        A label that was fitted as often as it may be has weight 0: such a position only keeps the model near the
        anchor.

        Args:
            count: how many.
            drawn: what they are compared with.
            rng: of the choice.
        """
        held = len(self)
        if not held or count <= 0:
            return None
        a = self._a
        at = np.unique(rng.integers(0, held, count))
        at = at[a["actors"][at] >= 0]
        if not len(at):
            return None
        fresh = a["fits"][at] < self.settings.most_fits
        a["fits"][at[fresh]] += 1
        windows = Windows(
            a["items"][at], a["held"][at], a["kinds"][at].astype(np.int64), a["gaps"][at].astype(np.int64),
            a["ahead"][at].astype(np.int64),
        )
        offsets = drawn.offsets(a["targets"][at], a["scenarios"][at])
        return Questions(
            windows, a["targets"][at], a["target_offsets"][at], drawn.rows, offsets,
            np.where(fresh, a["weights"][at], np.float32(0.0)).astype(np.float32),
        )

    def forget(self, rows: I64) -> int:
        """Drop the positions of actors; how many there were."""
        theirs = np.flatnonzero(np.isin(self._a["actors"], rows))
        for name in ("items", "held", "kinds", "gaps", "ahead", "targets", "target_offsets", "scenarios", "weights"):
            self._a[name][theirs] = 0
        self._a["actors"][theirs] = -1
        return len(theirs)

    def state(self) -> Arrays:
        """Everything it holds."""
        return self._a

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        for name, mine in self._a.items():
            mine[...] = arrays[name]
