"""What several queries are told together is what each of them is told alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from everbrook.events.records import ItemChange
from everbrook.models.content import Content
from everbrook.models.popularity import Popularity
from everbrook.models.portion import BEGIN, NOW_MS, SESSION_N, LastPortion, Portion
from everbrook.models.repeats import Repeats
from everbrook.models.rules import Names, Rules
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.models.transitions import Transitions
from everbrook.settings.rules import Rule, RulesSettings
from everbrook.testing.streams import ITEMS, random_stream
from everbrook.types import NO_ROW, Expert, Query, Step

LIMIT = 12


def _described() -> Content:
    content = Content()
    records = [ItemChange(id=f"i{i}", title=f"word{i % 5} word{i % 7}", properties={"n": i % 9}) for i in range(ITEMS)]
    content.put(np.arange(ITEMS, dtype=np.int32), records)
    return content


def _shelves() -> Rules:
    none: Callable[[str], int] = lambda name: NO_ROW  # noqa: E731
    rules = (Rule(name="newest"), Rule(name="hits", order="popular"), Rule(name="one", scenarios=("s",)))
    return Rules(RulesSettings(rules=rules), Names({"s": 1}.__getitem__, none, none))


MADE: dict[str, Callable[[], Any]] = {
    "popularity": Popularity, "transitions": Transitions, "repeats": Repeats, "content": _described,
    "content of nothing": Content, "rules": _shelves, "sequence asleep": SequenceExpert,
}  # fmt: skip


def _asked(step: Step, alike: bool) -> list[Query]:
    """Queries of one moment and scenario, or of several."""
    now_ms, found = int(step.ts_ms[-1]), [step.query(b) for b in range(0, len(step), 23)]
    moments = [(now_ms, NO_ROW) if alike else (now_ms + b, b % 3) for b in range(len(found))]
    return [replace(one, now_ms=ms, scenario=row) for one, (ms, row) in zip(found, moments, strict=True)]


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("name", MADE)
def test_together_is_as_alone(name: str, alike: bool) -> None:
    step = random_stream(11, 300)
    expert: Expert = MADE[name]()
    expert.grow(ITEMS, int(step.actor.max()) + 1)
    K = len(expert.names)
    expert.observe(step, np.empty((len(step), K), np.float32), np.empty((len(step), K), np.float32))
    queries = Portion(_asked(step, alike))
    rng = np.random.default_rng(0)
    own = [rng.integers(0, ITEMS, b % 4 * 9).astype(np.int32) for b in range(len(queries))]
    starts = np.cumsum([0, *map(len, own)]).tolist()
    whole = np.full((K, starts[-1] + 5), 7.0, np.float32)
    mass, rest = whole[:, : starts[-1]].T, np.full((len(queries), K), 7.0, np.float32)
    proposed, kept = np.full((len(queries), LIMIT), -7, np.int32), np.full(len(queries), -7)
    expert.propose_into(queries, LIMIT, proposed, kept)  # type: ignore[attr-defined]
    expert.score_all(queries, np.concatenate(own), starts, mass, rest)  # type: ignore[attr-defined]
    for b, query in enumerate(queries):
        alone, left = np.empty((len(own[b]), K), np.float32), np.empty(K, np.float32)
        expert.score(replace(query), own[b], alone, left)
        np.testing.assert_array_equal(mass[starts[b] : starts[b + 1]], alone)
        np.testing.assert_array_equal(rest[b], left)
        assert proposed[b, : kept[b]].tolist() == expert.propose(replace(query), LIMIT).tolist()
    assert (whole[:, starts[-1] :] == 7.0).all()


def test_a_portion_lays_its_histories_end_to_end() -> None:
    step = random_stream(12, 60)
    queries = Portion(step.query(b) for b in range(0, 60, 7))
    for b, query in enumerate(queries):
        own = slice(queries.numbers[b, BEGIN], queries.numbers[b + 1, BEGIN])
        assert (queries.numbers[b, SESSION_N], queries.numbers[b, NOW_MS]) == (query.session_n, query.now_ms)
        for name in ("items", "times", "kinds"):
            np.testing.assert_array_equal(getattr(queries, name)[own], getattr(query, name))


def test_the_last_answer_is_for_its_own_queries_only() -> None:
    step = random_stream(13, 60)
    queries, last = Portion(step.query(b) for b in (10, 20, 30)), LastPortion[str]()
    assert last.answer(queries) is None
    last.put(queries, "told")
    some = last.answer([queries[2], queries[0]])
    assert some is not None
    assert (some[0].tolist(), some[1]) == ([2, 0], "told")
    assert last.answer([queries[0], replace(queries[1])]) is None
    last.clear()
    assert last.answer(queries) is None
