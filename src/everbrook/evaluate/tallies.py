"""Running sums over judged events, small enough to keep for every slice and hour.

A histogram of ranks holds every metric at every k up to its length; see `everbrook.metrics.ranking` for the formulas.
"""

from __future__ import annotations

import numpy as np

from everbrook.metrics import ranking
from everbrook.metrics.confidence import Interval, interval_of_sums
from everbrook.metrics.probability import FLOOR
from everbrook.types import F64, I32, I64, Bool

LOG_FLOOR = float(np.log(FLOOR))


class Tally:
    """Ranks and log-probabilities of S systems, summed over events.

    Args:
        systems: how many.
        top: the largest k.
    """

    def __init__(self, systems: int, top: int) -> None:
        self.events = 0
        self.ranks: I64 = np.zeros((systems, top + 1), np.int64)  # [s, r]: events with rank r; 0: beyond the top
        self.logp: F64 = np.zeros(systems)
        self.awake: I64 = np.zeros(systems, np.int64)

    def add(self, ranks: I32, logps: F64) -> None:
        """Count B more events.

        Args:
            ranks: (B, S) already 0 beyond the top.
            logps: (B, S) nats; NaN where asleep.
        """
        S, width = self.ranks.shape
        self.events += len(ranks)
        places = ranks + np.arange(S) * width
        self.ranks += np.bincount(places.ravel(), minlength=S * width).reshape(S, width)
        self.logp += np.nansum(logps, axis=0)
        self.awake += (~np.isnan(logps)).sum(axis=0)

    def metrics(self, system: int, ks: tuple[int, ...]) -> dict[str, float]:
        """Every rank metric at every k, log-loss in nats over the events the system was awake for, and their share."""
        every_rank = np.arange(self.ranks.shape[1], dtype=np.int32)
        share = self.ranks[system] / max(1, self.events)
        values = {
            f"{name}@{k}": float(metric(every_rank, k) @ share)
            for k in ks
            for name, metric in ranking.RANK_METRICS.items()
        }
        awake = int(self.awake[system])
        values["log_loss"] = float(-self.logp[system] / awake) if awake else float("nan")
        values["awake"] = awake / max(1, self.events)
        return values


class Paired:
    """Differences of system 0 to every other on the same events: hits, reciprocal ranks, log-probabilities.

    Args:
        systems: how many, system 0 among them.
        top: the k at which hits and reciprocal ranks are taken.
    """

    MEASURES = ("hit_rate", "mrr", "log_likelihood")

    def __init__(self, systems: int, top: int) -> None:
        self._top = top
        self._sums = np.zeros((3, 3, systems))  # measure; count, sum, squares; system

    def add(self, ranks: I32, logps: F64) -> None:
        """Count B more events, (B, S) each."""
        hits = ranking.hit_rate(ranks, self._top)
        reciprocal = ranking.mrr(ranks, self._top)
        for measure, values in enumerate((hits, reciprocal, logps)):
            difference = values[:, :1] - values
            here = ~np.isnan(difference)
            clean = np.where(here, difference, 0.0)
            self._sums[measure] += (here.sum(axis=0), clean.sum(axis=0), (clean * clean).sum(axis=0))

    def intervals(self, system: int) -> dict[str, Interval]:
        """How much better system 0 is than another, with 95 % bounds, by measure."""
        return {
            name: interval_of_sums(int(sums[0, system]), float(sums[1, system]), float(sums[2, system]))
            for name, sums in zip(self.MEASURES, self._sums, strict=True)
        }


class Hours:
    """Sums for each hour in which anything was judged."""

    def __init__(self, systems: int, top: int) -> None:
        self._systems, self._top = systems, top
        self._sums: dict[int, F64] = {}  # hour -> (events; hits, reciprocal ranks) x systems

    def add(self, ts_ms: I64, ranks: I32) -> None:
        """Count B more events; ranks are (B, S)."""
        hours = ts_ms // 3_600_000
        hits, reciprocal = ranking.hit_rate(ranks, self._top), ranking.mrr(ranks, self._top)
        for hour in np.unique(hours).tolist():
            here: Bool = hours == hour
            sums = self._sums.setdefault(hour, np.zeros((3, self._systems)))
            sums += (np.full(self._systems, here.sum()), hits[here].sum(axis=0), reciprocal[here].sum(axis=0))

    def buckets(self, most: int, fewest: int = 8, crowd: int = 100) -> tuple[int, list[int], F64]:
        """Hours gathered into spans of equal length.

        Args:
            most: there are no more spans than this, whatever else.
            fewest: there are this many at least, where there are as many hours.
            crowd: mean events a span that are worth longer spans, so that chance does not drown what is seen.

        Returns:
            The span in hours, the start of each in milliseconds, and (spans, 3, S) sums.
        """
        hours = np.array(sorted(self._sums), np.int64)
        if not len(hours):
            return 1, [], np.zeros((0, 3, self._systems))
        events = sum(float(sums[0, 0]) for sums in self._sums.values())
        span = 1
        for wider in (3, 6, 24, 7 * 24, 30 * 24, 365 * 24):
            now, then = (len(np.unique(hours // each)) for each in (span, wider))
            if now > most or (events < crowd * now and then >= fewest):
                span = wider
        starts, place = np.unique(hours // span, return_inverse=True)
        sums = np.zeros((len(starts), 3, self._systems))
        np.add.at(sums, place, np.stack([self._sums[hour] for hour in hours.tolist()]))
        return span, (starts * span * 3_600_000).tolist(), sums
