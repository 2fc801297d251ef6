"""Which points in time are kept, and what going back to one leaves behind."""

from __future__ import annotations

import time

import numpy as np
import pytest

from everbrook.errors import UnknownNameError
from everbrook.learn.ring import SPANS_S, Ring

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


def filled(ring: Ring, until_ms: int, every_ms: int = 10_000) -> None:
    vectors = np.zeros((20, 2), np.float32)
    for number in range(until_ms // every_ms + 1):
        ring.point(f"v{number}", number, number * every_ms, {})
        ring.note(vectors, np.array([number % 20], np.int32))


def test_a_point_of_about_each_age_is_there() -> None:
    ring = Ring(20, 2)
    now_ms = 2 * DAY_MS + 5 * HOUR_MS + 7 * MINUTE_MS
    filled(ring, now_ms)
    ages_s = [(now_ms - point.ts_ms) / 1000 for point in ring.points()]
    for span_s in SPANS_S:
        assert any(span_s <= age_s <= 2 * span_s for age_s in ages_s), (span_s, ages_s)
    assert len(ages_s) <= 2 * len(SPANS_S) + 1


def test_points_beyond_the_longest_span_are_given_up() -> None:
    ring = Ring(20, 2, spans_s=(10.0, 60.0))
    filled(ring, HOUR_MS)
    assert min(point.ts_ms for point in ring.points()) >= HOUR_MS - 2 * MINUTE_MS


def test_a_clock_that_jumps_leaves_a_point_of_every_span() -> None:
    ring = Ring(20, 2)
    filled(ring, 3 * HOUR_MS)
    ring.point("ahead", 0, 400 * DAY_MS, {})
    ring.point("back", 0, 3 * HOUR_MS + 1, {})
    assert {"ahead", "back"} < {point.version for point in ring.points()}
    from_before = [point for point in ring.points() if point.version not in ("ahead", "back")]
    assert {span for point in from_before for span in point.spans} == set(range(len(SPANS_S)))


def test_the_oldest_points_go_where_memory_is_short() -> None:
    vectors = np.zeros((10_000, 16), np.float32)
    ring = Ring(10_000, 16, limit_bytes=1 << 20)
    for number in range(20):
        ring.point(f"v{number}", number, number * HOUR_MS, {})
        ring.note(vectors, np.arange(number * 500, number * 500 + 500, dtype=np.int32))
    ring.point("last", 20, 20 * HOUR_MS, {})
    assert ring.size_bytes < (1 << 20) + 4 * 10_000 + 300 * 70
    assert ring.points()[0].version == "last"


def test_the_dense_part_is_the_one_of_the_point_whatever_became_of_it() -> None:
    ring = Ring(4, 2)
    dense = {"w": np.ones(3, np.float32)}
    ring.point("a", 0, 0, dense)
    dense["w"] += 1
    _, back, _ = ring.rollback(np.zeros((4, 2), np.float32), "a")
    back["w"] += 5
    _, again, _ = ring.rollback(np.zeros((4, 2), np.float32), "a")
    assert again["w"].tolist() == [1.0, 1.0, 1.0]


def test_an_unknown_version_is_named_with_the_known_ones() -> None:
    ring = Ring(4, 2)
    ring.point("v17", 0, 0, {})
    with pytest.raises(UnknownNameError) as raised:
        ring.rollback(np.zeros((4, 2), np.float32), "v18")
    assert str(raised.value) == "Unknown version 'v18'. Did you mean 'v17'? Known: v17."


def test_ten_thousand_rows_are_rolled_back_within_ten_milliseconds() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200_000, 64)).astype(np.float32)
    squares = np.zeros(200_000, np.float32)
    before = vectors.copy()
    taken_s = []
    for _ in range(5):
        ring = Ring(200_000, 64, 1)
        ring.point("start", 0, 0, {})
        for number in range(4):
            rows = rng.choice(200_000, 2_500, replace=False).astype(np.int32)
            ring.note((vectors, squares), rows)
            vectors[rows] += 1
            ring.point(f"v{number}", 0, number * 10_000, {})
        began = time.process_time()
        ring.rollback((vectors, squares), "start")
        taken_s.append(time.process_time() - began)
        np.testing.assert_array_equal(vectors, before)
    assert min(taken_s) < 0.010
