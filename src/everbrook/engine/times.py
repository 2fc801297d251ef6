"""How often something took how long, in bounds that fit requests."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Times:
    """How often something took how long."""

    def __init__(self) -> None:
        self.counts, self.sum_s = [0] * (len(BOUNDS_S) + 1), 0.0

    def observe(self, took_s: float) -> None:
        """It took so long once more."""
        self.counts[bisect_left(BOUNDS_S, took_s)] += 1
        self.sum_s += took_s

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: how often it took at most so long."""
        names = [*(str(bound) for bound in BOUNDS_S), "+Inf"]
        return [(name, float(count)) for name, count in zip(names, accumulate(self.counts), strict=True)]
