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

'+ 1' is one event of the heaviest kind. Memory: 8 bytes an actor row, 28 an item row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbrook.settings.guard import GuardSettings
from everbrook.state import influence_kernels as kernels
from everbrook.types import F32, F64, I32, Arrays, Bool, Step

KNOBS = (
    "window_s", "actor_events", "actor_item_events", "item_window_s", "least_events", "item_growth", "item_share",
    "item_events", "known_items", "newcomer_ratio", "newcomer_events",
)  # fmt: skip
ARRAYS = ("meter", "actor_debt", "actor_s", "item_sums", "item_total", "item_window")


class Influence:
    """What each actor and item has used of its bounds; follows the log event by event, however it is cut."""

    def __init__(self, settings: GuardSettings | None = None) -> None:
        self.settings = s = settings or GuardSettings()
        self._knobs: F64 = np.array([float(getattr(s, name)) for name in KNOBS])
        self._knobs[kernels.ITEM_WINDOW_MS] *= 1000.0
        self._meter: F64 = np.zeros(kernels.STARTED + 1)
        self._rows = {"actor": 0, "item": 0}
        self._actor_debt: F32 = np.zeros(0, np.float32)
        self._actor_s: I32 = np.zeros(0, np.int32)
        self._item_sums: F32 = np.zeros((0, 4), np.float32)
        self._item_total: F64 = np.zeros(0)
        self._item_window: I32 = np.zeros(0, np.int32)
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
        self._grow(int(step.actor.max(initial=-1)) + 1, int(step.item.max(initial=-1)) + 1)
        counts = np.empty(len(step), np.bool_)
        kernels.weigh(
            step.ts_ms, step.actor, step.item, step.weight, step.n, step.items, step.times, self._knobs, self._meter,
            self._actor_debt, self._actor_s, self._item_sums, self._item_total, self._item_window, counts,
        )  # fmt: skip
        return counts

    def _grow(self, actors: int, items: int) -> None:
        self._rows["actor"], self._rows["item"] = max(actors, self._rows["actor"]), max(items, self._rows["item"])
        self._actor_debt, self._actor_s = _grown(self._actor_debt, actors), _grown(self._actor_s, actors)
        self._item_sums, self._item_total = _grown(self._item_sums, items), _grown(self._item_total, items)
        self._item_window = _grown(self._item_window, items)

    def state(self) -> Arrays:
        """All debts and sums, of the rows that came."""
        return {name: getattr(self, f"_{name}")[: self._rows.get(name.split("_")[0])].copy() for name in ARRAYS}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        for name in ARRAYS:
            setattr(self, f"_{name}", np.array(arrays[name]))
        self._rows = {"actor": len(self._actor_s), "item": len(self._item_window)}


def _grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """The array with room for at least so many rows, zeros in the new ones; by doubling."""
    if rows <= len(array):
        return array
    bigger = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), array.dtype)
    bigger[: len(array)] = array
    return bigger
