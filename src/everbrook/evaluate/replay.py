"""Replay: a past log fed through the same core as live traffic, scored before it is learned (prequential).

For each event in order (or a seeded sample): make the list that would have been shown, look at what came next,
learn. Source: Gama, Sebastião, Rodrigues, 'On evaluating stream learning algorithms' (Machine Learning 90, 2013).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from everbrook.engine.building import new_core
from everbrook.engine.core import Core, Judging
from everbrook.engine.fitting import refit
from everbrook.engine.learning import LiveLearning
from everbrook.engine.publishing import share
from everbrook.errors import InputError
from everbrook.evaluate.accumulate import TOP, Accumulator, Judged, System
from everbrook.evaluate.backlog import Backlog
from everbrook.evaluate.due import Due
from everbrook.evaluate.floors import HourPopularity
from everbrook.evaluate.options import ReplayOptions, moment_text
from everbrook.evaluate.report import Conditions, Report
from everbrook.evaluate.slices import slices_of
from everbrook.evaluate.values import PredictedValues
from everbrook.events.columns import EventColumns
from everbrook.events.records import ItemChange
from everbrook.models.live_expert import LiveExpert
from everbrook.models.sequence import SequenceModel
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.rank.mixture import Judgement, Mixture, mark_first
from everbrook.settings import Settings
from everbrook.types import F32, I64, Step

FLOORS = ("popularity of the last hour",)
CHUNK = 4096
MOST_CATEGORIES = 64  # that the diversity of lists is measured by
OnProgress = Callable[[int, int], None]
"""Told events done and their total."""
Watch = Callable[[Sequence[System], Judged], None]
"""Told of the scored events, some at a time, in order; the systems are the columns."""


def run_replay(
    columns: EventColumns,
    items: Sequence[ItemChange],
    options: ReplayOptions,
    settings: Settings,
    conditions: Conditions | None = None,
    progress: OnProgress | None = None,
    watch: Watch | None = None,
) -> Report:
    """Replay a log and report what users would have got.

    Args:
        columns: events in time order.
        items: what is known of the items from the beginning.
        options: what is asked.
        settings: of the engine; its digest is stamped on the report.
        conditions: words for the report; times, sample and digest are filled in.
        progress: told how far it is.
        watch: told of every scored event.

    Raises:
        InputError: no event lies in the span asked for.
    """
    replay = _Replay(columns, items, options, settings)
    replay.watch = watch
    return replay.run(conditions or Conditions(), progress)


class _Replay:
    """One replay under way."""

    def __init__(
        self, columns: EventColumns, items: Sequence[ItemChange], options: ReplayOptions, settings: Settings
    ) -> None:
        self.columns = _shuffled(columns, options.seed) if options.shuffle else columns
        self.options, self.settings = options, settings
        self.core: Core = new_core(settings, trail=options.refit_ms is not None and not options.delayed)
        self.core.absorb_records(items)
        self.live = self.core.family(LiveExpert)
        self.learning = LiveLearning(settings) if self.live and settings.learner.mode != "off" else None
        self.mixture: Mixture = self.core.mixture
        systems = [System("mixture", "mixture")]
        systems += [System(name, _group(name)) for name in self.mixture.names]
        systems += [System(name, "floor") for name in FLOORS]
        self.gathered = Accumulator(systems, self.mixture.names)
        self.hour = HourPopularity()
        self.values = PredictedValues(settings.values, self.core.state.kinds.names)
        self.popularity = np.zeros(1024, dtype=np.int64)
        self.model: SequenceModel | None = None
        self.fitted_events = 0
        self.vectors: F32 = np.zeros((0, 0), dtype=np.float32)
        self._marks: F32 = np.zeros((0, 0), dtype=np.float32)
        self._marked = (-1, -1)  # version of the catalogue and number of items that the marks are of
        self.rows: list[tuple[Step, int, Judgement, int]] = []
        self.watch: Watch | None = None
        self.first_ms: I64 = np.zeros(1024, dtype=np.int64)  # (N,) of each item's first event; 0 where none came
        self.due = Due()
        self.backlog = Backlog(self.core, items, options, settings)

    def run(self, conditions: Conditions, progress: OnProgress | None) -> Report:
        ts_ms = self.columns.ts_ms
        start, stop = self._span()
        self._look_ahead(start, stop)
        for a, b in self._pieces(start, stop):
            if self.options.refit_ms is not None and a in self._refits:
                self._refit(a)
            began = time.perf_counter()
            self._piece(a, b, scored=a >= start)
            self.gathered.add_timing("warm-up" if a < start else "scored", time.perf_counter() - began, b - a)
            if progress is not None:
                progress(b, stop)
        span = (int(ts_ms[start]), int(ts_ms[stop - 1]))
        told = _conditions(conditions, self.options, self.settings, span, stop)
        told = msgspec.structs.replace(told, notes=(*told.notes, *self._notes()))
        self.backlog.drain()
        return self.gathered.report(told, self.core.state.n_items)

    def _look_ahead(self, start: int, stop: int) -> None:
        """Settle when each event is learned, and let those wait that are not learned at once."""
        ts_ms = self.columns.ts_ms[:stop]
        self.due = Due.of(self.options, int(ts_ms[start]))
        self.backlog.expect(ts_ms, self.due.moments(ts_ms))
        if self.learning is not None and self.live is not None:
            self.backlog.live = (self.learning, self.live)

    def _notes(self) -> list[str]:
        notes = [self._regret()]
        if self.options.delayed:
            lessons, others = self.backlog.shares(self.options.sample)
            notes.append(
                f"Learning lagged: a seeded share of {lessons:.3g} of the scored events and {others:.3g} of the others "
                "taught the mixture, from what was said when they happened; families and live model learned all."
            )
        return notes

    def _regret(self) -> str:
        mixture = self.mixture
        return (
            f"The insured mixture is {mixture.regret():+.2e} nats an event behind '{mixture.best()}', its best part "
            f"in hindsight, over {int(mixture.loss[1])} events, warm-up included; what fixed share can lose to it is "
            f"at most {mixture.regret_bound():.2e}."
        )

    def _span(self) -> tuple[int, int]:
        ts_ms, options = self.columns.ts_ms, self.options
        start = 0 if options.from_ms is None else int(np.searchsorted(ts_ms, options.from_ms))
        stop = len(ts_ms) if options.to_ms is None else int(np.searchsorted(ts_ms, options.to_ms))
        if start >= stop:
            raise InputError(
                f"The span must hold events; got none between {options.from_ms} and {options.to_ms} "
                f"among {len(ts_ms)} events."
            )
        self._refits = self._refit_places(start, stop)
        return start, stop

    def _refit_places(self, start: int, stop: int) -> set[int]:
        """Before which events the sequence model is fitted: two spans before the scored part, and each span after."""
        every = self.options.refit_ms
        if every is None:
            return set()
        ts_ms = self.columns.ts_ms
        first = int(ts_ms[start])
        earliest = int(ts_ms[0]) + every
        moments = np.arange(first - 2 * every, int(ts_ms[stop - 1]), every)
        moments = moments[moments >= min(earliest, first)]
        if self.options.freeze_ms is not None:
            moments = moments[moments <= self.options.freeze_ms]
        least = self.settings.engine.least_fit_events
        return {int(place) for place in np.searchsorted(ts_ms, moments) if place >= least}

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        chunk = CHUNK if self.learning is None else self.settings.learner.micro_batch_events
        edges = {*range(0, stop, chunk), start, stop, *self._refits}
        if self.options.freeze_ms is not None:
            edges.add(int(np.searchsorted(self.columns.ts_ms, self.options.freeze_ms)))
        cuts = sorted(edge for edge in edges if 0 <= edge <= stop)
        return itertools.pairwise(cuts)

    def _piece(self, a: int, b: int, scored: bool) -> None:
        options = self.options
        judging = Judging(
            share=options.sample if scored else options.warm_sample, seed=options.seed + (1 if scored else 0),
            exclude_seen=options.exclude_seen, first_of_session=options.first_of_session,
        )  # fmt: skip
        columns = self.columns.slice(a, b)
        folded = self.core.fold(columns)
        step = folded.happened
        self.hour.extend(step)
        listen = self._listen if scored else None
        self._count(step)
        frozen = options.freeze_ms is not None and len(step) > 0 and int(step.ts_ms[0]) >= options.freeze_ms
        if not options.delayed:
            self.values.take(step, columns.position, self.gathered if scored else None, learn=not frozen)
        if options.delayed or frozen:
            self.backlog.take(columns, step, folded.learned.weight, judging, listen)
            self.core.events += len(step)
        else:
            self.core.learn(folded.learned, judging, listen, happened=step)
            self._learn_live(folded.learned)
            self.hour.finish()
            self.backlog.skip(len(step))
        self._flush()
        if scored:
            self.gathered.add_weights(int(step.ts_ms[-1]), self.mixture.top)

    def _learn_live(self, step: Step) -> None:
        if self.learning is not None and self.live is not None:
            self.learning.take_step(step, self.core.events, self.core.state.n_items)
            share(self.learning, self.live)

    def _listen(self, step: Step, b: int, judgement: Judgement) -> None:
        left_out = np.unique(step.items[b, : step.n[b]]) if self.options.exclude_seen else np.empty(0, dtype=np.int32)
        lags = self.options.delayed or self.options.freeze_ms is not None
        known_ms = self.due.known_ms(int(step.ts_ms[b])) if lags else None
        rank = self.hour.rank(len(step) - b, int(step.item[b]), left_out, known_ms)
        self.rows.append((step, b, judgement, rank))

    def _flush(self) -> None:
        if not self.rows:
            return
        step = self.rows[0][0]
        at = np.array([b for _, b, _, _ in self.rows])
        judgements = [judgement for _, _, judgement, _ in self.rows]
        ranks = np.stack([judgement.ranks for judgement in judgements])
        hour = np.array([[rank] for _, _, _, rank in self.rows], dtype=np.int32)
        logps = np.stack([np.concatenate(([one.logp], one.logps, [np.nan])) for one in judgements])
        shown = np.stack([_top(judgement) for judgement in judgements])
        ages = step.ts_ms[at] - self.first_ms[step.item[at]]
        slices = slices_of(ages, step.n[at], step.scenario[at], list(self.core.state.scenarios.names()))
        promised = np.array([float(one.weighed.final[: one.weighed.shown].max(initial=0.0)) for one in judgements])
        judged = Judged(
            ts_ms=step.ts_ms[at], ranks=np.concatenate((ranks, hour), axis=1), logps=logps, slices=slices,
            top_probability=np.minimum(promised, 1.0), lists={"mixture": shown},
        )  # fmt: skip
        if self.watch is not None:
            self.watch(self.gathered.systems, judged)
        self.gathered.add(judged, self.popularity[: self.core.state.n_items], self._vectors(), self._categories())
        self.rows = []

    def _vectors(self) -> F32 | None:
        """(N, D) the sequence model's item vectors, zeros for items it does not know."""
        if self.model is None:
            return None
        if len(self.vectors) < self.core.state.n_items:
            known = self.model.targets().detach().numpy()
            self.vectors = np.zeros((2 * self.core.state.n_items, known.shape[1]), dtype=np.float32)
            self.vectors[: len(known)] = known
        return self.vectors[: self.core.state.n_items]

    def _categories(self) -> F32 | None:
        """(N, C) which of the first categories each item is in; None where no item is in any."""
        catalogue, n_items = self.core.state.catalogue, self.core.state.n_items
        names = list(catalogue.categories.names.names())[:MOST_CATEGORIES]
        if not names:
            return None
        if self._marked != (catalogue.version, n_items):
            marks = [catalogue.in_categories([name], n_items) for name in names]
            self._marks = np.stack(marks, axis=1).astype(np.float32)
            self._marked = (catalogue.version, n_items)
        return self._marks

    def _count(self, step: Step) -> None:
        need = self.core.state.n_items
        if need > len(self.popularity):
            self.popularity = np.concatenate((self.popularity, np.zeros(need, dtype=np.int64)))
            self.first_ms = np.concatenate((self.first_ms, np.zeros(need, dtype=np.int64)))
        np.add.at(self.popularity, step.item, 1)
        mark_first(self.first_ms, step)

    def _refit(self, at: int) -> None:
        """Fit the sequence model to what was learned before event number `at`."""
        began = time.perf_counter()
        expert = self.core.family(SequenceExpert)
        trail, items = self.core.trail, self.core.state.n_items
        if self.options.delayed:
            self.backlog.learn_until(int(self.columns.ts_ms[at]), at)
            trail, items = self.backlog.trail, self.backlog.n_items
            if expert is None or trail is None or trail.events < self.settings.engine.least_fit_events:
                return
        assert trail is not None  # refits are only asked for with a trail
        self.model = refit(trail, items, self.settings, self.fitted_events, self.model)
        if expert is not None:
            expert.publish(self.model)
        self.gathered.add_timing("refit", time.perf_counter() - began, trail.events - self.fitted_events)
        self.fitted_events = trail.events
        self.vectors = np.zeros((0, 0), dtype=np.float32)


def _conditions(
    conditions: Conditions, options: ReplayOptions, settings: Settings, span_ms: tuple[int, int], learned: int
) -> Conditions:
    """The conditions with what the replay knows filled in."""
    return msgspec.structs.replace(
        conditions, settings_digest=settings.digest(), start=moment_text(span_ms[0]), end=moment_text(span_ms[1]),
        sample=options.sample, seed=options.seed, shuffled=options.shuffle, learned_events=learned,
    )  # fmt: skip


def _group(name: str) -> str:
    if name == "transitions/ever":
        return "floor"
    return "pool" if name.startswith("pool/") or name == "stack" else "expert"


def _top(judgement: Judgement) -> np.ndarray:
    w = judgement.weighed
    best = np.argsort(-w.final[: w.shown], kind="stable")[:TOP]
    shown = np.full(TOP, -1, dtype=np.int32)
    shown[: len(best)] = w.rows[best]
    return shown


def _shuffled(columns: EventColumns, seed: int) -> EventColumns:
    order = np.random.default_rng(seed).permutation(len(columns))
    mixed = columns.take(order)
    return replace(mixed, ts_ms=columns.ts_ms)
