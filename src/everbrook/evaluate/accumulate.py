"""Gathers what a replay judges, chunk by chunk, into a report.

Not the replay itself: whoever drives it feeds `Accumulator.add` and asks for `report` at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from everbrook.evaluate.report import (
    ALL,
    Conditions,
    Difference,
    OverTime,
    Reliability,
    Report,
    Row,
    Timing,
    Weights,
)
from everbrook.evaluate.shown import Shown
from everbrook.evaluate.tallies import LOG_FLOOR, Hours, Paired, Tally
from everbrook.metrics import prediction
from everbrook.metrics.probability import from_sums
from everbrook.types import F32, F64, I32, I64, Bool

KS = (10, 20)
TOP = max(KS)
BINS = 20
MOST_SPANS = 200
MOST_WEIGHTS = 1_000
_ACTUAL, _PREDICTED = "actual", ""


@dataclass(frozen=True, slots=True)
class System:
    """One column of what is judged."""

    name: str
    group: str  # 'mixture', 'pool', 'expert' or 'floor'


@dataclass(frozen=True, slots=True)
class Judged:
    """B judged events."""

    ts_ms: I64  # (B,)
    ranks: I32  # (B, S) 1-based rank of what came next in each system's list, 0 where it is not in it
    logps: F64  # (B, S) nats each system gave it; NaN where asleep
    slices: Mapping[str, Bool] = field(default_factory=dict)  # (B,) each
    top_probability: F64 | None = None  # (B,) of the first place of the mixture's list
    lists: Mapping[str, I32] = field(default_factory=dict)  # system -> (B, TOP) rows shown, -1 beyond the end


class Accumulator:
    """Everything that a report needs, in memory that does not grow with the events (but for rated values).

    Args:
        systems: the columns of `Judged.ranks`; the first is the mixture.
        weight_names: what `add_weights` will bring.
    """

    def __init__(self, systems: Sequence[System], weight_names: Sequence[str] = ()) -> None:
        self.systems = list(systems)
        self.weight_names = list(weight_names)
        S = len(self.systems)
        self._tallies: dict[str, Tally] = {ALL: Tally(S, TOP)}
        self._paired = Paired(S, TOP)
        self._hours = Hours(S, TOP)
        self._shown: dict[str, Shown] = {}
        self._bins = np.zeros((3, BINS))  # events, promised, happened
        self._ratings: dict[str, list[dict[str, F64]]] = {}  # kind -> parts; each: "actual", "", and floors by name
        self._clicks: list[dict[str, F64]] = []
        self._weights: list[tuple[int, list[float]]] = []
        self._stride, self._asked = 1, 0
        self._timings: dict[str, tuple[float, int]] = {}

    def add(
        self, judged: Judged, popularity: I64 | None = None, vectors: F32 | None = None, categories: F32 | None = None
    ) -> None:
        """Count B more judged events.

        Args:
            judged: the events.
            popularity: (N,) events of each item so far, for novelty.
            vectors: (N, D) of the items, for diversity.
            categories: (N, C) marks, for diversity of categories.
        """
        ranks = np.where(judged.ranks <= TOP, judged.ranks, 0).astype(np.int32)
        logps = np.maximum(judged.logps, LOG_FLOOR)  # keeps NaN
        self._tallies[ALL].add(ranks, logps)
        self._paired.add(ranks, logps)
        self._hours.add(judged.ts_ms, ranks)
        for name, mark in judged.slices.items():
            if mark.any():
                tally = self._tallies.setdefault(name, Tally(len(self.systems), TOP))
                tally.add(ranks[mark], logps[mark])
        if judged.top_probability is not None:
            self._promise(judged.top_probability, ranks[:, 0] == 1)
        for system, lists in judged.lists.items():
            self._shown.setdefault(system, Shown(KS)).add(lists, popularity, vectors, categories)

    def add_ratings(
        self, predicted: F64, actual: F64, floors: Mapping[str, F64] | None = None, kind: str = "rating"
    ) -> None:
        """Count B predicted values and what was given.

        Args:
            predicted: (B,) values.
            actual: (B,) values.
            floors: (B,) values predicted by simpler means, by name; the same names in each call.
            kind: of the events; values of several kinds are also told apart.
        """
        self._ratings.setdefault(kind, []).append(_part(predicted, actual, floors))

    def add_clicks(self, predicted: F64, happened: Bool, floors: Mapping[str, F64] | None = None) -> None:
        """Count B predicted probabilities of a click on something shown and whether it came.

        Args:
            predicted: (B,) probabilities.
            happened: (B,) whether it came.
            floors: (B,) probabilities by simpler means, by name; the same names in each call.
        """
        self._clicks.append(_part(predicted, happened, floors))

    def add_weights(self, ts_ms: int, weights: F64) -> None:
        """Note the mixture's weights; call as often as you like, some hundreds are kept."""
        if self._asked % self._stride == 0:
            self._weights.append((int(ts_ms), [round(float(weight), 6) for weight in weights]))
            if len(self._weights) > MOST_WEIGHTS:
                self._weights = self._weights[::2]
                self._stride *= 2
        self._asked += 1

    def add_timing(self, part: str, seconds: float, events: int) -> None:
        """Note what a part of the work cost; the same part adds up."""
        before = self._timings.get(part, (0.0, 0))
        self._timings[part] = (before[0] + seconds, before[1] + events)

    def report(self, conditions: Conditions, known_items: int = 0) -> Report:
        """All that was found.

        Args:
            conditions: how it came about; the number of judged events is filled in.
            known_items: how many could have been shown, for coverage.
        """
        return Report(
            conditions=msgspec.structs.replace(conditions, judged_events=self._tallies[ALL].events),
            rows=self._rows(known_items),
            differences=self._differences(),
            over_time=self._over_time(),
            weights=self._weights_over_time(),
            reliability=self._reliability(),
            timings=[Timing(part=part, seconds=s, events=n) for part, (s, n) in self._timings.items()],
            ratings=self._rating_errors(),
            clicks=self._click_errors(),
        )

    def _promise(self, probability: F64, happened: Bool) -> None:
        place = np.clip((probability * BINS).astype(np.int64), 0, BINS - 1)
        self._bins += [np.bincount(place, each, minlength=BINS) for each in (None, probability, happened)]

    def _rows(self, known_items: int) -> list[Row]:
        rows = []
        for name, tally in self._tallies.items():
            for s, system in enumerate(self.systems):
                metrics: dict[str, float | None] = {**tally.metrics(s, KS)}
                if name == ALL and system.name in self._shown:
                    metrics |= self._shown[system.name].metrics(known_items)
                rows.append(
                    Row(system=system.name, group=system.group, slice=name, events=tally.events, metrics=metrics)
                )
        return rows

    def _differences(self) -> list[Difference]:
        return [
            Difference(system=system.name, measure=measure, estimate=found.estimate, low=found.low, high=found.high)
            for s, system in enumerate(self.systems)
            if s > 0
            for measure, found in self._paired.intervals(s).items()
        ]

    def _over_time(self) -> OverTime:
        span, starts, sums = self._hours.buckets(MOST_SPANS)
        share = sums[:, 1:] / np.maximum(sums[:, :1], 1)
        series = {
            system.name: {
                name: [round(float(value), 6) for value in share[:, measure, s]]
                for measure, name in enumerate(("hit_rate", "mrr"))
            }
            for s, system in enumerate(self.systems)
        }
        return OverTime(span_hours=span, start_ms=starts, events=sums[:, 0, 0].astype(int).tolist(), series=series)

    def _weights_over_time(self) -> Weights | None:
        if not self._weights:
            return None
        return Weights(
            names=self.weight_names, ts_ms=[ts for ts, _ in self._weights], values=[row for _, row in self._weights]
        )

    def _reliability(self) -> Reliability | None:
        if not self._bins[0].any():
            return None
        table = from_sums(self._bins[0].astype(np.int64), self._bins[1], self._bins[2])
        return Reliability(
            error=table.error, edges=table.edges.tolist(), events=table.events.tolist(),
            promised=table.promised.tolist(), happened=table.happened.tolist(),
        )  # fmt: skip

    def _rating_errors(self) -> dict[str, float | None] | None:
        if not self._ratings:
            return None
        found = _value_errors([part for parts in self._ratings.values() for part in parts])
        if len(self._ratings) > 1:  # their units may differ
            for kind, parts in self._ratings.items():
                found |= {f"{kind}_{name}": value for name, value in _value_errors(parts).items()}
        return found

    def _click_errors(self) -> dict[str, float | None] | None:
        if not self._clicks:
            return None
        whole = _joined(self._clicks)
        happened, predicted = whole.pop(_ACTUAL) > 0.0, whole.pop(_PREDICTED)
        share = float(happened.mean())
        found: dict[str, float | None] = {
            "events": len(happened), "accuracy": prediction.accuracy(predicted, happened),
            "auc": prediction.auc(predicted, happened), "share_clicked": share,
            "accuracy_of_the_majority": max(share, 1.0 - share),
        }  # fmt: skip
        return found | {f"auc_of_{name}": prediction.auc(floor, happened) for name, floor in whole.items()}


def _part(predicted: F64, actual: F64 | Bool, floors: Mapping[str, F64] | None) -> dict[str, F64]:
    columns = {_ACTUAL: actual, _PREDICTED: predicted} | dict(floors or {})
    return {name: np.asarray(column, np.float64) for name, column in columns.items()}


def _joined(parts: Sequence[Mapping[str, F64]]) -> dict[str, F64]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _value_errors(parts: Sequence[Mapping[str, F64]]) -> dict[str, float | None]:
    whole = _joined(parts)
    actual, predicted = whole.pop(_ACTUAL), whole.pop(_PREDICTED)
    found: dict[str, float | None] = {
        "events": len(actual), "mse": prediction.mse(predicted, actual), "rmse": prediction.rmse(predicted, actual),
        "rmse_of_the_mean": prediction.rmse(np.full(len(actual), actual.mean()), actual),
    }  # fmt: skip
    return found | {f"rmse_of_{name}": prediction.rmse(floor, actual) for name, floor in whole.items()}
