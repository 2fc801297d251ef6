"""Faults for a learner under way: what can go wrong in its steps, and in the stream that reaches it.

    with broken(learning, "rate"):
        learning.take(columns, offset)          # learns with a hundred times the step sizes

An attack to test with: it finds nothing and mends nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import msgspec
import numpy as np

from everbrook.engine.learning import LiveLearning
from everbrook.errors import UnknownNameError
from everbrook.events.columns import EventColumns
from everbrook.learn import online
from everbrook.learn.asking import Asked
from everbrook.learn.lessons import Lesson, learn_from
from everbrook.learn.live_weights import LiveWeights
from everbrook.learn.reservoir import Questions
from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I32, I64

HOUR_MS = 3_600_000
LESSON_FAULTS = ("rate", "labels", "stale", "nan")
"""Of the learner's own step: what is tested stays true. Step sizes times 100; 30 % of the labels are items drawn by
lot; histories are those of a micro-batch of an hour ago; gradients are not numbers."""
SEEN_FAULTS = ("labels seen", "stale seen")
"""The same labels and histories, where the test before the lesson is fooled by them too."""
STREAM_FAULTS = ("empty", "repeats", "clocks")
"""Of what arrives: empty micro-batches in between; a third of the events twice, and a tenth once more up to an hour
late; clocks that jump ten days forwards for one micro-batch of eight, and an hour back for another."""
FAULTS = (*LESSON_FAULTS, *SEEN_FAULTS, *STREAM_FAULTS)

_RATE = 100.0
_FLIPPED = 0.3
Piece = tuple[EventColumns, I64]
"""Events, and (B,) for each the position that it has among those given; -1 where it is one too many."""


class Past:
    """The histories that a learner was asked about within the last hour; listens from its making on."""

    def __init__(self, learning: LiveLearning) -> None:
        self._kept: deque[tuple[int, Windows]] = deque()
        self.broken: Callable[[Questions], Questions] | None = None
        self._ask = learning.learner.asker.ask
        learning.learner.asker.ask = self._asked  # type: ignore[method-assign]

    def _asked(self, step: Any, items: int, rng: np.random.Generator) -> Asked:
        asked = self._ask(step, items, rng)
        if len(asked.at):
            now_ms = int(step.ts_ms.max())
            self._kept.append((now_ms, asked.questions.windows))
            while len(self._kept) > 1 and self._kept[1][0] <= now_ms - HOUR_MS:
                self._kept.popleft()
            if self.broken is not None:
                asked = replace(asked, questions=self.broken(asked.questions))
        return asked

    def hear(self, other: Past) -> None:
        """Know what another one heard."""
        self._kept = deque(other._kept)

    def stale(self, questions: Questions) -> Questions:
        """The questions with histories of an hour ago, or as nearly so as was heard."""
        old = self._kept[0][1]
        return replace(questions, windows=old.take(np.arange(len(questions)) % len(old)))


@contextmanager
def broken(learning: LiveLearning, name: str, past: Past | None = None, seed: int = 0) -> Iterator[None]:
    """Let a learner's steps go wrong while the context lasts; faults of the stream change nothing here.

    Args:
        learning: whose.
        name: one of `FAULTS`.
        past: where old histories come from; needed for the stale ones.
        seed: of what is drawn.

    Raises:
        UnknownNameError: there is no such fault.
    """
    if name not in FAULTS:
        raise UnknownNameError("fault", name, FAULTS)
    rng = np.random.default_rng(seed)
    past = past or Past(learning)
    changed: Callable[[Questions], Questions] = past.stale
    if name.startswith("labels"):
        changed = lambda questions: _flipped(questions, learning, rng)  # noqa: E731
    with ExitStack() as stack:
        if name == "rate":
            _hasten(learning, stack)
        elif name == "nan":
            _spoil(learning.learner.weights, stack)
        elif name in SEEN_FAULTS:
            stack.enter_context(mock.patch.object(past, "broken", changed))
        elif name in LESSON_FAULTS:
            _mislead(learning, changed, stack)
        yield


def _hasten(learning: LiveLearning, stack: ExitStack) -> None:
    s = learning.learner.settings
    fast = msgspec.structs.replace(s, row_rate=_RATE * s.row_rate, network_rate=_RATE * s.network_rate)
    for holder in (learning.learner, learning.learner.weights):
        stack.enter_context(mock.patch.object(holder, "settings", fast))


def _spoil(weights: LiveWeights, stack: ExitStack) -> None:
    step, gather = weights.step, weights.steps.gather

    def stepped(rows: I32, grads: F32, factors: tuple[float, float], ts_ms: int) -> None:
        step(rows, np.full_like(grads, np.nan), factors, ts_ms)

    def gathered(events: int) -> None:
        for sums in weights.steps.sums.values():
            sums.fill(np.nan)
        gather(events)

    stack.enter_context(mock.patch.object(weights, "step", stepped))
    stack.enter_context(mock.patch.object(weights.steps, "gather", gathered))


def _mislead(learning: LiveLearning, changed: Callable[[Questions], Questions], stack: ExitStack) -> None:
    own = learning.learner.weights

    def misled(weights: LiveWeights, lesson: Lesson, settings: LiveSettings, seed: int) -> str:
        if weights is own and len(lesson.new):
            lesson = replace(lesson, new=changed(lesson.new))
        return learn_from(weights, lesson, settings, seed)

    stack.enter_context(mock.patch.object(online, "learn_from", misled))


def _flipped(questions: Questions, learning: LiveLearning, rng: np.random.Generator) -> Questions:
    flipped = np.flatnonzero(rng.random(len(questions)) < _FLIPPED)
    targets, offsets = questions.targets.copy(), questions.target_offsets.copy()
    targets[flipped] = rng.integers(0, learning.learner.items, len(flipped))
    now_ms = int(learning.standing()["clock_ms"])
    prior = learning.learner.asker.prior.of(targets, -1, now_ms, learning.learner.items)
    offsets[flipped] = np.log(np.maximum(prior[flipped], 1e-30))
    return replace(questions, targets=targets, target_offsets=offsets)


def arriving(columns: EventColumns, name: str, batch: int, late: list[EventColumns], seed: int = 0) -> list[Piece]:
    """What arrives in place of a micro-batch while a fault of the stream lasts; the micro-batch itself under any other.

    Args:
        columns: the micro-batch.
        name: one of `FAULTS`.
        batch: its number.
        late: events that are held back, by the fault, until later calls; changed in place.
        seed: of what is drawn.
    """
    places = np.arange(len(columns), dtype=np.int64)
    rng = np.random.default_rng((seed, batch))
    if name == "empty":
        return [(columns.slice(0, 0), places[:0]), (columns, places), (columns.slice(0, 0), places[:0])]
    if name == "clocks" and batch % 8 in (2, 5):
        jump_ms = 240 * HOUR_MS if batch % 8 == 2 else -HOUR_MS
        return [(replace(columns, ts_ms=columns.ts_ms + jump_ms), places)]
    if name == "repeats":
        return _repeated(columns, places, late, rng)
    return [(columns, places)]


def _repeated(columns: EventColumns, places: I64, late: list[EventColumns], rng: np.random.Generator) -> list[Piece]:
    order = np.sort(np.concatenate((places, places[rng.random(len(places)) < 1 / 3])))
    again = np.concatenate(([False], order[1:] == order[:-1]))
    pieces: list[Piece] = [(columns.take(order), np.where(again, -1, order))]
    held = np.flatnonzero(rng.random(len(columns)) < 0.1)
    if len(held):
        late.append(columns.take(held))
        due_ms = int(columns.ts_ms[0]) - int(rng.integers(0, HOUR_MS))
        while late and int(late[0].ts_ms[0]) <= due_ms:
            old = late.pop(0)
            pieces.append((old, np.full(len(old), -1, np.int64)))
    return pieces
