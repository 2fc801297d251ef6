"""Events that were judged and are not learned yet: a replay in which learning lags behind what happens.

Each event is judged at its own time, with its actor's history as it is then, by what was learned so far. What the
judgement teaches about mixing is kept with it, so that the weights are learned under the condition that they are tested
in. Once the event is due, a second fold over the same events gives what the families and the live model learn from:
nothing of a waiting event is held but its weight and the judgement's lesson.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from everbrook.engine.core import Core, Judging, OnJudged, Prepares
from everbrook.engine.learning import LiveLearning
from everbrook.engine.publishing import share
from everbrook.engine.trail import Trail
from everbrook.evaluate.due import NEVER_MS
from everbrook.evaluate.options import ReplayOptions
from everbrook.events.columns import EventColumns
from everbrook.events.records import ItemChange
from everbrook.models.live_expert import LiveExpert
from everbrook.models.popularity import Popularity
from everbrook.models.repeats import Repeats
from everbrook.models.transitions import Transitions
from everbrook.rank import contexts
from everbrook.rank.mixture import Lesson, Said
from everbrook.settings import Settings
from everbrook.state import State
from everbrook.types import F32, F64, I64, Bool, Query, Step

MOST_LESSONS = 4_096  # lessons of lists that wait; each holds the candidates' features, some 50 kB
MOST_NOTES = 131_072  # notes of what families said that wait; half a kilobyte each
TELLING = (Popularity, Transitions, Repeats)  # families that say something of an event whose list was not made


@dataclass(frozen=True, slots=True)
class _Portion:
    """Events that are learned by the live model together."""

    start: int
    stop: int
    columns: EventColumns
    weight: F32


@dataclass(frozen=True, slots=True)
class _Note:
    """What the families said of one event when it happened."""

    at: int
    mass: F32  # (E,)
    rest: F32  # (E,)
    uniform: float
    buckets: I64  # (J,)


class Backlog:
    """What happened and was not learned yet, and what it takes to learn it."""

    def __init__(self, core: Core, items: Sequence[ItemChange], options: ReplayOptions, settings: Settings) -> None:
        """Nothing has happened yet.

        Args:
            core: folds every event at its own time, which is the caller's; its experts learn here.
            items: what is known of the items from the beginning.
            options: of the replay.
            settings: of the engine.
        """
        self.core, self.options = core, options
        self.trail = Trail() if options.refit_ms is not None else None
        self.seen, self.learned = 0, 0  # events
        self.live: tuple[LiveLearning, LiveExpert] | None = None
        self._due_ms: I64 = np.zeros(0, np.int64)
        self._state = State(settings.state)
        self._state.put_items(list(items))
        self._portions: deque[_Portion] = deque()
        self._step: Step | None = None  # the first of them, folded
        self._lessons: deque[tuple[int, Lesson]] = deque()
        self._notes: deque[_Note] = deque()
        self._slices = _slices(core)
        self._most_waiting = 0

    # -- what happens --------------------------------------------------------------------------------------------

    def expect(self, ts_ms: I64, due_ms: I64) -> None:
        """Say when all events will happen and when each is learned, so that it is known how many wait together.

        Args:
            ts_ms: (events,) ascending.
            due_ms: (events,) ascending; `NEVER_MS` for never.
        """
        self._due_ms = due_ms
        learned_ms = due_ms[due_ms < NEVER_MS]
        waiting = np.arange(len(learned_ms)) + 1 - np.searchsorted(learned_ms, ts_ms[: len(learned_ms)], side="right")
        self._most_waiting = int(waiting.max(initial=0))

    def shares(self, judged: float) -> tuple[float, float]:
        """Of the judged events, and of the others, those that teach the weights: as many as may wait.

        Args:
            judged: share of the events that are judged.
        """
        waiting = max(self._most_waiting, 1)
        lessons = min(1.0, MOST_LESSONS / (waiting * judged))
        return lessons, min(self.options.taught, MOST_NOTES / waiting)

    def take(
        self, columns: EventColumns, happened: Step, weight: F32, judging: Judging, on_judged: OnJudged | None
    ) -> None:
        """Let events happen: learn what is due before each that is judged, judge it, and let it wait.

        Args:
            columns: the events: all of them are learned some time, or none.
            happened: the same, folded by the core.
            weight: (B,) as they will be learned.
            judging: which are judged.
            on_judged: told of each judgement.
        """
        start = self.seen
        chosen = judging.chosen(happened, start)
        lessons, notes = self.shares(judging.share)
        teaching = _some(happened, start, lessons, judging.seed + 101) & chosen & (weight > 0.0)
        noted = _some(happened, start, notes, judging.seed + 202) & ~chosen & (weight > 0.0)
        asked = lagged(happened, self.options.history_delay_ms)
        for family in self.core.mixture.experts:
            if isinstance(family, Prepares):
                family.prepare(asked, chosen)
        if len(happened) and self._due_ms[start] < NEVER_MS:
            self._portions.append(_Portion(start, start + len(happened), columns, weight))
        else:  # it is never learned
            teaching[:], noted[:] = False, False
            chosen &= on_judged is not None
        for b in np.flatnonzero(chosen | noted).tolist():
            self.learn_until(int(happened.ts_ms[b]), start + b)
            if b > 0:
                self.core.mixture.know(int(happened.item[:b].max()) + 1)  # that an item exists is known at once
            if chosen[b]:
                lesson = self._judge(asked, happened, b, on_judged)
                if lesson is not None and teaching[b]:
                    self._lessons.append((start + b, lesson))
            else:
                self._notes.append(self._noted(asked.query(b), int(happened.item[b]), start + b))
        self.seen += len(happened)
        self.core.mixture.know(int(happened.item.max(initial=-1)) + 1)

    def _judge(self, asked: Step, happened: Step, b: int, on_judged: OnJudged | None) -> Lesson | None:
        had = happened.items[b, : happened.n[b]]
        left_out = np.unique(had) if self.options.exclude_seen else np.empty(0, dtype=np.int32)
        judgement = self.core.mixture.judge(asked.query(b), int(happened.item[b]), left_out, learn=False)
        if judgement is None:
            return None
        if on_judged is not None:
            on_judged(happened, b, judgement)
        return judgement.lesson

    def _noted(self, query: Query, item: int, at: int) -> _Note:
        mixture = self.core.mixture
        mass, rest = np.zeros(len(mixture.columns), np.float32), np.full(len(mixture.columns), np.nan, np.float32)
        row = np.array([item], np.int32)
        for family, part in zip(mixture.experts, self._slices, strict=True):
            if isinstance(family, TELLING):
                here, left = np.empty((1, len(family.names)), np.float32), np.empty(len(family.names), np.float32)
                family.score(query, row, here, left)
                mass[part], rest[part] = here[0], left
        return _Note(at, mass, rest, 1.0 / max(mixture.n_items, 1), contexts.of_query(query))

    # -- what is learned -----------------------------------------------------------------------------------------

    def skip(self, events: int) -> None:
        """Say that the next events were learned elsewhere at once."""
        self.seen += events
        self.learned += events

    def learn_until(self, now_ms: int, before: int) -> None:
        """Learn what is due.

        Args:
            now_ms: the moment.
            before: number of the first event that has not happened yet.
        """
        stop = min(int(np.searchsorted(self._due_ms, now_ms, side="right")), before)
        while self.learned < stop:
            portion = self._portions[0]
            self._learn(portion, min(stop, portion.stop))

    def drain(self) -> None:
        """Learn what still waits, but for what is never learned."""
        self.learn_until(int(NEVER_MS - 1), self.seen)

    @property
    def n_items(self) -> int:
        """How many items there are among what was learned."""
        return self._state.n_items

    @property
    def waiting(self) -> int:
        """Events that happened and were not learned."""
        return self.seen - self.learned

    def _learn(self, portion: _Portion, stop: int) -> None:
        if self._step is None:
            self._step = replace(self._state.fold(portion.columns), weight=portion.weight)
        step, mixture = self._step, self.core.mixture
        at = start = self.learned
        while at < stop:
            if self._lessons and self._lessons[0][0] == at:
                mixture.learn(self._lessons.popleft()[1])
            end = min(self._lessons[0][0], stop) if self._lessons else stop
            part = step.slice(at - portion.start, end - portion.start)
            mixture.observe(part, said=self._said(at, end))
            at = end
        if self.trail is not None:
            self.trail.add(step.slice(start - portion.start, stop - portion.start))
        self.learned = stop
        if stop == portion.stop:
            self._portions.popleft()
            self._step = None
            self._learn_live(step)

    def _said(self, start: int, stop: int) -> Said:
        """What was noted of the events start..stop-1."""
        B, E = stop - start, len(self.core.mixture.columns)
        mass, rest = np.zeros((B, E), np.float32), np.full((B, E), np.nan, np.float32)
        uniform: F64 = np.ones(B)
        buckets, noted = np.zeros((B, len(contexts.POOLS)), np.int64), np.zeros(B, np.bool_)
        while self._notes and self._notes[0].at < stop:
            note = self._notes.popleft()
            b = note.at - start
            mass[b], rest[b], uniform[b], buckets[b], noted[b] = note.mass, note.rest, note.uniform, note.buckets, True
        return Said(mass, rest, uniform, buckets, noted)

    def _learn_live(self, step: Step) -> None:
        if self.live is not None:
            learning, expert = self.live
            learning.take_step(step, self.learned, self._state.n_items)
            share(learning, expert)
            expert.grow(self.core.state.n_items, 0)  # rows of items that are known and not learned


def lagged(step: Step, delay_ms: int) -> Step:
    """The step with histories that end so long before each event; a session that began later looks new."""
    if delay_ms <= 0:
        return step
    places = np.arange(step.items.shape[1])[None, :]
    known = (places < step.n[:, None]) & (step.times <= step.ts_ms[:, None] - delay_ms)
    n = known.sum(axis=1).astype(np.int32)
    return replace(step, n=n, session_n=np.maximum(step.session_n - (step.n - n), 0).astype(np.int32))


def _some(step: Step, start: int, share: float, seed: int) -> Bool:
    return Judging(share=share, seed=seed).chosen(step, start)


def _slices(core: Core) -> list[slice]:
    """The columns of each family."""
    edges = np.cumsum([0, *(len(family.names) for family in core.mixture.experts)])
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]
