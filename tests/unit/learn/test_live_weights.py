"""The live weights: which earlier ones are kept to compare with, and what going back leaves behind."""

from __future__ import annotations

import math

import numpy as np

from everbrook.learn.live_weights import LiveWeights
from everbrook.settings.live import LiveSettings

MINUTE_MS = 60_000
NOBODY = np.zeros(0, np.int32)
ROWS = np.array([1, 3], np.int32)


def weights(**settings: float) -> LiveWeights:
    made = LiveWeights(LiveSettings(width=4, **settings))  # type: ignore[arg-type]
    made.grow(8)
    return made


def moved(live: LiveWeights, ts_ms: int) -> np.ndarray:
    live.step(ROWS, np.ones((2, 4), np.float32), (1.0, 1.0), ts_ms)
    return live.rows.table[ROWS].copy()


def test_on_a_slow_stream_the_recent_weights_are_as_old_as_so_many_events() -> None:
    live = weights(recent_s=60.0, recent_events=1000)
    for n in range(60):  # 100 events a minute
        live.begin(100 * n, n * MINUTE_MS, NOBODY)
        if n > 50:
            assert 1000 <= 100 * n - live.recent.offset <= 2100
    assert math.isclose(live.events_s, 100 / 60)


def test_while_little_is_learned_the_recent_weights_are_younger() -> None:
    live = weights(recent_s=60.0, recent_events=10_000)
    for n in range(40):
        live.begin(100 * (n + 1), n * MINUTE_MS, NOBODY)
        if n > 2:
            assert live.recent.taken
            assert 100 * n - live.recent.offset <= 200 + 0.6 * 100 * n


def test_on_a_fast_stream_they_are_as_old_as_so_much_time() -> None:
    live = weights(recent_s=60.0, recent_events=1000)
    for n in range(200):  # 1,000 events a second
        live.begin(1000 * n, 1000 * n, NOBODY)
        if live.recent.taken:
            assert 60_000 <= 1000 * n - live.recent.ts_ms < 120_000
    assert math.isclose(live.events_s, 1000.0)


def test_after_going_back_nothing_that_was_undone_can_become_the_recent_weights() -> None:
    live = weights(recent_s=60.0, recent_events=0)
    live.begin(0, 0, NOBODY)
    good = moved(live, 0)
    live.begin(10, MINUTE_MS, NOBODY)
    live.begin(20, 2 * MINUTE_MS, NOBODY)
    assert live.recent.ts_ms == MINUTE_MS
    moved(live, 2 * MINUTE_MS)
    live._recent.waiting.take(live.network, 25, 2 * MINUTE_MS)  # waits, and shares what is wrong
    live.begin(30, 2 * MINUTE_MS + 1, NOBODY)
    live.back_to(live.recent)
    np.testing.assert_array_equal(live.rows.table[ROWS], good)
    live.begin(40, 3 * MINUTE_MS, NOBODY)
    moved(live, 3 * MINUTE_MS)
    assert live.recent.offset == 30
    np.testing.assert_array_equal(live.recent.rows_of(live.rows.table, ROWS), good)


def test_a_row_is_placed_once_even_if_its_gradients_never_move_it() -> None:
    live = weights(place=0.5)
    targets = np.array([5], np.int32)
    items, held = np.array([[1, 3]], np.int32), np.ones((1, 2), np.bool_)
    live.rows.table[ROWS] = 1.0
    live.place(targets, items, held)
    placed = live.rows.table[5].copy()
    assert (placed > 0.3).all()
    live.step(targets, np.full((1, 4), np.nan, np.float32), (1.0, 1.0), 0)
    live.place(targets, items, held)
    np.testing.assert_array_equal(live.rows.table[5], placed)
    assert live.counts["rows_not_finite"] == 1
