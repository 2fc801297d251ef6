"""Coming back is learned: much where people do, nothing where they do not."""

from __future__ import annotations

import numpy as np

from everbrook.models.repeats import Repeats
from everbrook.settings.repeats import RepeatsSettings
from everbrook.testing.streams import fold_step
from everbrook.types import NO_ROW, Step

START_MS = 1_700_000_000_000


def stream(repeating: bool, events: int = 600) -> Step:
    """Four actors who come back to the item before the last in turn, or who never see an item twice."""
    rng = np.random.default_rng(1)
    items, past = [], {a: [0, 1] for a in range(4)}
    for b in range(events):
        own = past[b % 4]
        own.append(own[-2] if repeating and rng.random() < 0.9 else 10 + b)
        items.append(own[-1])
    ts = START_MS + 5_000 * np.arange(events)
    return fold_step(ts, (np.arange(events) % 4).astype(np.int32), np.array(items, np.int32))


def fed(step: Step) -> tuple[Repeats, np.ndarray]:
    expert = Repeats()
    rest = np.empty((len(step), 3), np.float32)
    expert.observe(step, np.empty((len(step), 3), np.float32), rest)
    return expert, rest


def test_little_is_given_to_repeats_where_nobody_comes_back() -> None:
    assert (fed(stream(False))[1][-50:] > 0.97).all()


def test_much_is_given_to_the_item_people_come_back_to() -> None:
    step = stream(True)
    expert, _ = fed(step)
    query = step.query(len(step) - 1)
    assert expert.propose(query, 1)[0] == query.items[-2]
    mass, rest = np.empty((1, 3), np.float32), np.empty(3, np.float32)
    expert.score(query, query.items[-2:-1], mass, rest)
    assert (mass[0] > 0.6).all()


def test_an_item_of_ones_own_comes_because_of_itself() -> None:
    step = stream(True)
    expert, _ = fed(step)
    query = step.query(len(step) - 1)
    assert expert.because(query, np.array([query.items[-1], 99_999], np.int32)).tolist() == [query.items[-1], NO_ROW]


def test_a_full_table_forgets_half_and_follows_a_change() -> None:
    expert = Repeats(RepeatsSettings(memory=64))
    for repeating in (True, False):
        step = stream(repeating, 2_000)
        rest = np.empty((len(step), 3), np.float32)
        expert.observe(step, np.empty((len(step), 3), np.float32), rest)
    assert (rest[-20:] > 0.9).all()
