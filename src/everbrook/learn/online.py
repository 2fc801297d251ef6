"""The live model learning: each micro-batch is tested under live and earlier weights, and only then learned from.

Rows of histories, targets and negatives move; the network moves on a schedule of its own. Everything is a function of
the events and of how they were cut into micro-batches: all randomness is seeded by the number of the micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from everbrook.learn.asking import Asked, Asker, log_probabilities
from everbrook.learn.lessons import Lesson, learn_from
from everbrook.learn.live_arrays import under, within
from everbrook.learn.live_weights import LiveWeights
from everbrook.learn.pace import Pace
from everbrook.learn.references import Reference
from everbrook.learn.reservoir import Questions, Reservoir
from everbrook.learn.spikes import Spikes
from everbrook.models.live_network import states_of
from everbrook.settings.live import LiveSettings
from everbrook.settings.popularity import PopularitySettings
from everbrook.types import F32, F64, I16, I32, Arrays, Step


@dataclass(frozen=True, slots=True)
class Tested:
    """Log-probabilities of what came next, before any weights learned it; (B,), of the events that were asked about."""

    scenario: I16
    actor: I32
    live: F64
    recent: F64  # NaN where there are no such weights, or where they were not tested
    anchor: F64
    young: F64
    skipped: str = ""  # why the micro-batch was not learned from; empty where it was


class OnlineLearner:
    """What the live model learns with. `take` is all that happens to it; the gate's moves are `back_to` and others."""

    def __init__(self, settings: LiveSettings, popularity: PopularitySettings) -> None:
        self.settings = settings
        self.asker = Asker(settings, popularity)
        self.weights = LiveWeights(settings)
        self.reservoir = Reservoir(settings)
        self.spikes = Spikes(settings)
        self.pace = Pace(settings)
        self.items = 0
        self._counts = np.zeros(3, np.int64)  # micro-batches, events asked about, micro-batches that were skipped
        self._stale = np.zeros(2)  # nats lost by stale states, events

    def grow(self, items: int, actors: int) -> None:
        """Make room: rows below these numbers may come from now on."""
        self.items = max(self.items, items)
        self.asker.grow(items, actors)
        self.weights.grow(items)

    def take(self, step: Step, offset: int, factor: float = 1.0, learn: bool = True) -> Tested:
        """Test on a micro-batch, then learn from it.

        Args:
            step: events in the log's order, with their histories; there is room for their items.
            offset: of the log, after the last of them.
            factor: what step sizes are multiplied with for now.
            learn: whether the weights move.
        """
        s = self.settings
        rng = np.random.default_rng((s.seed, int(self._counts[0])))
        asked = self.asker.ask(step, self.items, rng)
        self._counts += (1, len(asked.at), 0)
        ts_ms = int(step.ts_ms.max(initial=0))
        self.weights.begin(offset, ts_ms, step.item[step.weight > 0.0])
        tested = self._test(asked, step, rng)
        if not len(asked.at):
            return tested
        self.pace.observe(tested.live, tested.young)
        because = "Learning rests." if not learn else self.spikes.judge(tested.live)
        if not because:
            again = self.reservoir.draw(round(s.replayed * len(asked.at)), asked.drawn, rng)
            lesson = Lesson(asked.questions, again, (factor, self.pace.factor), ts_ms)
            because = learn_from(self.weights, lesson, s, int(self._counts[0]))
            self.reservoir.put(asked.questions, step.actor[asked.at], step.scenario[asked.at], rng)
        if because:
            self._counts[2] += 1
        self.weights.expire(ts_ms)
        return replace(tested, skipped=because)

    def _test(self, asked: Asked, step: Step, rng: np.random.Generator) -> Tested:
        table, questions = self.weights.rows.table, asked.questions
        live = np.full(len(asked.at), np.nan)
        recent, anchor, young = live.copy(), live.copy(), live.copy()
        if len(asked.at):
            states = states_of(self.weights.network, table[questions.windows.flat], questions.windows)
            live[:] = log_probabilities(states, table[questions.targets], table[questions.negatives], questions)
            slow = self.settings.tested and self.weights.events_s < self.settings.tested_below
            few = np.flatnonzero(rng.random(len(asked.at)) < (1.0 if slow else self.settings.tested))
            older = (few, few) if slow else (few[::2], few[1::2])  # no two of these are compared with each other
            young[few] = self._under(self.weights.young, table, questions.take(few))
            anchor[older[1]] = self._under(self.weights.anchor, table, questions.take(older[1]))
            recent[older[0]] = self._under_recent(live[older[0]], table, questions.take(older[0]))
        return Tested(step.scenario[asked.at], step.actor[asked.at], live, recent, anchor, young)

    def _under_recent(self, live: F64, table: F32, asked: Questions) -> F64 | float:
        """Under the recent weights; and what it costs to answer from states that were computed with weights so old."""
        recent = self.weights.recent
        if not recent.taken or not len(live):
            return float("nan")
        states = recent.states(table, asked.windows)
        stale = log_probabilities(states, table[asked.targets], table[asked.negatives], asked)
        self._stale += (float((live - stale).sum()), float(len(live)))
        return self._said(recent, states, table, asked)

    def _under(self, reference: Reference, table: F32, asked: Questions) -> F64 | float:
        if not reference.taken or not len(asked.targets):
            return float("nan")
        return self._said(reference, reference.states(table, asked.windows), table, asked)

    @staticmethod
    def _said(reference: Reference, states: F32, table: F32, asked: Questions) -> F64:
        targets, negatives = reference.rows_of(table, asked.targets), reference.rows_of(table, asked.negatives)
        return log_probabilities(states, targets, negatives, asked).astype(np.float64)

    @property
    def stale_nats(self) -> float:
        """Mean loss by states as old as the recent weights, in nats an event."""
        return float(self._stale[0] / max(self._stale[1], 1.0))

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far."""
        names = ("micro_batches", "events", "skipped")
        return dict(zip(names, self._counts.tolist(), strict=True)) | self.weights.counts

    def state(self) -> Arrays:
        """Everything learned, as named arrays."""
        arrays: Arrays = {"counts": self._counts, "stale": self._stale, "items": np.array([self.items], np.int64)}
        for name, part in self._parts().items():
            arrays |= under(f"{name}/", part)
        return arrays

    def _parts(self) -> dict[str, Arrays]:
        return {
            "asker": self.asker.state(), "weights": self.weights.state(), "reservoir": self.reservoir.state(),
            "spikes": self.spikes.state(), "pace": self.pace.state(),
        }  # fmt: skip

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        self._counts[...], self._stale[...] = arrays["counts"], arrays["stale"]
        self.items = int(arrays["items"][0])
        self.asker.load(within(arrays, "asker/"), self.items)
        self.weights.load(within(arrays, "weights/"))
        self.reservoir.load(within(arrays, "reservoir/"))
        self.spikes.load(within(arrays, "spikes/"))
        self.pace.load(within(arrays, "pace/"))
