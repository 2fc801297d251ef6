"""The live network equals a loop over events; windows and first values are what they say."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from live_tensors import states_as_plain

from everbrook.features.moments import gap_codes
from everbrook.models.live_network import LiveNetwork, states_of
from everbrook.models.live_rows import LiveRows
from everbrook.models.live_windows import Windows, windows_of
from everbrook.settings.live import LiveSettings

SETTINGS = LiveSettings(width=8, history=5, kinds=3, time_buckets=6)


def made_network() -> LiveNetwork:
    network, rng = LiveNetwork(SETTINGS), np.random.default_rng(1)
    network.load({
        name: array + rng.normal(0.0, 0.2, array.shape).astype(np.float32) for name, array in network.arrays().items()
    })  # fmt: skip
    return network


def made_windows(count: int, seed: int = 0) -> Windows:
    rng = np.random.default_rng(seed)
    n = rng.integers(1, SETTINGS.history + 1, count)
    held = np.arange(SETTINGS.history) >= SETTINGS.history - n[:, None]
    shape = held.shape
    return Windows(
        rng.integers(0, 30, shape).astype(np.int32) * held, held, rng.integers(0, 3, shape), rng.integers(0, 6, shape),
        rng.integers(0, 6, count),
    )  # fmt: skip


def test_states_equal_a_loop_over_events() -> None:
    network, windows = made_network(), made_windows(12)
    rows = np.random.default_rng(2).normal(size=(30, SETTINGS.width)).astype(np.float32)
    together = states_of(network, rows[windows.flat], windows)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, states_as_plain(network, rows[windows.flat], windows), rtol=2e-4, atol=2e-5)


def test_a_state_does_not_depend_on_who_else_is_asked_about() -> None:
    network, windows = made_network(), made_windows(40)
    rows = np.random.default_rng(2).normal(size=(30, SETTINGS.width)).astype(np.float32)
    together = states_of(network, rows[windows.flat], windows)
    alone = windows.take(np.array([17]))
    np.testing.assert_allclose(states_of(network, rows[alone.flat], alone)[0], together[17], rtol=1e-4, atol=1e-5)


def test_windows_hold_the_last_events_at_their_end() -> None:
    items = np.array([[5, 6, 7, 8, 9, 1, 2], [4, 3, 0, 0, 0, 0, 0]], np.int32)
    times = np.array([[0, 1, 3, 7, 8, 9, 60]], np.int64).repeat(2, 0) * 1000
    kinds = np.array([[0, 1, 2, 3, 0, 1, 9]], np.int16).repeat(2, 0)
    windows = windows_of(items, times, kinds, np.array([7, 2], np.int32), np.array([70_000, 5_000]), SETTINGS)
    assert windows.items.tolist() == [[7, 8, 9, 1, 2], [0, 0, 0, 4, 3]]
    assert windows.held.sum(1).tolist() == [5, 2]
    assert windows.flat.tolist() == [7, 8, 9, 1, 2, 4, 3]
    assert windows.kinds[0].tolist() == [2, 2, 0, 1, 2]  # beyond the last kind with a vector of its own
    gaps_ms = np.array([2000, 4000, 1000, 1000, 51_000])
    assert windows.gaps[0].tolist()[1:] == gap_codes(gaps_ms, 6).tolist()[1:]
    assert windows.gaps[1].tolist()[3:] == gap_codes(np.array([0, 1000]), 6).tolist()
    assert windows.ahead.tolist() == gap_codes(np.array([10_000, 4_000]), 6).tolist()


def test_first_values_depend_on_the_row_and_the_seed_alone() -> None:
    at_once, in_steps, other = LiveRows(7, 0.1, 3), LiveRows(7, 0.1, 3), LiveRows(7, 0.1, 4)
    at_once.grow(5000)
    for items in (1, 17, 1025, 5000):
        in_steps.grow(items)
    other.grow(5000)
    np.testing.assert_array_equal(at_once.table[:5000], in_steps.table[:5000])
    assert not np.array_equal(at_once.table[:5000], other.table[:5000])
    assert at_once.table[:5000].std() == pytest.approx(0.1, rel=0.02)
    assert abs(at_once.table[:5000].mean()) < 0.002


def test_a_row_that_begins_again_is_as_at_first_sight() -> None:
    rows = LiveRows(6, 0.1, 0)
    rows.grow(50)
    before = rows.table[:50].copy()
    rows.table[[3, 9]] += 1.0
    rows.reset(np.array([3, 9], np.int32))
    np.testing.assert_array_equal(rows.table[:50], before)


def test_states_change_with_the_numbers() -> None:
    network, windows = made_network(), made_windows(12)
    rows = np.random.default_rng(2).normal(size=(30, SETTINGS.width)).astype(np.float32)
    network.load({name: array + np.float32(0.1) for name, array in network.arrays().items()})
    found = states_of(network, rows[windows.flat], windows)
    np.testing.assert_allclose(found, states_as_plain(network, rows[windows.flat], windows), rtol=2e-4, atol=2e-5)


def test_a_state_begins_as_the_vector_of_the_last_item() -> None:
    """Both parts that add to it end in zeros before anything is learned; a seed says what the others are."""
    network, windows = LiveNetwork(SETTINGS), made_windows(6)
    rows = np.random.default_rng(2).normal(size=(30, SETTINGS.width)).astype(np.float32)
    found = states_of(network, rows[windows.flat], windows)
    last = math.sqrt(SETTINGS.width) * rows[windows.items[:, -1]] + network.views["kind"][windows.kinds[:, -1]]
    wanted = (last - last.mean(1, keepdims=True)) / last.std(1, keepdims=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    again, other = LiveNetwork(SETTINGS), LiveNetwork(msgspec.structs.replace(SETTINGS, seed=1))
    assert all(np.array_equal(array, again.views[name]) for name, array in network.views.items())
    assert not np.array_equal(network.views["project.weight"], other.views["project.weight"])
    most = 1 / math.sqrt(SETTINGS.width)
    assert np.abs(network.views["project.weight"]).max() == pytest.approx(most, rel=0.05)
    assert network.views["kind"].std() == pytest.approx(0.02, rel=0.4)
