"""Whether what is shown will be taken, predicted before it is known: a logistic regression learned in one pass.

Not an expert: it orders no list. Every item, scenario, position and hour has a row of its own; nothing is hashed.
"""

from __future__ import annotations

import numpy as np

from everbrook.models import clicks_kernels as kernels
from everbrook.settings.values import ValuesSettings
from everbrook.types import F64, I32, I64, NO_ROW, Bool, Step

FLOORS = ("item_rate",)
"""What is predicted beside the model, to tell what it is worth."""


class Clicks:
    """P(taken) of each thing shown, learned event by event.

    The model starts as the product of the item's and the actor's odds and learns from there.

    Source: logistic regression by per-coordinate steps, as in McMahan et al., 'Ad click prediction: a view from the
    trenches' (KDD 2013), section 3, with the steps of Duchi, Hazan, Singer (JMLR 12, 2011).
    """

    def __init__(self, settings: ValuesSettings | None = None) -> None:
        s = self.settings = settings or ValuesSettings()
        per_s = 1.0 / s.click_half_life_s if s.click_half_life_s > 0.0 else 0.0
        self._rates: F64 = np.array([s.click_rate, s.click_shrinkage, per_s, s.click_prior])
        self._overall: F64 = np.zeros(3)
        self._plain = _weights(kernels.PLAIN)
        self._plain[[kernels.ITEM_RATE, kernels.ACTOR_RATE], 0] = 1.0
        self._actor_counts: F64 = np.zeros((0, 3))
        self._item_counts: F64 = np.zeros((0, 3))
        self._items = _weights(0)
        self._scenarios = _weights(1)

    def observe(self, step: Step, marks: I64, taken: Bool, position: I32 | None = None, learn: bool = True) -> F64:
        """Test, then train, event by event, in order.

        Args:
            step: the events.
            marks: (M,) positions of the events that tell whether something shown was taken.
            taken: (B,) whether it was.
            position: (B,) place on the screen or in the list; -1 where not known.
            learn: whether anything is learned.

        Returns:
            (B, 2) P(taken) by the model and by the item's fading rate; NaN elsewhere.
        """
        out: F64 = np.full((len(step), 1 + len(FLOORS)), np.nan)
        if len(marks):
            self._grow(int(step.actor[marks].max()) + 1, int(step.item[marks].max()) + 1)
            self._grow_scenarios(int(step.scenario[marks].max()) + 1)
            place: I32 = np.full(len(step), NO_ROW, np.int32) if position is None else position.astype(np.int32)
            kernels.observe(
                marks, taken, step.ts_ms, step.actor, step.item, step.scenario, place, step.n, step.session_n,
                step.items, self._overall, self._actor_counts, self._item_counts, self._plain, self._items,
                self._scenarios, self._rates, learn, out,
            )  # fmt: skip
        return out

    def _grow(self, actors: int, items: int) -> None:
        if actors > len(self._actor_counts):
            more = max(actors, 2 * len(self._actor_counts)) - len(self._actor_counts)
            self._actor_counts = np.concatenate((self._actor_counts, np.zeros((more, 3))))
        if items > len(self._items):
            more = max(items, 2 * len(self._items)) - len(self._items)
            self._item_counts = np.concatenate((self._item_counts, np.zeros((more, 3))))
            self._items = np.concatenate((self._items, _weights(more)))

    def _grow_scenarios(self, scenarios: int) -> None:
        more = scenarios + 1 - len(self._scenarios)
        if more > 0:  # the last row is that of no scenario, which NO_ROW reaches as -1
            parts = (self._scenarios[:-1], _weights(more), self._scenarios[-1:])
            self._scenarios = np.concatenate(parts)


def _weights(rows: int) -> F64:
    """(rows, 2) weights of 0 and what their sums of squares start from."""
    weights: F64 = np.zeros((rows, 2))
    weights[:, 1] = kernels.BEGINNING
    return weights
