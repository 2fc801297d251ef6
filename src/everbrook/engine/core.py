"""The core: state, experts and mixture moved together along the log. Live traffic and replay both run this.

Not here: the log, files, locks (recommender), reports (evaluate).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numba import njit

from everbrook.engine.trail import Trail
from everbrook.events.columns import EventColumns
from everbrook.events.log import Run
from everbrook.events.records import Deletion, ItemChange, UserChange
from everbrook.rank.filters import Filters
from everbrook.rank.mixture import Judgement, Mixture
from everbrook.state import State
from everbrook.state.influence import Influence
from everbrook.types import F32, F64, I32, NO_ROW, Arrays, Bool, Step

FamilyT = TypeVar("FamilyT")
OnJudged = Callable[[Step, int, Judgement], None]
"""Told of each judged event: the step, the event's position in it, and the judgement."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Which events' lists are made before they are learned.

    Args:
        share: seeded share of the events.
        seed: of the choice.
        exclude_seen: leave out what the actor already had; events on such items are not judged.
        first_of_session: whether the first event of a session is judged too.
        learn: whether the mixture learns from them (frozen otherwise).
    """

    share: float = 1.0
    seed: int = 0
    exclude_seen: bool = False
    first_of_session: bool = True
    learn: bool = True

    def chosen(self, step: Step, offset: int) -> Bool:
        """(B,) whether each event is judged; depends on the log offset alone, not on how the log is cut in batches."""
        mask: Bool = np.empty(len(step), np.bool_)
        _choose(offset, self.seed, self.share, step.weight, step.session_n, self.first_of_session, mask)
        return mask

    def drawn(self, n: int, offset: int) -> Bool:
        """(n,) which of the next events chance has chosen; of these the ones that count are judged."""
        mask: Bool = np.empty(n, np.bool_)
        _draw(offset, self.seed, self.share, mask)
        return mask

    def within(self, n: int, offset: int, lists: int) -> int:
        """How many of the next n events may be taken in at once so that no more than so many lists are made."""
        if self.share <= 0.0:
            return n
        found = self.drawn(n, offset).nonzero()[0]
        return n if len(found) <= lists else int(found[lists])


@dataclass(frozen=True, slots=True)
class Folded:
    """Events as they happened, and as they are learned: what the guard holds back has weight 0 there."""

    happened: Step
    learned: Step


@runtime_checkable
class Prepares(Protocol):
    """A family that answers a run of queries faster where it is told of them at once."""

    def prepare(self, step: Step, mask: Bool | None = None) -> None:
        """Get ready for the queries of the marked events."""
        ...


@runtime_checkable
class KnowsItems(Protocol):
    """A family that looks at what items are, not only at events."""

    def put(self, rows: I32, records: Sequence[ItemChange | None]) -> None:
        """Take note of new or changed records; None where an item has none any more."""
        ...


@runtime_checkable
class KnowsActors(Protocol):
    """A family that keeps something for single actors."""

    def forget_actor(self, actor: int) -> int:
        """Drop what is kept for an actor; how many rows that were."""
        ...


class Core:
    """Everything learned from the log up to `offset`.

    Args:
        state: the fold over the log.
        mixture: the experts and how they are mixed.
        trail: keeps what was folded, for batch learning; None keeps nothing.
        guard: bounds what one actor and one item may teach; None bounds nothing.
    """

    def __init__(
        self, state: State, mixture: Mixture, trail: Trail | None = None, guard: Influence | None = None
    ) -> None:
        self.state = state
        self.filters = Filters(state)
        self.mixture = mixture
        self.trail = trail
        self.guard = guard
        self.offset = 0  # records of the log already in it
        self.events = 0  # events among them
        self.judged, self.judging_s = 0, 0.0  # lists made to learn how to mix, and how long it took
        self.dropped_rows = 0  # learned of people who were forgotten since it was made

    def family(self, kind: type[FamilyT]) -> FamilyT | None:
        """The family of a class, where the mixture has it."""
        return next((family for family in self.mixture.experts if isinstance(family, kind)), None)

    # -- along the log -------------------------------------------------------------------------------------------

    def absorb(self, run: Run, judging: Judging, on_judged: OnJudged | None = None) -> None:
        """Take in the next records of the log."""
        if run.events is not None:
            self.absorb_events(run.events, judging, on_judged)
        else:
            self.absorb_records(run.records)
        self.offset = int(run.offsets[-1]) + 1 if len(run) else self.offset

    def absorb_events(self, columns: EventColumns, judging: Judging, on_judged: OnJudged | None = None) -> F64:
        """Fold events, judge the chosen ones that count and learn all; see `learn`."""
        return self.learn(self.fold(columns).learned, judging, on_judged)

    def fold(self, columns: EventColumns) -> Folded:
        """Fold events, weigh them and make room for them: the one way in, for live traffic and replay alike."""
        step = self.state.fold(columns)
        self.grow()
        learned = step if self.guard is None else self.guard.weigh(step)
        if self.trail is not None:
            self.trail.add(learned)
        return Folded(step, learned)

    def absorb_records(self, records: Sequence[object]) -> None:
        """Take in records that are not events; impressions and versions change nothing here."""
        items = [record for record in records if isinstance(record, ItemChange)]
        users = [record for record in records if isinstance(record, UserChange)]
        for record in records:
            if isinstance(record, Deletion):
                self._forget(record)
        if users:
            self.state.put_users(users)
        if items:
            rows = self.state.put_items(items)
            self.grow()
            self.mixture.know(self.state.n_items)
            self._tell(rows)

    def _forget(self, deletion: Deletion) -> None:
        row = self.state.items.row(deletion.id) if deletion.what == "item" else NO_ROW
        removed = self.state.forget(deletion)
        if removed.actor != NO_ROW:
            self.dropped_rows += self._drop(removed.actor)
        if row != NO_ROW:
            self._tell(np.array([row], dtype=np.int32))

    def _drop(self, actor: int) -> int:
        """Drop the learned rows of somebody who is forgotten; how many they were."""
        keepers = [family for family in self.mixture.experts if isinstance(family, KnowsActors)]
        rows = sum(family.forget_actor(actor) for family in keepers)
        if self.guard is not None:
            rows += self.guard.forget_actors(np.array([actor]))
            self.guard.forget_actors(self.state.histories.gone)  # with guests who became users: nobody asks for theirs
        return rows

    def _tell(self, rows: I32) -> None:
        known = [self.state.catalogue.get(int(row)) for row in rows]
        for family in self.mixture.experts:
            if isinstance(family, KnowsItems):
                family.put(rows, known)

    def grow(self) -> None:
        """Give the experts room for what the state knows."""
        self.mixture.grow(self.state.n_items, self.state.n_actors)

    # -- learning ------------------------------------------------------------------------------------------------

    def learn(
        self, step: Step, judging: Judging, on_judged: OnJudged | None = None, happened: Step | None = None
    ) -> F64:
        """Judge the chosen events and learn all, in order.

        Args:
            step: events whose items and actors the experts have room for.
            judging: which lists are made.
            on_judged: told of each judgement.
            happened: the same events before they were weighed, to choose from: those held back are then judged too,
                and not learned from. None chooses among those that count.

        Returns:
            (B,) log-probability of each event under the mixture before it was learned; NaN where it was no target.
        """
        mask = judging.chosen(step if happened is None else happened, self.events)
        marks = mask.nonzero()[0].tolist()
        if not len(step):
            return np.empty(0)
        if not marks:
            logp = self.mixture.observe(step)
        else:
            self._prepare(step, mask)
            logp = np.empty(len(step))
            for start, stop in zip([0, *marks], [*marks, len(step)], strict=True):
                if start < stop:
                    logp[start:stop] = self._learn_part(step, start, stop, bool(mask[start]), judging, on_judged)
        self.events += len(step)
        return logp

    def _learn_part(
        self, step: Step, start: int, stop: int, is_judged: bool, judging: Judging, on_judged: OnJudged | None
    ) -> F64:
        """Learn some events, of which the first alone may be judged before; see `learn`."""
        judged = self._judge(step, start, judging, on_judged) if is_judged else None
        learned: Bool = np.zeros(stop - start, np.bool_)
        learned[0] = is_judged
        logp = self.mixture.observe(step.slice(start, stop), learned)
        if judged is not None:
            logp[0] = judged
        return logp

    def judge_only(
        self, step: Step, judging: Judging, on_judged: OnJudged | None = None, among: Bool | None = None
    ) -> None:
        """Judge the chosen events while the experts stand still; only the mixture learns, where `judging` says so.

        Args:
            step: events whose items and actors the experts have room for.
            judging: which lists are made, and whether the weights move.
            on_judged: told of each judgement.
            among: (B,) events that may be chosen; all where None.
        """
        mask = judging.chosen(step, self.events)
        if among is not None:
            mask &= among
        if mask.any():
            self._prepare(step, mask)
        for b in np.flatnonzero(mask):
            self._judge(step, int(b), judging, on_judged)

    def _prepare(self, step: Step, mask: Bool) -> None:
        began_s = time.perf_counter()
        for family in self.mixture.experts:
            if _prepares(type(family)):
                family.prepare(step, mask)  # type: ignore[attr-defined]  # as was asked
        self.judging_s += time.perf_counter() - began_s

    def _judge(self, step: Step, b: int, judging: Judging, on_judged: OnJudged | None) -> float | None:
        query = step.query(b)
        left_out: I32 = np.unique(query.items) if judging.exclude_seen else np.empty(0, dtype=np.int32)
        learn = judging.learn and bool(step.weight[b] > 0.0)
        began_s = time.perf_counter()
        judgement = self.mixture.judge(query, int(step.item[b]), left_out, learn)
        if judgement is not None and on_judged is not None:
            on_judged(step, b, judgement)
        self.judging_s += time.perf_counter() - began_s
        self.judged += 1
        return None if judgement is None else judgement.logp

    # -- keeping -------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Arrays]:
        """Everything that a checkpoint keeps."""
        place = {"place": np.array([self.offset, self.events], dtype=np.int64)}
        kept = {"core": place, "state": self.state.arrays(), "mixture": self.mixture.state()}
        return kept if self.guard is None else kept | {"guard": self.guard.state()}

    def load(self, parts: dict[str, Arrays]) -> None:
        """Take over what `parts` gave.

        Raises:
            DataError: another version wrote the state; nothing is changed.
        """
        self.state.load(parts["state"])
        self.offset, self.events = (int(number) for number in parts["core"]["place"])
        self.mixture.load(parts["mixture"])
        if self.guard is not None:
            self.guard.load(parts["guard"])
        self.grow()


@cache
def _prepares(kind: type) -> bool:
    """Whether a class is a `Prepares`: to ask a protocol costs more than most families take for an event."""
    return issubclass(kind, Prepares)


@njit(cache=True)
def _draw(offset: int, seed: int, share: float, out: Bool) -> None:
    """Whether a number in [0, 1) that is drawn for each event is below the share.

    Source: splitmix64 (Steele, Lea, Flood 2014).
    """
    step = np.uint64(0x9E3779B97F4A7C15)
    first = np.uint64(seed) * step + step
    for b in range(len(out)):
        z = (np.uint64(offset + b) + first) * step
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        out[b] = share >= 1.0 or np.float64(z >> np.uint64(11)) * 2.0**-53 < share


@njit(cache=True)
def _choose(offset: int, seed: int, share: float, weight: F32, session_n: I32, first: bool, out: Bool) -> None:
    """Of what is drawn, the events that say something good; the first ones of sessions where they are wanted."""
    _draw(offset, seed, share, out)
    for b in range(len(out)):
        out[b] = out[b] and weight[b] > 0.0 and (first or session_n[b] > 0)
