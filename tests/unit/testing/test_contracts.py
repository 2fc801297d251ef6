"""The contract suite itself: a plain expert passes every check, and for every check there is one it fails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from everbrook.testing.contracts import EXPERT_CHECKS, WORLDS
from everbrook.testing.probes import Capabilities
from everbrook.testing.streams import CAPACITY, ITEMS, fold_step, markov_stream, random_stream, successors
from everbrook.types import F32, I32, NO_ROW, Arrays, Expert, Query, Step

CLAIMS = Capabilities(learns=frozenset(WORLDS))


class Plain:
    """Counts of items, of pairs (last item, next), of pairs within the history, and of actors' own items."""

    names = ("plain/popular", "plain/after", "plain/together", "plain/own")

    def __init__(self) -> None:
        self.popular = np.zeros(0)
        self.after = np.zeros((0, 0))
        self.together = np.zeros((0, 0))

    def grow(self, items: int, actors: int) -> None:
        more = max(0, items - len(self.popular))
        self.popular = np.pad(self.popular, (0, more))
        self.after = np.pad(self.after, ((0, more), (0, more)))
        self.together = np.pad(self.together, ((0, more), (0, more)))

    def counts(self, query: Query) -> tuple[np.ndarray, ...]:
        N = len(self.popular)
        own = np.bincount(query.items, minlength=N).astype(float)
        after = self.after[query.items[-1]] if len(query.items) else np.zeros(N)
        return self.popular, after, own @ self.together, own

    def learn(self, step: Step, b: int) -> None:
        if step.weight[b] <= 0:
            return
        query, item = step.query(b), step.item[b]
        self.popular[item] += 1
        if len(query.items):
            self.after[query.items[-1], item] += 1
        np.add.at(self.together, (query.items, item), 1)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        for k, counts in enumerate(self.counts(query)):
            total = counts.sum()
            rest[k] = 1 / (1 + total) if total else np.nan
            mass[:, k] = counts[rows] / (1 + total)

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        for b in range(len(step)):
            self.score(step.query(b), step.item[b : b + 1], mass[b : b + 1], rest[b])
            self.learn(step, b)

    def propose(self, query: Query, limit: int) -> I32:
        scores = sum(counts / (1 + counts.sum()) for counts in self.counts(query))
        return np.argsort(-scores, kind="stable")[:limit].astype(np.int32)

    def because(self, query: Query, rows: I32) -> I32:
        return np.full(len(rows), query.items[-1] if len(query.items) else NO_ROW, np.int32)

    def state(self) -> Arrays:
        return {"popular": self.popular, "after": self.after, "together": self.together}

    def load(self, arrays: Arrays) -> None:
        self.popular, self.after, self.together = arrays["popular"], arrays["after"], arrays["together"]


class SumsAbove(Plain):
    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        super().score(query, rows, mass, rest)
        rest += np.float32(0.001)


class Negative(Plain):
    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        super().observe(step, mass, rest)
        mass[-1, 0] = -1e-3


class LeavesPlacesUnwritten(Plain):
    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        for k, counts in enumerate(self.counts(query)):
            if not counts.sum():
                rest[k] = np.nan
                continue
            rest[k] = 1 / (1 + counts.sum())
            mass[:, k] = counts[rows] / (1 + counts.sum())


class LearnsAtTheEndOfTheBatch(Plain):
    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        for b in range(len(step)):
            self.score(step.query(b), step.item[b : b + 1], mass[b : b + 1], rest[b])
        for b in range(len(step)):
            self.learn(step, b)


class TrainsThenTests(Plain):
    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        for b in range(len(step)):
            self.learn(step, b)
            self.score(step.query(b), step.item[b : b + 1], mass[b : b + 1], rest[b])


class RemembersQuestions(Plain):
    def propose(self, query: Query, limit: int) -> I32:
        self.popular[0] += 1
        return super().propose(query, limit)


class WritesIntoTheStep(Plain):
    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        super().observe(step, mass, rest)
        step.items[step.items < 0] = 0


class Dice(Plain):
    def learn(self, step: Step, b: int) -> None:
        super().learn(step, b)
        self.popular[step.item[b]] += np.random.default_rng().random() * 1e-3


class ForgetsOnDisk(Plain):
    def state(self) -> Arrays:
        return {"popular": self.popular.copy(), "after": self.after.copy(), "together": 0 * self.together}


class DividesByTheGap(Plain):
    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        super().score(query, rows, mass, rest)
        if len(query.times) and query.now_ms == query.times[-1]:
            mass[:] = np.nan


class ProposesTwice(Plain):
    def propose(self, query: Query, limit: int) -> I32:
        return np.repeat(super().propose(query, limit), 2)[:limit]


class BlamesAnything(Plain):
    def because(self, query: Query, rows: I32) -> I32:
        return rows


class SpreadsOverTheTable(Plain):
    """Smooths by the size of its table, which grows."""

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        super().score(query, rows, mass, rest)
        mass[:, 0] = (self.popular[rows] + 1) / (self.popular.sum() + len(self.popular))
        rest[0] = 0


class KeepsEverything(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[int] = []

    def learn(self, step: Step, b: int) -> None:
        super().learn(step, b)
        self.log += [int(step.item[b])] * 40

    def state(self) -> Arrays:
        return {**super().state(), "log": np.array(self.log, np.int64)}


class LearnsNothing(Plain):
    def learn(self, step: Step, b: int) -> None:
        pass


MUTANTS: dict[str, type[Plain]] = {
    "mass_and_rest_sum_to_one": SumsAbove,
    "probabilities_are_never_negative_or_nan": Negative,
    "a_batch_equals_one_by_one": LearnsAtTheEndOfTheBatch,
    "observe_tells_what_score_would_have_told": TrainsThenTests,
    "asking_changes_nothing": RemembersQuestions,
    "inputs_are_left_as_they_were": WritesIntoTheStep,
    "same_seed_same_result": Dice,
    "state_and_load_keep_the_scores": ForgetsOnDisk,
    "extreme_inputs_stay_finite": DividesByTheGap,
    "proposals_are_distinct_known_rows": ProposesTwice,
    "because_names_items_of_the_history": BlamesAnything,
    "growing_changes_no_score": SpreadsOverTheTable,
    "memory_is_bounded": KeepsEverything,
    "it_learns_what_it_claims": LearnsNothing,
}


@pytest.mark.parametrize("name", EXPERT_CHECKS)
def test_a_plain_expert_passes(name: str) -> None:
    EXPERT_CHECKS[name](Plain, CLAIMS)


def test_every_check_has_a_mutant() -> None:
    assert EXPERT_CHECKS.keys() == MUTANTS.keys()


@pytest.mark.parametrize("name", MUTANTS)
def test_every_check_can_fail(name: str) -> None:
    make: Callable[[], Expert] = MUTANTS[name]
    with pytest.raises(AssertionError):
        EXPERT_CHECKS[name](make, CLAIMS)


def test_an_unwritten_place_is_seen() -> None:
    with pytest.raises(AssertionError, match="Mass must be in"):
        EXPERT_CHECKS["probabilities_are_never_negative_or_nan"](LeavesPlacesUnwritten, CLAIMS)


def test_a_family_whose_observe_sleeps_may_say_so() -> None:
    class Sampled(Plain):
        def observe(self, step: Step, mass: F32, rest: F32) -> None:
            super().observe(step, mass, rest)
            asleep = step.ts_ms % 2 == 0
            mass[asleep], rest[asleep] = 0, np.nan

    check = EXPERT_CHECKS["observe_tells_what_score_would_have_told"]
    check(Sampled, Capabilities(observe_sleeps=True))
    with pytest.raises(AssertionError, match="observed and scored"):
        check(Sampled, Capabilities())


def test_a_named_limit_of_bytes_is_held() -> None:
    check = EXPERT_CHECKS["memory_is_bounded"]
    check(Plain, Capabilities(bytes_limit=8 * (ITEMS + 2 * ITEMS * ITEMS)))
    with pytest.raises(AssertionError, match="State must stay within 100 bytes"):
        check(Plain, Capabilities(bytes_limit=100))


def test_a_folded_history_is_what_came_before() -> None:
    step = random_stream(5, 300)
    for b in (0, 50, 299):
        before = [i for i in range(b) if step.actor[i] == step.actor[b]][-CAPACITY:]
        query = step.query(b)
        assert query.items.tolist() == step.item[before].tolist()
        assert query.times.tolist() == step.ts_ms[before].tolist()
        assert query.kinds.tolist() == step.kind[before].tolist()


def test_a_session_ends_with_a_gap() -> None:
    minutes = np.array([0, 10, 39, 70, 71], np.int64)
    step = fold_step(minutes * 60_000, np.zeros(5, np.int32), np.arange(5, dtype=np.int32))
    assert step.n.tolist() == [0, 1, 2, 3, 4]
    assert step.session_n.tolist() == [0, 1, 2, 0, 1]


def test_the_markov_stream_follows_its_successors() -> None:
    step, followed = markov_stream(9, 500)
    successor = successors(9)
    for b in np.flatnonzero(followed):
        assert step.item[b] == successor[step.query(int(b)).items[-1]]
    assert sorted(successor.tolist()) == list(range(ITEMS))
