"""The influence guard: bounds on what one actor, and all actors together, may teach. It finds nobody out.

Every positive event either counts in full or not at all, and whatever learns (counting experts, mixture, batch and live
model) is shown the same: an event that does not count has weight 0, 'only seen'. Histories keep it. With the settings'
names, and one unit for an event of mean weight, over any span of the log after the first window:

* an actor's events that count: at most actor_events within window_s, and actor_item_events of them on one item (among
  the last events of the history);
* an item's: at most item_events + 1 + the sum over the windows of limit * counted, whatever the number of actors, where
  counted is what counted of all items, and limit the most of item_share, 1 / (items that ever came), and item_growth *
  (the item's share in the window before). Under a flood that always wants more, its share of a window therefore grows
  at most by item_growth from window to window, once item_events are used up;
* an item's newcomers (fewer than known_items other items in the history): at most newcomer_events + 1
  + max(item_share, 1 / items) * counted + newcomer_ratio * r * the item's known actors, where r is how many newcomers
  came on a known actor over all items in the window before. A flood of fresh actors is thus bounded by what known
  people do with the item, for as long as it lasts: growth begins where they bear it out.

'+ 1' is one event of the heaviest kind. Memory: 16 bytes an actor row, 48 an item row, and as much again to grow into.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from everbrook.settings.guard import GuardSettings
from everbrook.state import influence_kernels as kernels
from everbrook.types import F64, I64, Arrays, Bool, Step

KNOBS = (
    "window_s", "actor_events", "actor_item_events", "item_window_s", "least_events", "item_growth", "item_share",
    "item_events", "known_items", "newcomer_ratio", "newcomer_events",
)  # fmt: skip


class Influence:
    """What each actor and item has used of its bounds; follows the log event by event, however it is cut."""

    def __init__(self, settings: GuardSettings | None = None) -> None:
        self.settings = s = settings or GuardSettings()
        self._knobs: F64 = np.array([float(getattr(s, name)) for name in KNOBS])
        self._knobs[kernels.ITEM_WINDOW_MS] *= 1000.0
        self._meter: F64 = np.zeros(kernels.STARTED + 1)
        self._actors: F64 = np.zeros((0, kernels.TOUCHED_MS + 1))
        self._items: F64 = np.zeros((0, kernels.SEEN + 1))
        self._n = (0, 0)  # rows of actors and items that came
        self.held_back = 0  # positive events that did not count, since it was made

    def weigh(self, step: Step) -> Step:
        """The step with the weight 0 where a positive event does not count; the step itself is left as it is.

        Args:
            step: events with what was known of their actors.
        """
        if not self.settings.enabled or not len(step):
            return step
        counts = self.counts(step)
        held_back = len(counts) - int(np.count_nonzero(counts))
        if not held_back:
            return step
        self.held_back += held_back
        return replace(step, weight=np.where(counts, step.weight, np.float32(0.0)))

    def counts(self, step: Step) -> Bool:
        """(B,) whether each event counts; those without a positive weight are not bounded."""
        counts, done = np.empty(len(step), np.bool_), 0
        while True:
            done, *n = kernels.weigh(
                done, step.ts_ms, step.actor, step.item, step.weight, step.n, step.items, step.times, self._knobs,
                self._meter, self._actors, self._items, *self._n, counts,
            )  # fmt: skip
            self._n = n[0], n[1]
            if done == len(step):
                return counts
            self._actors = _grown(self._actors, int(step.actor.max()) + 1)
            self._items = _grown(self._items, int(step.item.max()) + 1)

    def forget_actors(self, rows: I64) -> int:
        """Drop actors' debts; how many of the rows had any."""
        known = rows[rows < len(self._actors)]
        owing = known[self._actors[known].any(axis=1)]
        self._actors[owing] = 0.0
        return len(owing)

    def state(self) -> Arrays:
        """All debts and sums, of the rows that came."""
        n_actors, n_items = self._n
        return {
            "meter": self._meter.copy(), "actors": self._actors[:n_actors].copy(), "items": self._items[:n_items].copy()
        }

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        self._meter, self._actors, self._items = (np.array(arrays[name]) for name in ("meter", "actors", "items"))
        self._n = (len(self._actors), len(self._items))


def _grown(array: F64, rows: int) -> F64:
    """The array with room for at least so many rows, zeros in the new ones; by doubling."""
    if rows <= len(array):
        return array
    bigger: F64 = np.zeros((max(rows, 2 * len(array)), array.shape[1]))
    bigger[: len(array)] = array
    return bigger
