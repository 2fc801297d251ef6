"""Freshness: how long it takes from a durable event to weights in the lists that have learned from it."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from typing import Any

import numpy as np

KEPT = 4096  # latencies that the percentiles are of
WAITING = 65_536  # ends that may wait to be served; beyond it, the oldest are not measured

BOUNDS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)
"""Of the histogram."""


class Freshness:
    """Times of the log's growth against times of publication."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, float]] = deque(maxlen=WAITING)
        self._taken_s: deque[float] = deque(maxlen=KEPT)
        self._served_s: deque[float] = deque(maxlen=KEPT)  # when each of these was
        self._count, self._sum_s = 0, 0.0
        self._within = [0] * len(BOUNDS_S)  # how many took at most so long

    def note(self, end: int, now_s: float) -> None:
        """Records below the offset `end` are durable since now."""
        with self._lock:
            if not self._waiting or end > self._waiting[-1][0]:
                self._waiting.append((end, now_s))

    def served(self, offset: int, now_s: float) -> None:
        """What is in the lists has learned up to an offset."""
        with self._lock:
            while self._waiting and self._waiting[0][0] <= offset:
                taken_s = now_s - self._waiting.popleft()[1]
                self._taken_s.append(taken_s)
                self._served_s.append(now_s)
                self._count, self._sum_s = self._count + 1, self._sum_s + taken_s
                for place in range(bisect_left(BOUNDS_S, taken_s), len(BOUNDS_S)):
                    self._within[place] += 1

    def lately(self, now_s: float, window_s: float = 60.0) -> dict[str, Any]:
        """Percentiles of those that were served lately, in milliseconds.

        Args:
            now_s: the present, on the clock of `served`.
            window_s: how far back.
        """
        with self._lock:
            taken = np.array(self._taken_s)[np.array(self._served_s) >= now_s - window_s]
        if not len(taken):
            return {"p50_ms": None, "p99_ms": None, "measured": 0}
        p50, p99 = np.percentile(taken, (50, 99))
        return {"p50_ms": round(1000 * float(p50), 1), "p99_ms": round(1000 * float(p99), 1), "measured": len(taken)}

    def told(self) -> dict[str, Any]:
        """Percentiles of the latest, in milliseconds, and what they are of."""
        with self._lock:
            taken = np.array(self._taken_s)
            count, waiting = self._count, len(self._waiting)
            histogram = {"buckets": [*zip(BOUNDS_S, self._within, strict=True)], "sum_s": self._sum_s}
        if not len(taken):
            return {"p50_ms": None, "p99_ms": None, "measured": count, "waiting": waiting} | histogram
        p50, p99 = np.percentile(taken, (50, 99))
        return {
            "p50_ms": round(1000 * float(p50), 1), "p99_ms": round(1000 * float(p99), 1), "measured": count,
            "waiting": waiting, **histogram,
        }  # fmt: skip
