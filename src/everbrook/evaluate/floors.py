"""The floor that stands beside every model: what was taken most within the last hour, counted exactly."""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import I32, I64, NO_ROW, Step

HOUR_MS = 3_600_000


class HourPopularity:
    """Counts of the events in a sliding window, followed along the stream."""

    def __init__(self, window_ms: int = HOUR_MS) -> None:
        self.window_ms = window_ms
        self._counts: I32 = np.zeros(1024, dtype=np.int32)
        self._items: I32 = np.zeros(0, dtype=np.int32)
        self._times: I64 = np.zeros(0, dtype=np.int64)
        self._head = 0  # events before it are counted
        self._tail = 0  # events before it have left the window

    def extend(self, step: Step) -> None:
        """Append events that are going to happen; positive ones count once `rank` asks about a later one."""
        taken = np.where(step.weight > 0.0, step.item, NO_ROW).astype(np.int32)
        self._items = np.concatenate((self._items[self._tail :], taken))
        self._times = np.concatenate((self._times[self._tail :], step.ts_ms))
        self._head -= self._tail
        self._tail = 0
        need = int(step.item.max(initial=0)) + 1
        if need > len(self._counts):
            grown = np.zeros(2 * need, dtype=np.int32)
            grown[: len(self._counts)] = self._counts
            self._counts = grown

    def rank(self, back: int, item: int, left_out: I32, known_ms: int | None = None) -> int:
        """Rank of an item just before an event, ties against it; 0 where it has no event in the window.

        Args:
            back: how many of the appended events come at or after the event.
            item: its row.
            left_out: sorted rows that do not compete.
            known_ms: events after it are not known yet, and the window ends there; None ends it at the event.
        """
        at = len(self._items) - back
        now_ms = int(self._times[at]) if known_ms is None else known_ms
        if known_ms is not None:
            at = min(at, int(np.searchsorted(self._times, known_ms, side="right")))
        self._head, self._tail = _slide(
            self._items, self._times, self._counts, self._head, self._tail, at, now_ms - self.window_ms
        )
        count = self._counts[item]
        if count == 0:
            return 0
        return int((self._counts >= count).sum() - (self._counts[left_out] >= count).sum())

    def finish(self) -> None:
        """Count what was appended, up to the end."""
        if len(self._times):
            self._head, self._tail = _slide(
                self._items, self._times, self._counts, self._head, self._tail, len(self._items),
                int(self._times[-1]) - self.window_ms,
            )  # fmt: skip


@njit(cache=True)
def _slide(items, times, counts, head, tail, at, since_ms):  # type: ignore[no-untyped-def]
    while head < at:
        if items[head] >= 0:
            counts[items[head]] += 1
        head += 1
    while tail < head and times[tail] < since_ms:
        if items[tail] >= 0:
            counts[items[tail]] -= 1
        tail += 1
    return head, tail
