"""The floor of the last hour, against counting everything anew for each event."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.evaluate.floors import HourPopularity
from everbrook.testing.streams import ACTORS, fold_step
from everbrook.types import Step

WINDOW_MS = 50_000
NONE = np.empty(0, np.int32)


def stream(seed: int, items: int = 12, events: int = 300) -> Step:
    """Events some seconds apart, with gaps longer than the window."""
    rng = np.random.default_rng(seed)
    gaps = rng.integers(0, 6_000, events) + np.where(rng.random(events) < 0.02, 2 * WINDOW_MS, 0)
    ts_ms = 1_750_000_000_000 + np.cumsum(gaps)
    actor, item = (rng.integers(0, below, events).astype(np.int32) for below in (ACTORS, items))
    return fold_step(ts_ms, actor, item)


def slow_rank(step: Step, b: int, item: int, left_out: list[int]) -> int:
    """By counting the events before b that are not older than the window."""
    since_ms = int(step.ts_ms[b]) - WINDOW_MS
    recent = [int(step.item[a]) for a in range(b) if step.ts_ms[a] >= since_ms]
    counts = {row: recent.count(row) for row in set(recent) - set(left_out)}
    own = counts.get(item, 0)
    return sum(count >= own for count in counts.values()) if own else 0


@pytest.mark.parametrize("pieces", [[300], [1, 99, 0, 200], [50] * 6])
def test_ranks_are_those_of_a_full_count(pieces: list[int]) -> None:
    step, hour, start = stream(1), HourPopularity(WINDOW_MS), 0
    for size in pieces:
        piece = step.slice(start, start + size)
        hour.extend(piece)
        for b in range(size):
            if b % 3 == 0:
                item = int(piece.item[b])
                assert hour.rank(size - b, item, NONE) == slow_rank(step, start + b, item, [])
        hour.finish()
        start += size


def test_what_is_left_out_does_not_compete() -> None:
    step, hour = stream(2), HourPopularity(WINDOW_MS)
    hour.extend(step)
    for b in range(len(step)):
        item = int(step.item[b])
        left_out = [row for row in (0, 3, 7) if row != item]
        assert hour.rank(len(step) - b, item, np.array(left_out, np.int32)) == slow_rank(step, b, item, left_out)


def test_an_event_does_not_count_for_itself() -> None:
    hour = HourPopularity(WINDOW_MS)
    hour.extend(fold_step(np.array([1_000, 2_000]), np.array([0, 1], np.int32), np.array([4, 4], np.int32)))
    assert hour.rank(2, 4, NONE) == 0
    assert hour.rank(1, 4, NONE) == 1


def test_items_of_any_row_have_room() -> None:
    hour = HourPopularity(WINDOW_MS)
    hour.extend(fold_step(np.array([1_000, 2_000]), np.array([0, 1], np.int32), np.array([5_000, 5_000], np.int32)))
    assert hour.rank(1, 5_000, NONE) == 1
