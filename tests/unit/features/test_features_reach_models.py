"""Every declared feature changes what is learned from and what is answered, and both code a moment alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from everbrook.events.columns import EventColumns
from everbrook.events.records import Event, ItemChange
from everbrook.features.content import ContentFeatures
from everbrook.features.declared import FEATURES
from everbrook.learn.batches import Batch, Histories, lazily, pack
from everbrook.models.content import Content
from everbrook.models.popularity import Popularity
from everbrook.models.sequence import SequenceBatch, SequenceModel
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.models.sequence_registry import new_model
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.sequence import SequenceSettings
from everbrook.state import State
from everbrook.types import NO_ROW, Query

N, HOUR_MS, DAY_MS = 12, 3_600_000, 86_400_000
MONDAY_MS = 1_700_438_400_000  # 20 November 2023, midnight UTC
FEATURES_SETTINGS = FeaturesSettings(hour_offset_h=1.0)
KINDS = {
    "transformer": SequenceSettings(width=8, history=5),
    "pointwise": SequenceSettings(width=8, history=5, attention="pointwise"),
    "recurrent": SequenceSettings(kind="recurrent", width=8, history=5),
}


def model_of(shape: SequenceSettings) -> SequenceModel:
    """With weights everywhere, so that every input has a say."""
    model = new_model(shape, N, seed=1, features=FEATURES_SETTINGS)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


PAST = {
    "items": np.array([3, 1, 4, 1, 5], np.int32),
    "times": MONDAY_MS + np.array([0, 40_000, 90_000, 4 * DAY_MS, 4 * DAY_MS + HOUR_MS]),
    "kinds": np.array([0, 1, 0, 0, 1], np.int16),
}
NOW_MS = MONDAY_MS + 4 * DAY_MS + 2 * HOUR_MS
Change = Callable[[dict[str, np.ndarray], int], tuple[dict[str, np.ndarray], int]]


def edited(name: str, place: int, value: int) -> Change:
    def change(past: dict[str, np.ndarray], now_ms: int) -> tuple[dict[str, np.ndarray], int]:
        column = past[name].copy()
        column[place] = value
        return past | {name: column}, now_ms

    return change


def later(now_ms: int, days: int = 0) -> Change:
    """All of it some days later, asked about some time later (or earlier) than that."""
    return lambda past, now: (past | {"times": past["times"] + days * DAY_MS}, now + days * DAY_MS + now_ms)


def shorter(past: dict[str, np.ndarray], now_ms: int) -> tuple[dict[str, np.ndarray], int]:
    """Without the event in the middle: what stands before it comes one place nearer."""
    return {name: np.delete(column, 2) for name, column in past.items()}, now_ms


CHANGES: dict[str, Change] = {
    "item": edited("items", 4, 7),
    "kind": edited("kinds", 4, 0),
    "gap": edited("times", 4, MONDAY_MS + 4 * DAY_MS + 1000),
    "pause": edited("times", 4, MONDAY_MS + 4 * DAY_MS + 1000),
    "times": edited("times", 2, MONDAY_MS + 3 * DAY_MS),
    "places": shorter,
    "ahead": later(-40 * 60_000),
    "hour": later(0, days=2),
}
"""Of an actor's past and the moment asked about, by the name of the feature."""


def trained(past: dict[str, np.ndarray], now_ms: int) -> Batch:
    """What training sees of the same moment: the event that came then is what is to be predicted."""
    columns = {
        "items": np.append(past["items"], 0), "ts_ms": np.append(past["times"], now_ms),
        "kinds": np.append(past["kinds"], 0),
    }  # fmt: skip
    histories: Histories = pack(np.zeros(len(columns["items"]), np.int32), columns)
    (batch,) = lazily(histories, 5, 100, None, FEATURES_SETTINGS)
    return batch


def served(model: SequenceModel, past: dict[str, np.ndarray], now_ms: int) -> np.ndarray:
    """What serving answers: the probability of all items."""
    query = Query(now_ms=now_ms, actor=0, scenario=NO_ROW, session_n=0, **past)
    mass, rest = np.empty((N, 1), np.float32), np.empty(1, np.float32)
    SequenceExpert(model.settings, model).score(query, np.arange(N, dtype=np.int32), mass, rest)
    return mass[:, 0] / (1 - rest[0])


def learned(model: SequenceModel, batch: Batch) -> np.ndarray:
    """The same probabilities, from what training encodes at the last place."""
    with torch.no_grad():
        return (model.encode(batch.inputs)[0, -1] @ model.targets().T).softmax(0).numpy()


def items_of(**more: object) -> list[ItemChange]:
    """An item that was had, one like it in all, and one that is like it in nothing."""
    alike: dict[str, object] = {
        "title": "red shoes", "categories": ["shoes"], "properties": {"price": 10}, "vectors": {"image": [1.0, 0.2]},
    }  # fmt: skip
    other = {"title": "hat", "categories": ["hats"], "properties": {"price": 90}, "vectors": {"image": [-0.3, 1.0]}}
    return [ItemChange(id="had", **alike), ItemChange(id="like", **(alike | more)), ItemChange(id="other", **other)]


ITEM_CHANGES: dict[str, dict[str, object]] = {
    "text": {"title": "green tea"},
    "labels": {"categories": ["tea"]},
    "numbers": {"properties": {"price": 80}},
    "vectors": {"vectors": {"image": [0.1, 1.0]}},
}


def known_and_answered(records: list[ItemChange]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What the experts have learned of items, and what they answer to one who had the first."""
    content = Content(features=ContentFeatures(FEATURES_SETTINGS))
    rows = np.arange(len(records), dtype=np.int32)
    content.put(rows, records)
    mass, rest = np.empty((len(rows), len(content.names)), np.float32), np.empty(len(content.names), np.float32)
    past = {"items": rows[:1], "times": np.zeros(1, np.int64), "kinds": np.zeros(1, np.int16)}
    content.score(Query(now_ms=0, actor=0, scenario=NO_ROW, session_n=0, **past), rows, mass, rest)
    return content.state(), mass


def popularity_in(scenario: str) -> tuple[np.ndarray, np.ndarray]:
    """What popularity learned from events in a scenario, and what it answers in that named 'home'."""
    state, popularity = State(), Popularity()
    events = [Event(user=f"u{n}", item="ab"[n % 2], kind="view", ts=MONDAY_MS + n, scenario="home") for n in range(9)]
    events += [Event(user="v", item="a", kind="view", ts=MONDAY_MS + 10 + n, scenario=scenario) for n in range(9)]
    step = state.fold(EventColumns.from_records(events))
    popularity.grow(state.n_items, state.n_actors)
    seen, left = (np.empty((len(step), len(popularity.names)), np.float32) for _ in range(2))
    popularity.observe(step, seen, left)
    mass, rest = np.empty((2, len(popularity.names)), np.float32), np.empty(len(popularity.names), np.float32)
    query = replace(step.query(len(step) - 1), now_ms=MONDAY_MS + 100, scenario=int(step.scenario[0]))
    popularity.score(query, np.arange(2, dtype=np.int32), mass, rest)
    return seen, mass


def test_every_declared_feature_is_tried() -> None:
    assert {*CHANGES, *ITEM_CHANGES, "scenario"} == set(FEATURES)


@pytest.mark.parametrize("shape", sorted(KINDS))
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_changed_feature_of_events_changes_what_is_learned_and_answered(name: str, shape: str) -> None:
    model = model_of(KINDS[shape])
    past, now_ms = CHANGES[name](PAST, NOW_MS)
    before, after = trained(PAST, NOW_MS), trained(past, now_ms)
    inputs = [getattr(batch.inputs, part) for batch in (before, after) for part in SequenceBatch.__slots__]
    half = len(inputs) // 2
    same = [torch.equal(one, two) for one, two in zip(inputs[:half], inputs[half:], strict=True)]
    assert not all(same)
    if name in SequenceBatch.__slots__:
        assert not same[SequenceBatch.__slots__.index(name)]
    assert np.abs(served(model, past, now_ms) - served(model, PAST, NOW_MS)).max() > 1e-4
    assert np.abs(learned(model, after) - learned(model, before)).max() > 1e-4


@pytest.mark.parametrize("shape", sorted(KINDS))
@pytest.mark.parametrize("name", [None, *sorted(CHANGES)])
def test_training_and_serving_code_the_same_moment_alike(name: str | None, shape: str) -> None:
    model = model_of(KINDS[shape])
    past, now_ms = CHANGES[name](PAST, NOW_MS) if name else (PAST, NOW_MS)
    np.testing.assert_allclose(served(model, past, now_ms), learned(model, trained(past, now_ms)), rtol=1e-4, atol=1e-6)


def test_the_hour_alone_changes_the_answer() -> None:
    model = model_of(KINDS["transformer"])
    past, now_ms = CHANGES["hour"](PAST, NOW_MS)  # the same gaps, on a weekend
    before, after = trained(PAST, NOW_MS).inputs, trained(past, now_ms).inputs
    differ = {name for name in SequenceBatch.__slots__ if not torch.equal(getattr(before, name), getattr(after, name))}
    assert differ == {"hour"}
    assert np.abs(served(model, past, now_ms) - served(model, PAST, NOW_MS)).max() > 1e-4


@pytest.mark.parametrize("name", sorted(ITEM_CHANGES))
def test_a_changed_feature_of_items_changes_what_is_known_and_answered(name: str) -> None:
    known, answered = known_and_answered(items_of())
    known_after, answered_after = known_and_answered(items_of(**ITEM_CHANGES[name]))
    assert any(not np.array_equal(known[part], known_after[part]) for part in known)
    assert np.abs(answered - answered_after).max() > 1e-3
    assert (answered[1] > answered[2]).any()


def test_a_changed_scenario_changes_what_popularity_learns_and_answers() -> None:
    (seen, answered), (seen_after, answered_after) = popularity_in("home"), popularity_in("search")
    assert np.abs(seen - seen_after).max() > 1e-3
    assert np.abs(answered - answered_after).max() > 1e-3
