"""The published model as an expert: prepared answers are those of asking anew; what is unknown gets no mass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everbrook.models.sequence_expert import SequenceExpert
from everbrook.models.sequence_registry import new_model
from everbrook.settings.sequence import SequenceSettings
from everbrook.types import NO_ROW, Query, Step

N, H = 40, 12


def made_step(events: int, seed: int = 0) -> Step:
    rng = np.random.default_rng(seed)
    ts_ms = np.sort(rng.integers(0, 10**9, events)) + 10**12
    return Step(
        ts_ms=ts_ms, actor=rng.integers(0, 9, events).astype(np.int32),
        item=rng.integers(0, N + 5, events).astype(np.int32),
        kind=np.zeros(events, np.int16), scenario=np.zeros(events, np.int16), value=np.full(events, np.nan, np.float32),
        weight=np.ones(events, np.float32), n=rng.integers(0, H + 1, events).astype(np.int32),
        session_n=np.zeros(events, np.int32), items=rng.integers(0, N + 5, (events, H)).astype(np.int32),
        times=ts_ms[:, None] - np.sort(rng.integers(0, 10**6, (events, H)))[:, ::-1],
        kinds=np.zeros((events, H), np.int16),
    )


@pytest.fixture(params=["transformer", "recurrent"])
def expert(request: pytest.FixtureRequest) -> SequenceExpert:
    settings = SequenceSettings(kind=request.param, width=8, layers=2, history=6)
    model = new_model(settings, N, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.1)
    return SequenceExpert(settings, model)


def asked(expert: SequenceExpert, query: Query, rows: np.ndarray) -> tuple[np.ndarray, float]:
    mass, rest = np.empty((len(rows), 1), np.float32), np.empty(1, np.float32)
    expert.score(query, rows, mass, rest)
    return mass[:, 0], float(rest[0])


def test_mass_and_rest_sum_to_one(expert: SequenceExpert) -> None:
    mass, rest = asked(expert, made_step(5).query(4), np.arange(N, dtype=np.int32))
    assert mass.sum() + rest == pytest.approx(1.0, abs=1e-5)


def test_a_prepared_answer_is_the_answer_of_asking_anew(expert: SequenceExpert) -> None:
    step = made_step(40)
    rows = np.arange(N, dtype=np.int32)
    anew = [asked(expert, step.query(b), rows) for b in range(40)]
    expert.prepare(step)
    for b in range(40):
        mass, rest = asked(expert, step.query(b), rows)
        np.testing.assert_allclose(mass, anew[b][0], rtol=1e-5, atol=1e-6)
        assert rest == anew[b][1] or (np.isnan(rest) and np.isnan(anew[b][1]))


def test_observe_says_what_score_would_have_said(expert: SequenceExpert) -> None:
    step = made_step(40)
    expert.prepare(step)
    mass, rest = np.empty((40, 1), np.float32), np.empty((40, 1), np.float32)
    expert.observe(step.slice(0, 7), mass[:7], rest[:7])
    expert.observe(step.slice(7, 40), mass[7:], rest[7:])
    for b in range(40):
        alone = asked(expert, step.query(b), step.item[b : b + 1])
        assert mass[b, 0] == pytest.approx(alone[0][0], abs=1e-7)
        assert np.isnan(rest[b, 0]) == np.isnan(alone[1])


def test_an_event_that_was_not_prepared_finds_the_expert_asleep(expert: SequenceExpert) -> None:
    step = made_step(6)
    mask = np.array([True, False] * 3) & (step.n > 0)
    expert.prepare(step, mask)
    mass, rest = np.empty((6, 1), np.float32), np.empty((6, 1), np.float32)
    expert.observe(step, mass, rest)
    assert np.isnan(rest[~mask, 0]).all()
    assert not mass[~mask].any()


def test_items_that_the_model_does_not_know_get_no_mass(expert: SequenceExpert) -> None:
    mass, _ = asked(expert, made_step(5).query(4), np.array([NO_ROW, N, N + 100], np.int32))
    assert not mass.any()


def test_without_a_known_history_the_expert_sleeps(expert: SequenceExpert) -> None:
    query = Query(
        now_ms=10**12, actor=NO_ROW, scenario=NO_ROW, items=np.array([N, N + 1], np.int32),
        times=np.zeros(2, np.int64), kinds=np.zeros(2, np.int16), session_n=0,
    )
    assert np.isnan(asked(expert, query, np.arange(3, dtype=np.int32))[1])
    assert len(expert.propose(query, 5)) == 0


@pytest.mark.parametrize("prepared", [False, True])
def test_propose_gives_the_rows_of_highest_score(expert: SequenceExpert, prepared: bool) -> None:
    step = made_step(9)
    if prepared:
        expert.propose(step.query(3), 7)
        expert.prepare(step)
    for b in np.flatnonzero(step.n > 3):
        query = step.query(int(b))
        mass, _ = asked(expert, query, np.arange(N, dtype=np.int32))
        np.testing.assert_array_equal(expert.propose(query, 7), np.argsort(-mass, kind="stable")[:7])


def test_queries_that_are_foreseen_get_the_answers_that_they_get_alone(expert: SequenceExpert) -> None:
    step, rows = made_step(9), np.arange(N, dtype=np.int32)
    queries = [step.query(b) for b in range(9)]
    alone = [(expert.propose(query, 7), asked(expert, query, rows)[0]) for query in queries]
    expert.publish(expert.model)  # forgets them
    expert.foresee(queries, 7)
    for query, (best, mass) in zip(queries, alone, strict=True):
        np.testing.assert_array_equal(expert.propose(query, 7), best)
        np.testing.assert_allclose(asked(expert, query, rows)[0], mass, rtol=1e-4)
    mass, rest = np.empty((9, 1), np.float32), np.empty((9, 1), np.float32)
    expert.observe(step, mass, rest)
    assert np.isnan(rest).all()  # what lists asked for is not what events are held against


def test_publishing_another_model_changes_the_answers(expert: SequenceExpert) -> None:
    step = made_step(5)
    query, rows = step.query(int(np.argmax(step.n))), np.arange(N, dtype=np.int32)
    before = asked(expert, query, rows)[0]
    assert expert.model is not None
    expert.publish(new_model(expert.model.settings, N, seed=9))
    assert np.abs(asked(expert, query, rows)[0] - before).max() > 1e-4
    expert.publish(None)
    assert np.isnan(asked(expert, query, rows)[1])


def test_because_names_an_item_of_the_history(expert: SequenceExpert) -> None:
    step = made_step(5)
    query = step.query(int(np.argmax(step.n)))
    because = expert.because(query, np.arange(N, dtype=np.int32))
    assert set(because.tolist()) <= set(query.items[-6:].tolist())
    assert expert.because(query, np.array([N + 2], np.int32))[0] == NO_ROW
