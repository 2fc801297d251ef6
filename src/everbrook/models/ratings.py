"""Values such as ratings, predicted before they are given: mean, biases and factors, learned in one pass.

Not an expert: it orders no list. Each kind that carries values has a model of its own, because their units differ.
"""

from __future__ import annotations

import numpy as np

from everbrook.models import ratings_kernels as kernels
from everbrook.settings.values import ValuesSettings
from everbrook.types import F32, F64, I64, Step

FLOORS = ("mean_so_far", "item_mean", "biases")
"""What is predicted beside the model, to tell what it is worth."""
FIRST_SHARE = 0.3
"""Spread of the factors' first values, in prior standard deviations."""


class Ratings:
    """Biased matrix factorisation for one kind of event, learned event by event.

    Source: the model is that of Koren, Bell, Volinsky, 'Matrix factorization techniques for recommender systems'
    (Computer 42, 2009), eq. 5; each step's size comes from the factors' variances, as in Stern, Herbrich, Graepel,
    'Matchbox' (WWW 2009), so that the first values of a new actor or item count most.
    """

    def __init__(self, settings: ValuesSettings | None = None) -> None:
        s = self.settings = settings or ValuesSettings()
        self._priors: F32 = np.full(s.rating_width + 1, s.factor_variance, np.float32)
        self._priors[-1] = s.bias_variance
        self._about: F64 = np.zeros(5)
        self._actors, self._items = self._rows(0, 0, 1), self._rows(0, 0, 2)
        self._actor_floor: F64 = np.zeros((0, 2))
        self._item_floor: F64 = np.zeros((0, 3))

    def observe(self, step: Step, marks: I64, learn: bool = True) -> F64:
        """Test, then train, event by event, in order.

        Args:
            step: the events.
            marks: (M,) positions of the events whose value is to be predicted; they must have one.
            learn: whether anything is learned.

        Returns:
            (B, 4) the predicted value and what each of `FLOORS` says; NaN elsewhere and before any value was known.
        """
        out: F64 = np.full((len(step), 1 + len(FLOORS)), np.nan)
        if len(marks):
            self._grow(int(step.actor[marks].max()) + 1, int(step.item[marks].max()) + 1)
            kernels.observe(
                marks, step.actor, step.item, step.value, self._about, self._actors, self._items, self._actor_floor,
                self._item_floor, self._priors, self.settings.rating_noise, self.settings.forgetting, learn, out,
            )  # fmt: skip
        return out

    def _grow(self, actors: int, items: int) -> None:
        if actors > len(self._actors):
            actors = max(actors, 2 * len(self._actors))
            self._actors = np.concatenate((self._actors, self._rows(len(self._actors), actors, 1)))
            self._actor_floor = np.concatenate((self._actor_floor, np.zeros((actors - len(self._actor_floor), 2))))
        if items > len(self._items):
            items = max(items, 2 * len(self._items))
            self._items = np.concatenate((self._items, self._rows(len(self._items), items, 2)))
            self._item_floor = np.concatenate((self._item_floor, np.zeros((items - len(self._item_floor), 3))))

    def _rows(self, start: int, stop: int, side: int) -> F32:
        """(stop - start, 2, D + 1) new rows; the first values depend on seed, side and row alone."""
        D = self.settings.rating_width
        rows: F32 = np.zeros((stop - start, 2, D + 1), np.float32)
        rows[:, 1] = self._priors
        key = np.uint64((0x9E3779B97F4A7C15 * (2 * self.settings.seed + side)) & 0xFFFFFFFFFFFFFFFF)
        places = np.arange(start * D, stop * D, dtype=np.uint64).reshape(stop - start, D)
        rows[:, 0, :D] = FIRST_SHARE * np.sqrt(3.0 * self.settings.factor_variance) * _between(places ^ key)
        return rows


class RatingsByKind:
    """A model for each kind that carries values, up to a limit."""

    def __init__(self, settings: ValuesSettings | None = None) -> None:
        self.settings = settings or ValuesSettings()
        self.models: dict[int, Ratings] = {}  # by kind row

    def observe(self, step: Step, marks: I64, learn: bool = True) -> F64:
        """Test, then train; see `Ratings.observe`.

        Returns:
            (B, 4) NaN also for kinds beyond the limit.
        """
        found, first = np.unique(step.kind[marks], return_index=True)
        kinds = found[np.argsort(first)].tolist()  # in order of appearance, so that no cut decides who comes first
        if len(kinds) == 1:  # nearly always
            model = self._model(kinds[0])
            if model is not None:
                return model.observe(step, marks, learn)
        out: F64 = np.full((len(step), 1 + len(FLOORS)), np.nan)
        for kind in kinds:
            model = self._model(kind)
            if model is not None:
                mine = marks[step.kind[marks] == kind]
                out[mine] = model.observe(step, mine, learn)[mine]
        return out

    def _model(self, kind: int) -> Ratings | None:
        if kind not in self.models and len(self.models) < self.settings.rated_limit:
            self.models[kind] = Ratings(self.settings)
        return self.models.get(kind)


def _between(counters: np.ndarray) -> F64:
    """A number in [-1, 1) for each counter. Source: splitmix64 (Steele, Lea, Flood 2014)."""
    z = counters * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0)
