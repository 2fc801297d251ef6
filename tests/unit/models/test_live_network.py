"""The live network equals a loop over events; windows and first values are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from everbrook.features.moments import gap_codes
from everbrook.models.live_network import FEW_PLACES, LiveNetwork, states_of
from everbrook.models.live_rows import LiveRows
from everbrook.models.live_state import plain_states
from everbrook.models.live_windows import Windows, windows_of
from everbrook.settings.live import LiveSettings

SETTINGS = LiveSettings(width=8, history=5, kinds=3, time_buckets=6)


def made_network() -> LiveNetwork:
    network = LiveNetwork(SETTINGS)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network.eval()


def made_windows(count: int, seed: int = 0) -> Windows:
    rng = np.random.default_rng(seed)
    n = rng.integers(1, SETTINGS.history + 1, count)
    held = np.arange(SETTINGS.history) >= SETTINGS.history - n[:, None]
    shape = held.shape
    return Windows(
        rng.integers(0, 30, shape).astype(np.int32) * held, held, rng.integers(0, 3, shape), rng.integers(0, 6, shape),
        rng.integers(0, 6, count),
    )  # fmt: skip


@torch.no_grad()
def one_by_one(network: LiveNetwork, rows: np.ndarray, windows: Windows, b: int) -> np.ndarray:
    """The recurrence h = keep * h + (1 - keep) * value, event by event."""
    state = torch.zeros(SETTINGS.width)
    for place in np.flatnonzero(windows.held[b]):
        gap = int(windows.gaps[b, place])
        x = torch.from_numpy(rows[windows.items[b, place]]) * math.sqrt(SETTINGS.width)
        x = x + network.kind[int(windows.kinds[b, place])] + network.since[gap]
        value, forget, gate = network.project(network.norm(x)).chunk(3)
        keep = torch.sigmoid(forget + network.remember + network.time[gap])
        state = keep * state + (1 - keep) * value
    y = x + network.out(network.norm_state(state) * functional.silu(gate))
    y = y + network.narrow(functional.relu(network.widen(network.norm_wide(y))))
    return network.norm_out(y + network.ahead[int(windows.ahead[b])]).numpy()


def test_states_equal_a_loop_over_events() -> None:
    network, windows = made_network(), made_windows(12)
    rows = np.random.default_rng(2).normal(size=(30, SETTINGS.width)).astype(np.float32)
    together = states_of(network, rows[windows.flat], windows)
    for b in range(len(windows)):
        np.testing.assert_allclose(together[b], one_by_one(network, rows, windows, b), rtol=2e-4, atol=2e-5)


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


def test_states_by_plain_arrays_equal_those_of_the_network_also_after_it_changed() -> None:
    network, windows = made_network(), made_windows(12)
    rows = np.random.default_rng(2).normal(size=(30, SETTINGS.width)).astype(np.float32)
    other = {name: array + np.float32(0.1) for name, array in network.arrays().items()}
    for _ in range(2):
        plain = plain_states(network.views, rows[windows.flat], windows)
        with torch.no_grad():
            tensors = network(torch.from_numpy(rows[windows.flat]), windows).numpy()
        np.testing.assert_allclose(plain, tensors, rtol=2e-4, atol=2e-5)
        assert plain.dtype == np.float32
        network.load(other)


def test_many_states_and_few_are_the_same() -> None:
    network, windows = made_network(), made_windows(400)
    rows = np.random.default_rng(2).normal(size=(30, SETTINGS.width)).astype(np.float32)
    assert windows.held.sum() > FEW_PLACES
    many = states_of(network, rows[windows.flat], windows)
    few = Windows(*(getattr(windows, name)[:10] for name in ("items", "held", "kinds", "gaps", "ahead")))
    np.testing.assert_allclose(states_of(network, rows[few.flat], few), many[:10], rtol=2e-4, atol=2e-5)
