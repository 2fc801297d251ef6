"""The mixture: experts' probabilities pooled per context, stacked, and insured by fixed share.

Lower layer: linear pools (Soft-Bayes) per bucket of context and a log-linear stacker over the candidates. Upper
layer: a fixed-share Bayesian mixture over the pools, the stacker and every single column. Learned event by event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from everbrook.models.members import among
from everbrook.models.portion import Portion
from everbrook.rank import beside, contexts
from everbrook.rank.observing import Told, learn_run, note_first
from everbrook.rank.pools import FLOOR, learn_bulk, learn_judged
from everbrook.rank.stacker import Stacker
from everbrook.rank.union import distinct
from everbrook.rank.weighing import Asked, Weighed, propose_into, weigh_all
from everbrook.settings.mixture import MixtureSettings
from everbrook.types import F32, F64, I32, I64, NO_ROW, Arrays, Bool, Expert, Query, Step

_WORTH_A_THREAD = 32  # events from which a second thread takes off more than it costs
_SMALL_RUN = 128  # events of which room for what is said of them is kept
_NONE: Bool = np.empty(0, np.bool_)
_NOBODY: I32 = np.empty(0, np.int32)
_SAME = 1e-9  # relative difference of summed losses that is only rounding


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a judged event teaches about mixing, as it stood when the list was made; it may be learned later."""

    p: F64  # (E,) what each column gave the item
    awake: Bool  # (E,)
    buckets: I64  # (J,)
    q: F64  # (J + 1 + E,) what each pool, the stacker and each column gave the item
    up: Bool  # (J + 1 + E,) which of them are awake
    x: F32  # (M, F) the stacker's features of the candidates
    target: int  # which candidate the item is; NO_ROW where it is none
    inside: float  # what the pools give the candidates together


@dataclass(frozen=True, slots=True)
class Said:
    """What the families said of B events before they were learned, noted when the events happened."""

    mass: F32  # (B, E)
    rest: F32  # (B, E)
    uniform: F64  # (B,) one over the number of items known then
    buckets: I64  # (B, J)
    noted: Bool  # (B,) events of which it was noted; the weights learn from no others


@dataclass(frozen=True, slots=True)
class Judgement:
    """How what came next had stood in the list, before it was learned."""

    weighed: Weighed
    rank: int  # 1-based, ties against us; 0 where the item was not among the candidates
    ranks: I32  # (1 + J + 1 + E,) the same for the mixture, each pool, the stacker and each column
    logp: float  # of the insured mixture
    logps: F64  # (J + 1 + E,) of each of its experts; NaN where asleep
    lesson: Lesson


class Mixture:
    """All experts as one probability over the next item.

    Args:
        experts: families; the first is popularity, whose columns are the base of all others.
        settings: rates and limits.
    """

    def __init__(self, experts: Sequence[Expert], settings: MixtureSettings) -> None:
        self.experts = list(experts)
        self.settings = settings
        self.popular = len(experts[0].names)
        self.columns = tuple(name for family in experts for name in family.names)
        self.names = (*contexts.POOLS, "stack", *self.columns)
        pools, columns = len(contexts.POOLS), len(self.columns)
        self.base_weights: F64 = np.full(self.popular, 1.0 / self.popular)
        self.pools: F64 = np.full((pools, contexts.BUCKETS, columns), 1.0 / columns)
        self.top: F64 = np.full(len(self.names), 1.0 / len(self.names))
        self.losses: F64 = np.zeros(len(self.names))
        self.loss: F64 = np.zeros(2)  # (log-loss so far, events)
        self.stacker = Stacker(columns, pools, contexts.STACK_CONTEXTS)
        self._rates: F64 = np.array([settings.pool_rate, settings.switch_rate])
        self.n_items = 0
        self.first_seen_ms: I64 = np.zeros(0, dtype=np.int64)
        self._told = Told((), 0)
        stops = accumulate(len(family.names) for family in experts)
        self.spans = [(slice(None), slice(b - len(family.names), b)) for family, b in zip(experts, stops, strict=True)]
        self._portion: Portion | None = None  # that candidates were asked for last, until they are weighed
        self._grown: tuple[int, int, list[Expert]] = (0, 0, [])
        self._stamp: I32 = np.zeros(0, dtype=np.int32)

    def know(self, items: int) -> None:
        """Say how many items there are by now; the uniform probability is one over it."""
        self.n_items = max(self.n_items, items)

    def grow(self, items: int, actors: int) -> None:
        """Make room: rows below these numbers may come from now on."""
        if self._grown == (items, actors, self.experts):
            return
        self._grown = (items, actors, [*self.experts])
        if items > len(self.first_seen_ms):
            size = max(1024, 2 * items)
            grown = np.zeros(size, dtype=np.int64)
            grown[: len(self.first_seen_ms)] = self.first_seen_ms
            self.first_seen_ms = grown
            self._stamp = np.zeros(size // 32 + 1, dtype=np.int32)
        for family in self.experts:
            family.grow(items, actors)

    # -- lists ---------------------------------------------------------------------------------------------------

    def candidates(self, query: Query) -> I32:
        """(M,) distinct item rows that some family proposes."""
        return self.candidates_of([query])[0]

    def candidates_of(self, queries: Sequence[Query]) -> list[I32]:
        """The same for several queries, family by family: what one of them looks at is near for the next query."""
        self._portion = portion = Portion(queries)
        limit, families = self.settings.candidates, len(self.experts)
        found: I32 = np.empty((families, len(portion), limit), np.int32)
        kept: I64 = np.empty((families, len(portion)), np.int64)
        for family, own, count in zip(self.experts, found, kept, strict=True):
            propose_into(family, portion, limit, own, count)
        rows: I32 = np.empty((len(portion), families * limit), np.int32)
        counts: I64 = np.empty(len(portion), np.int64)
        distinct(found, kept, self._stamp, rows, counts)
        return [own[:count] for own, count in zip(rows, counts.tolist(), strict=True)]

    def weigh(self, query: Query, shown: I32, more: I32, left_out: I32) -> Weighed:
        """Every layer's probability for the candidates, with what there is to learn from; see `Asked`."""
        known, self._portion = self._portion, None
        return weigh_all(self, [Asked(query, shown, more, left_out)], known, features=True)[0]

    def weigh_all(self, asked: Sequence[Asked]) -> list[Weighed]:
        """Every layer's probability for the candidates of several queries."""
        known, self._portion = self._portion, None
        return weigh_all(self, asked, known, features=False) if asked else []

    # -- learning ------------------------------------------------------------------------------------------------

    def judge(self, query: Query, item: int, left_out: I32, learn: bool = True) -> Judgement | None:
        """Make the list that would have been shown, look at what came next, and learn how to mix.

        Args:
            query: who, when and what was known.
            item: row of what came next.
            left_out: rows that cannot come.
            learn: whether the weights move.

        Returns:
            How the item stood; None where it is among those left out.
        """
        if len(left_out) and bool((left_out == item).any()):
            return None
        shown = self.candidates(query)
        if len(left_out):
            shown = shown[~among(shown, left_out)]
        at = np.flatnonzero(shown == item)
        target = int(at[0]) if len(at) else NO_ROW
        more = _NOBODY if len(at) else np.array([item], dtype=np.int32)
        w = self.weigh(query, shown, more, left_out)
        position = target if target >= 0 else w.shown
        q, up, ranks, losses = w.stands(target, position)
        logp = float(np.log(max(float(w.final[position]), FLOOR)))
        lesson = Lesson(w.p[position].astype(np.float64), w.awake, w.buckets, q, up, w.x, target, w.inside)
        if learn:
            self._learn(lesson, w.choice)
        return Judgement(w, int(ranks[0]), ranks, logp, losses, lesson)

    def learn(self, lesson: Lesson) -> None:
        """Learn how to mix from a judgement that was made without learning; the stacker's error is that of today."""
        self._learn(lesson, self.stacker.probabilities(lesson.x, contexts.for_stack(lesson.buckets)))

    def _learn(self, lesson: Lesson, choice: F64) -> None:
        context = contexts.for_stack(lesson.buckets)
        mixed = learn_judged(
            lesson.p, lesson.awake, lesson.buckets, self._rates, self.base_weights, self.pools, self.top, self.losses,
            lesson.q, lesson.up,
        )  # fmt: skip
        if lesson.target >= 0:
            rates = (self.settings.stack_rate, self.settings.stack_decay)
            self.stacker.learn(lesson.x, choice, lesson.target, context, rates)
        self.stacker.learn_inside(lesson.inside, lesson.target >= 0)
        self.loss += (-float(np.log(max(mixed, FLOOR))), 1.0)

    def observe(self, step: Step, learned: Bool | None = None, said: Said | None = None) -> F64:
        """Let every family learn a run of events, and the weights with them.

        Args:
            step: the events, in order.
            learned: (B,) events whose list `judge` has already learned from.
            said: what the weights learn from in place of what the families say now.

        Returns:
            (B,) log-probability that the insured mixture gave each event; NaN where it was no target.
        """
        self._portion = None
        told = self._told_by_all(step)
        logp = np.empty(len(step))
        if said is None:
            self.n_items, targets = learn_run(
                step.ts_ms, step.item, step.scenario, step.weight, step.n, step.session_n,
                _NONE if learned is None else learned, told.widths, told.events, told.mass, told.rest, self.popular,
                self.first_seen_ms, self.n_items, self._rates, self.base_weights, self.pools, self.top, self.losses,
                logp,
            )  # fmt: skip
        else:
            targets = self._learn_said(step, learned, said, logp)
        if targets:
            counted = logp if targets == len(logp) else logp[~np.isnan(logp)]
            self.loss[0] -= np.add.reduce(counted)
            self.loss[1] += len(counted)
        return logp

    def _learn_said(self, step: Step, learned: Bool | None, said: Said, logp: F64) -> int:
        mark_first(self.first_seen_ms, step)
        self.know(int(step.item.max(initial=-1)) + 1)
        skip = (step.weight <= 0.0) | ~said.noted
        if learned is not None:
            skip |= learned
        learn_bulk(
            said.mass, said.rest, self.popular, said.buckets, said.uniform, self._rates, self.base_weights, self.pools,
            self.top, self.losses, logp, skip,
        )  # fmt: skip
        return int(np.count_nonzero(~skip))

    def _told_by_all(self, step: Step) -> Told:
        """What every family says of the events before it learns them; the slowest does both beside the others."""
        families, events = self.experts, len(step)
        if events > self._told.events or len(self._told.widths) != len(families):
            self._told = Told([len(family.names) for family in families], max(events, _SMALL_RUN))
        told = self._told
        if events > _SMALL_RUN:
            self._told = Told((), 0)  # what a large run takes is not kept
        asked = list(zip(families, told.blocks(events), strict=True))
        slow = [one for one in asked if getattr(one[0], "is_slow", False)] if events >= _WORTH_A_THREAD else []
        of_slow = beside.begin(lambda: slow[0][0].observe(step, *slow[0][1])) if slow else None
        try:
            for family, block in asked:
                if not slow or family is not slow[0][0]:
                    family.observe(step, *block)
        finally:
            if of_slow is not None:
                of_slow()
        return told

    # -- looking after it ----------------------------------------------------------------------------------------

    def best(self) -> str:
        """The part with the least loss in hindsight, of those that ever said anything.

        An expert asleep is charged what the mixture lost, so one that always slept is level with it by definition.
        """
        return self.names[int(self._said_losses().argmin())]

    def regret(self) -> float:
        """Nats an event by which the mixture is behind its best part in hindsight (negative: ahead of all)."""
        least = float(self._said_losses().min())
        return (float(self.loss[0]) - least) / max(float(self.loss[1]), 1.0) if np.isfinite(least) else 0.0

    def _said_losses(self) -> F64:
        same = np.abs(self.losses - self.loss[0]) <= _SAME * max(float(self.loss[0]), 1.0)
        return np.where(same, np.inf, self.losses)

    def regret_bound(self) -> float:
        """Most nats an event that fixed share can be behind any one expert after the events so far.

        Source: Herbster & Warmuth (1998), theorem 1 without switches: ln K - (T - 1) ln(1 - switch rate).
        """
        count, events = len(self.names), max(float(self.loss[1]), 1.0)
        return float((np.log(count) - events * np.log1p(-self.settings.switch_rate)) / events)

    def state(self) -> Arrays:
        """Everything learned, families' arrays under 'i/name'."""
        arrays: Arrays = {
            "base_weights": self.base_weights, "pools": self.pools, "top": self.top, "losses": self.losses,
            "loss": self.loss, "theta": self.stacker.theta, "squares": self.stacker.squares,
            "inside": self.stacker.inside, "first_seen_ms": self.first_seen_ms[: self.n_items],
        }  # fmt: skip
        for i, family in enumerate(self.experts):
            arrays |= {f"{i}/{name}": array for name, array in family.state().items()}
        return arrays

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        for name in ("base_weights", "pools", "top", "losses", "loss"):
            getattr(self, name)[...] = arrays[name]
        self.stacker.theta[...] = arrays["theta"]
        self.stacker.squares[...] = arrays["squares"]
        self.stacker.inside[...] = arrays["inside"]
        for i, family in enumerate(self.experts):
            prefix = f"{i}/"
            family.load({name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)})
        seen, self._grown = arrays["first_seen_ms"], (0, 0, [])
        self.grow(len(seen), 0)
        self.know(len(seen))
        self.first_seen_ms[: len(seen)] = seen


def mark_first(first_seen_ms: I64, step: Step) -> None:
    """Note when each item first came, in place; 0 stands for never."""
    note_first(step.ts_ms, step.item, first_seen_ms)
