"""A refitted model on trial: what is said of it depends on what it says of events, not on when they are scored."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from everbrook.engine import trial as trials
from everbrook.engine.kept_arrays import read_kept, write_kept
from everbrook.engine.trial import Trial
from everbrook.errors import DataError
from everbrook.learn.gate_moves import Move
from everbrook.models.sequence import SequenceModel
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.models.sequence_registry import new_model
from everbrook.settings import Settings
from everbrook.settings.gate import GateSettings
from everbrook.settings.sequence import SequenceSettings
from everbrook.types import Step

ITEMS, HISTORY, T0 = 20, 4, 1_767_225_600_000
SHAPE = SequenceSettings(width=8, layers=1, heads=1, history=HISTORY)
SETTINGS = Settings(sequence=SHAPE, gate=GateSettings(block_events=1, candidate_s=3600.0))
RIGHT, OTHER = (new_model(SHAPE, ITEMS, seed=seed).eval() for seed in (1, 2))


@pytest.fixture(autouse=True)
def _scores_all_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(trials, "WORK_S", 60.0)


def events(count: int, first: int = 0) -> Step:
    """Events whose item is the one that RIGHT finds most probable."""
    rng = np.random.default_rng(first)
    items = rng.integers(ITEMS, size=(count, HISTORY)).astype(np.int32)
    times = np.tile(T0 + 1000 * np.arange(HISTORY), (count, 1)).astype(np.int64)
    step = Step(
        ts_ms=np.full(count, T0 + 60_000), actor=np.arange(first, first + count, dtype=np.int32),
        item=np.zeros(count, np.int32), kind=np.zeros(count, np.int16), scenario=np.full(count, -1, np.int16),
        value=np.full(count, np.nan, np.float32), weight=np.ones(count, np.float32),
        n=np.full(count, HISTORY, np.int32), session_n=np.full(count, HISTORY, np.int32), items=items, times=times,
        kinds=np.zeros((count, HISTORY), np.int16),
    )
    expert = SequenceExpert(SHAPE, RIGHT)
    for b in range(count):
        step.item[b] = expert.propose(step.query(b), 1)[0]
    return step


@cache
def ten(n: int) -> Step:
    """The events of a round."""
    return events(10, 10 * n)


def decided(trial: Trial, start: int, stop: int) -> Move | None:
    """What is decided within rounds of ten events."""
    for n in range(start, stop):
        step = ten(n)
        for b in range(10):
            trial.note(step, b)
        move = trial.judge(T0 + 60_000 * (n + 1))
        if move is not None:
            return move
    return None


def test_the_one_that_is_right_takes_the_place_of_the_other() -> None:
    move = decided(Trial(RIGHT, OTHER, SETTINGS), 0, 60)
    assert move is not None
    assert move.kind == "swap"
    assert move.because.startswith("Proven better than the live weights: lately +")


def test_the_one_that_is_wrong_is_given_up_when_its_time_is_over() -> None:
    move = decided(Trial(OTHER, RIGHT, SETTINGS), 0, 70)
    assert move is not None
    assert move.kind == "discard"
    assert "after 3600 s" in move.because


def test_the_gain_is_what_both_say_of_each_event() -> None:
    trial = Trial(RIGHT, OTHER, SETTINGS)
    step = events(5)
    for b in range(5):
        trial.note(step, b)
    step.items[:] = 0  # what was noted is a copy: the memory of a step is used again
    assert trial.judge(T0) is None
    fresh = events(5)
    expected = np.mean([by_hand(RIGHT, fresh, b) - by_hand(OTHER, fresh, b) for b in range(5)])
    assert trial.told()["judged"] == 5
    assert trial.told()["mean_nats"] == pytest.approx(expected, rel=1e-4)


def by_hand(model: SequenceModel, step: Step, b: int) -> float:
    """Log-probability of the item by the expert's masses over all items, its rest spread evenly."""
    expert = SequenceExpert(SHAPE, model)
    mass, rest = np.zeros((ITEMS, 1), np.float32), np.zeros(1, np.float32)
    expert.score(step.query(b), np.arange(ITEMS, dtype=np.int32), mass, rest)
    assert float(mass.sum() + rest[0]) == pytest.approx(1.0, abs=1e-3)
    return float(np.log(mass[step.item[b], 0] + rest[0] / ITEMS))


def test_more_events_than_can_wait_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "MOST_WAITING", 3)
    trial = Trial(RIGHT, OTHER, SETTINGS)
    step = events(5)
    for b in range(5):
        trial.note(step, b)
    assert (trial.told()["waiting"], trial.told()["left_out"]) == (3, 2)


def test_a_trial_that_goes_on_from_what_was_kept_decides_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    whole = decided(Trial(RIGHT, OTHER, SETTINGS), 0, 60)
    assert whole is not None
    path, trial = tmp_path / "refit" / "trial.safetensors", Trial(RIGHT, OTHER, SETTINGS)
    for n in range(60):
        move = decided(trial, n, n + 1)
        if move is not None:
            break
        write_kept(path, "one against other", trial.state())
        kept, judged = read_kept(path, "one against other", "The evidence of a trial"), trial.judged
        assert kept is not None
        trial = Trial(RIGHT, OTHER, SETTINGS)
        trial.load(kept)
        assert trial.judged == judged == 10 * (n + 1)
    assert move == whole


def test_evidence_about_others_and_evidence_that_is_damaged_are_not_taken(tmp_path: Path) -> None:
    path, trial = tmp_path / "trial.safetensors", Trial(RIGHT, OTHER, SETTINGS)
    assert read_kept(path, "one against other", "The evidence of a trial") is None
    decided(trial, 0, 3)
    write_kept(path, "one against other", trial.state())
    assert read_kept(path, "one against a third", "The evidence of a trial") is None
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    with pytest.raises(DataError, match="must be as it was written, of format 1; "):
        read_kept(path, "one against other", "The evidence of a trial")
    path.write_bytes(body[:100])
    with pytest.raises(DataError, match="must be a safetensors file; got "):
        read_kept(path, "one against other", "The evidence of a trial")


def test_evidence_of_another_shape_is_refused() -> None:
    other = Trial(RIGHT, OTHER, Settings(sequence=SHAPE, gate=GateSettings(scenarios=3)))
    with pytest.raises(DataError, match="must have the shape of today's"):
        Trial(RIGHT, OTHER, SETTINGS).load(other.state())


def test_without_an_event_nothing_is_decided() -> None:
    assert Trial(RIGHT, OTHER, SETTINGS).judge(T0) is None
