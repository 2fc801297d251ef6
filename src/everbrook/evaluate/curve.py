"""Quality against staleness: the same stream replayed with one delay after another between an event and its effect.

Every point is a whole replay of its own, over the same scored events. Not the page that shows it (see `curve_page`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from everbrook.errors import InputError
from everbrook.evaluate.accumulate import TOP, Judged, System
from everbrook.evaluate.curve_data import Curve, Gain, Point
from everbrook.evaluate.options import ReplayOptions
from everbrook.evaluate.plots import duration
from everbrook.evaluate.replay import run_replay
from everbrook.evaluate.report import ALL, Conditions, Report, Row
from everbrook.evaluate.slices import NEW_ACTOR_EVENTS
from everbrook.evaluate.tallies import LOG_FLOOR
from everbrook.events.columns import EventColumns
from everbrook.events.records import ItemChange
from everbrook.metrics import ranking
from everbrook.metrics.confidence import normal_interval
from everbrook.settings import Settings
from everbrook.types import F32

SLICES = (
    ALL,
    "item younger than 1 h",
    "item younger than 1 day",
    f"actor with fewer than {NEW_ACTOR_EVENTS} events",
)
SYSTEMS = ("mixture", "live/served", "sequence/", "transitions/ever", "popularity of the last hour")
METRICS = ("hit_rate@20", "mrr@20", "log_loss", "awake")
OnPoint = Callable[[str], Callable[[int, int], None] | None]
"""Told the name of the point that begins; gives what shall be told how far it is."""


@dataclass(frozen=True, slots=True)
class CurveOptions:
    """Which points a curve has.

    Args:
        delays_ms: between an event and its effect; None is never: nothing is learned after the warm-up.
        control: whether the same is drawn for the stream with its order shuffled.
    """

    delays_ms: tuple[int | None, ...]
    control: bool = False


def run_curve(
    columns: EventColumns,
    items: Sequence[ItemChange],
    base: ReplayOptions,
    asked: CurveOptions,
    settings: Settings,
    conditions: Conditions | None = None,
    on_point: OnPoint | None = None,
) -> Curve:
    """Replay a log once for each delay.

    Args:
        columns: events in time order.
        items: what is known of the items from the beginning.
        base: of every replay; where it asks for refits, a point is added in which everything waits for them.
        asked: which points.
        settings: of the engine.
        conditions: words for the report.
        on_point: told of each replay that begins.

    Raises:
        InputError: the options contradict each other.
    """
    if base.freeze_ms is not None:
        raise InputError("A curve must have no moment of freezing of its own; got one. Its frozen point is 'never'.")
    if None in asked.delays_ms and base.from_ms is None:
        raise InputError("'never' freezes what was learned before the scored part; got no beginning of one.")
    drawing = _Drawing(columns, items, settings, conditions or Conditions(), on_point)
    plans = [(delay_ms, False) for delay_ms in asked.delays_ms]
    if base.refit_ms is not None:
        plans.append((base.refit_ms, True))
    points = drawing.points(base, plans, base.shuffle)
    curve = Curve(
        conditions=drawing.told, points=points, history_delay_s=base.history_delay_ms / 1000.0,
        micro_batch_s=_micro_batch_s(columns, base, settings),
    )  # fmt: skip
    if asked.control:
        control = drawing.points(replace(base, shuffle=True), plans, shuffled=True)
        curve = msgspec.structs.replace(curve, control=control)
    return curve


class _Drawing:
    """Points one after the other."""

    def __init__(
        self, columns: EventColumns, items: Sequence[ItemChange], settings: Settings, conditions: Conditions,
        on_point: OnPoint | None,
    ) -> None:  # fmt: skip
        self.columns, self.items, self.settings = columns, items, settings
        self.words = self.told = conditions
        self.on_point = on_point
        self.fits = "sequence" in settings.mixture.experts  # otherwise there is nothing to fit

    def points(self, base: ReplayOptions, plans: Sequence[tuple[int | None, bool]], shuffled: bool) -> list[Point]:
        """A point for each delay or refit; each is compared with the first."""
        points: list[Point] = []
        first: F32 | None = None
        for delay_ms, batch in plans:
            delay_s = None if delay_ms is None else delay_ms / 1000.0
            label = f"refit {duration(delay_s)}" if batch else duration(delay_s)
            outcomes, began = _Outcomes(), time.process_time()
            options = _options(base if self.fits or batch else replace(base, refit_ms=None), delay_ms, batch)
            report = self._replay(options, f"{label}, shuffled" if shuffled else label, outcomes)
            found = outcomes.all()
            first = found if first is None else first
            points.append(
                Point(
                    label=label, delay_s=delay_s, batch=batch, events=report.conditions.judged_events,
                    rows=_rows(report), lost=_lost(outcomes.names, first, found),
                    cpu_s=round(time.process_time() - began, 3),
                    notes=report.conditions.notes[-1:] if options.delayed else (),
                )
            )  # fmt: skip
            if self.told is self.words:
                self.told = msgspec.structs.replace(report.conditions, title=self.words.title, notes=())
        return points

    def _replay(self, options: ReplayOptions, label: str, outcomes: _Outcomes) -> Report:
        progress = None if self.on_point is None else self.on_point(label)
        words = msgspec.structs.replace(self.words, title=label)
        return run_replay(self.columns, self.items, options, self.settings, words, progress, outcomes.add)


class _Outcomes:
    """Hits, reciprocal ranks and log-probabilities of the scored events, to compare replays event by event."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._parts: list[F32] = []

    def add(self, systems: Sequence[System], judged: Judged) -> None:
        """Keep what the systems that are drawn made of B events."""
        kept = [place for place, system in enumerate(systems) if system.name.startswith(SYSTEMS)]
        self.names = [systems[place].name for place in kept]
        ranks = judged.ranks[:, kept]
        hits, reciprocal = ranking.hit_rate(ranks, TOP), ranking.mrr(ranks, TOP)
        logps = np.maximum(judged.logps[:, kept], LOG_FLOOR)
        self._parts.append(np.stack((hits, reciprocal, logps)).astype(np.float32))

    def all(self) -> F32:
        """(3, B, S) the outcomes, in order."""
        return np.concatenate(self._parts, axis=1) if self._parts else np.zeros((3, 0, 0), np.float32)


def _options(base: ReplayOptions, delay_ms: int | None, batch: bool) -> ReplayOptions:
    if batch:
        return replace(base, batch=True)
    if delay_ms is None:
        return replace(base, freeze_ms=base.from_ms)
    return replace(base, delay_ms=delay_ms)


def _rows(report: Report) -> list[Row]:
    return [
        msgspec.structs.replace(row, metrics={name: row.metrics.get(name) for name in METRICS})
        for row in report.rows
        if row.slice in SLICES and row.system.startswith(SYSTEMS)
    ]


def _lost(names: list[str], first: F32, found: F32) -> list[Gain]:
    """What each system loses against the first point on the same events."""
    if first.shape != found.shape or not found.size:
        return []
    lost = []
    for s, name in enumerate(names):
        for place, metric in enumerate(METRICS[:3]):
            difference = (first[place, :, s] - found[place, :, s]).astype(np.float64)
            told = normal_interval(difference[~np.isnan(difference)])
            if told.estimate == told.estimate:
                lost.append(Gain(system=name, metric=metric, estimate=told.estimate, low=told.low, high=told.high))
    return lost


def _micro_batch_s(columns: EventColumns, base: ReplayOptions, settings: Settings) -> float:
    """Mean time that events wait for their micro-batch of the live model to fill, in the scored part; 0 without one."""
    if settings.learner.mode == "off" or "live" not in settings.mixture.experts:
        return 0.0
    ts_ms = columns.ts_ms
    start = 0 if base.from_ms is None else int(np.searchsorted(ts_ms, base.from_ms))
    stop = len(ts_ms) if base.to_ms is None else int(np.searchsorted(ts_ms, base.to_ms))
    if stop - start < 2:
        return 0.0
    gap_s = float(ts_ms[stop - 1] - ts_ms[start]) / 1000.0 / (stop - start - 1)
    return gap_s * (settings.learner.micro_batch_events - 1) / 2.0
