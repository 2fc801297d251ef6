"""A core and a learner beside it along a stream: what lists held, what the gate did, with or without a fault.

The same events are judged whatever fault comes, so that two courses from one beginning can be compared event by event.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from everbrook.engine import Core, Judging
from everbrook.engine.building import new_core
from everbrook.engine.learning import LiveLearning
from everbrook.engine.publishing import share
from everbrook.events.columns import EventColumns
from everbrook.models.live_expert import LiveExpert
from everbrook.rank.mixture import Judgement
from everbrook.settings import Settings
from everbrook.testing.faults import Past, arriving, broken
from everbrook.types import F64, I64, Arrays, Bool, Step

TOP = 20
SERVED = "live/served"
PLACE, TS_MS, HIT, RECIPROCAL, MIXTURE, LIVE = range(6)
"""Columns of `Course.judged`: the event's position and time, its rank in the list, log-probabilities."""


@dataclass(frozen=True, slots=True)
class _Marked(Judging):
    marks: Bool | None = None

    def chosen(self, step: Step, offset: int) -> Bool:
        assert self.marks is not None
        return self.marks & (step.n > 0)


class Course:
    """What happens along a stream."""

    def __init__(self, settings: Settings, columns: EventColumns, share: float, seed: int = 7) -> None:
        """At the stream's beginning.

        Args:
            settings: of the engine, with the expert `live` and learning on.
            columns: the stream.
            share: of its events whose lists are made.
            seed: of the choice.
        """
        self.settings, self.columns = settings, columns
        self.marks: Bool = np.random.default_rng(seed).random(len(columns)) < share
        self.core: Core = new_core(settings)
        self.learning = LiveLearning(settings)
        self.past = Past(self.learning)
        expert = self.core.family(LiveExpert)
        assert expert is not None
        self.expert = expert
        self.names = list(self.core.mixture.names)
        self.at, self._batch = 0, 0
        self.rows: list[tuple[float, ...]] = []
        self.moves: list[dict[str, Any]] = []
        self.skipped: list[int] = []
        self.not_finite = 0  # numbers in what was published
        self.exclude_seen = True  # whether lists leave out what their users had, who are then judged by the rest
        self.watched = ""  # id of an item to be looked for in lists
        self.listed: list[tuple[float, bool]] = []  # times of lists for who had not had it, and whether it was in them

    def again(self) -> Course:
        """Another one that stands where this one stands."""
        other = Course.__new__(Course)
        other.__init__(self.settings, self.columns, 0.0)  # type: ignore[misc]
        other.marks, other.at, other._batch = self.marks, self.at, self._batch
        other.exclude_seen, other.watched = self.exclude_seen, self.watched
        other.core.load({part: _copied(arrays) for part, arrays in self.core.parts().items()})
        other.learning.load({part: _copied(arrays) for part, arrays in self.learning.parts().items()})
        other.past.hear(self.past)
        other.core.events = self.core.events
        share(other.learning, other.expert)
        return other

    def go(self, stop: int, fault: str = "none") -> Course:
        """Along the stream to a position.

        Args:
            stop: where to.
            fault: one of `everbrook.testing.faults.FAULTS` that lasts as long as this call; 'none'.
        """
        few = self.settings.learner.micro_batch_events
        late: list[EventColumns] = []
        with ExitStack() as stack:
            if fault != "none":
                stack.enter_context(broken(self.learning, fault, self.past))
            while self.at < stop:
                end = min(self.at + few, stop)
                for piece, places in arriving(self.columns.slice(self.at, end), fault, self._batch, late):
                    self._take(piece, places + np.where(places >= 0, self.at, 0))
                self.at, self._batch = end, self._batch + 1
        return self

    def _take(self, piece: EventColumns, places: np.ndarray) -> None:
        folded = self.core.fold(piece)
        genuine = places >= 0
        marks = np.zeros(len(piece), np.bool_)
        marks[genuine] = self.marks[places[genuine]]

        def listen(step: Step, b: int, judgement: Judgement) -> None:
            self._note(int(places[b]), judgement)
            if self.watched:
                self._look(step, b, judgement)

        self.core.learn(folded.learned, _Marked(exclude_seen=self.exclude_seen, marks=marks), listen, folded.happened)
        tested = self.learning.take_step(folded.learned, self.core.events, self.core.state.n_items)
        if tested.skipped and tested.skipped != "Learning rests.":
            self.skipped.append(self.at)
        self.moves += [move | {"place": self.at + len(piece)} for move in self.learning.moves()]
        share(self.learning, self.expert)
        delta = self.learning.delta()
        if delta is not None:
            arrays = [delta.values, *delta.dense.values()]
            self.not_finite += sum(int((~np.isfinite(array)).sum()) for array in arrays if array.dtype.kind == "f")

    def _note(self, place: int, judgement: Judgement) -> None:
        hit = 0 < judgement.rank <= TOP
        live = judgement.logps[self.names.index(SERVED)]
        reciprocal = 1.0 / judgement.rank if hit else 0.0
        self.rows.append((place, float(self.columns.ts_ms[place]), hit, reciprocal, judgement.logp, live))

    def _look(self, step: Step, b: int, judgement: Judgement) -> None:
        row, w = self.core.state.items.row(self.watched), judgement.weighed
        if not (step.items[b, : step.n[b]] == row).any():
            best = w.rows[: w.shown][np.argsort(-w.final[: w.shown], kind="stable")[:TOP]]
            self.listed.append((float(step.ts_ms[b]), bool((best == row).any())))

    @property
    def judged(self) -> F64:
        """(J, 6) what was judged so far, in order."""
        return np.array(self.rows, np.float64).reshape(-1, 6)

    def between(self, start: int, stop: int) -> dict[str, float]:
        """Means over the judged events at positions start..stop-1; the live model's over those it answered."""
        rows = self.judged
        rows = rows[(rows[:, PLACE] >= start) & (rows[:, PLACE] < stop)]
        return {
            "hit_rate@20": float(rows[:, HIT].mean()), "mrr@20": float(rows[:, RECIPROCAL].mean()),
            "mixture_nats": -float(rows[:, MIXTURE].mean()), "live_nats": -float(np.nanmean(rows[:, LIVE])),
            "judged": float(len(rows)),
        }  # fmt: skip


def own_event_number(columns: EventColumns, start_ms: int) -> I64:
    """(B,) how many events since a moment each event's user has had before it; -1 before the moment."""
    number = np.full(len(columns), -1, np.int64)
    had = np.zeros(len(columns.user.names), np.int64)
    for b in np.flatnonzero(columns.ts_ms >= start_ms):
        number[b] = had[columns.user.codes[b]]
        had[columns.user.codes[b]] += 1
    return number


def _copied(arrays: Arrays) -> Arrays:
    return {name: np.array(array) for name, array in arrays.items()}
