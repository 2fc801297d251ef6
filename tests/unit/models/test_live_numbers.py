"""The numbers that serve are those that learn: the same names and shapes, and states alike."""

from __future__ import annotations

import numpy as np
from live_tensors import states_as_plain

from everbrook.models.live_network import LiveNetwork
from everbrook.models.live_numbers import LiveNumbers
from everbrook.models.live_one import gap_edges, state_of, weights_of
from everbrook.models.live_windows import windows_of
from everbrook.settings.live import LiveSettings

SETTINGS = LiveSettings(width=8, history=6, kinds=3, time_buckets=7)


def test_they_have_the_names_and_shapes_of_the_network() -> None:
    for settings in (SETTINGS, LiveSettings()):
        network = LiveNetwork(settings).arrays()
        numbers = LiveNumbers(settings).views
        assert {name: (a.shape, a.dtype) for name, a in numbers.items()} == {
            name: (a.shape, a.dtype) for name, a in network.items()
        }


def test_states_are_those_of_the_tensors() -> None:
    network, made = LiveNetwork(SETTINGS), np.random.default_rng(4)
    network.load({
        name: array + made.normal(0.0, 0.3, array.shape).astype(np.float32) for name, array in network.arrays().items()
    })  # fmt: skip
    numbers = LiveNumbers(SETTINGS)
    numbers.load(network.arrays())
    rng = np.random.default_rng(5)
    for length in range(1, SETTINGS.history + 1):
        rows = rng.normal(size=(length, SETTINGS.width)).astype(np.float32)
        times = np.cumsum(rng.integers(1, 10**7, length)).astype(np.int64)
        kinds = rng.integers(0, 5, length).astype(np.int16)
        now_ms = times[-1:] + 12_345
        items = np.arange(length, dtype=np.int32)[None]
        windows = windows_of(items, times[None], kinds[None], np.array([length], np.int32), now_ms, SETTINGS)
        wanted = states_as_plain(network, rows[windows.flat], windows)[0]
        plain, found = (rows, items[0, :0], rows), np.empty(SETTINGS.width, np.float32)
        edges, weights = gap_edges(SETTINGS.time_buckets), weights_of(numbers)
        state_of(plain, items[0], times, kinds, int(now_ms[0]), edges, weights, found)
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)


def test_what_is_loaded_is_a_copy_and_so_is_what_is_given() -> None:
    network, numbers = LiveNetwork(SETTINGS), LiveNumbers(SETTINGS)
    views = numbers.views["kind"]
    given = network.arrays()
    numbers.load(given)
    given["kind"][:] = 7.0
    assert numbers.views["kind"] is views
    np.testing.assert_array_equal(views, network.arrays()["kind"])
    numbers.arrays()["kind"][:] = 7.0
    np.testing.assert_array_equal(views, network.arrays()["kind"])
