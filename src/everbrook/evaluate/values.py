"""Values and clicks predicted along a replay: before each is known, then learned.

Not lists: what is predicted here orders nothing. A stream without values and without things shown in vain pays nothing.
"""

from __future__ import annotations

import numpy as np

from everbrook.evaluate.accumulate import Accumulator
from everbrook.models import clicks, ratings
from everbrook.models.clicks import Clicks
from everbrook.models.ratings import RatingsByKind
from everbrook.settings.values import ValuesSettings
from everbrook.state.ids import IdMap
from everbrook.types import F64, I16, I32, I64, Bool, Step


class PredictedValues:
    """Is fed each step in order and hands what is scored to the report.

    What was shown is what `weight` 0 says; every event with a weight tells whether it was taken, from the first thing
    shown in vain on. An event that says 'shown' and a later one that says 'taken' count as two.

    Args:
        settings: which kinds, and how they are learned.
        kinds: names of the kinds by row; it may grow.
    """

    def __init__(self, settings: ValuesSettings, kinds: IdMap) -> None:
        self.settings = settings
        self.kinds = kinds
        self.ratings = RatingsByKind(settings)
        self.clicks = Clicks(settings)
        self.shown = False  # whether anything was shown in vain yet

    def take(self, step: Step, position: I32 | None, gathered: Accumulator | None, learn: bool = True) -> None:
        """Predict, then learn.

        Args:
            step: the events.
            position: (B,) where each item was shown; -1 where not known, None where no event says.
            gathered: takes what was predicted; None while warming up.
            learn: whether anything is learned.
        """
        marks = self._rated(step)
        if len(marks):
            predicted = self.ratings.observe(step, marks, learn)
            if gathered is not None:
                self._tell_ratings(step, marks, predicted, gathered)
        marks = self._answered(step)
        if len(marks):
            taken = step.weight > 0.0
            chances = self.clicks.observe(step, marks, taken, position, learn)[marks]
            if gathered is not None:
                gathered.add_clicks(chances[:, 0], taken[marks], _by_name(clicks.FLOORS, chances))

    def _rated(self, step: Step) -> I64:
        mask = np.isfinite(step.value)
        if self.settings.rated_kinds and mask.any():
            mask &= self._of(self.settings.rated_kinds, step.kind)
        return np.flatnonzero(mask)

    def _answered(self, step: Step) -> I64:
        """Positions of the events that tell whether something shown was taken."""
        start = 0
        if not self.shown:
            vain = step.weight == 0.0
            if not vain.any():
                return np.empty(0, np.int64)
            self.shown, start = True, int(vain.argmax())
        if not self.settings.click_kinds:
            return np.arange(start, len(step))
        answers = (step.weight <= 0.0) | self._of(self.settings.click_kinds, step.kind)
        return start + np.flatnonzero(answers[start:])

    def _of(self, names: tuple[str, ...], kind: I16) -> Bool:
        return np.isin(kind, [self.kinds.row(name) for name in names])

    def _tell_ratings(self, step: Step, marks: I64, predicted: F64, gathered: Accumulator) -> None:
        marks = marks[~np.isnan(predicted[marks, 0])]
        for kind in np.unique(step.kind[marks]).tolist():
            mine = marks[step.kind[marks] == kind]
            said, actual = predicted[mine], step.value[mine].astype(np.float64)
            gathered.add_ratings(said[:, 0], actual, _by_name(ratings.FLOORS, said), self.kinds.id(kind))


def _by_name(names: tuple[str, ...], predicted: F64) -> dict[str, F64]:
    """Floors by name: the columns after the first."""
    return {name: predicted[:, 1 + column] for column, name in enumerate(names)}
