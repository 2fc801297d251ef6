"""The compiled state of one history equals that of the network; the compiled prior that of plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from live_tensors import states_as_plain

from everbrook.features.moments import gap_codes
from everbrook.models.live_network import LiveNetwork
from everbrook.models.live_one import History, gap_code, states_after
from everbrook.models.live_prior import LivePrior
from everbrook.models.live_windows import windows_of
from everbrook.models.popularity import Popularity
from everbrook.settings.live import LiveSettings
from everbrook.state import State
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

NOTHING = np.empty(0, np.int32)


def network_of(settings: LiveSettings, seed: int) -> LiveNetwork:
    """Weights as they may be after learning, none of them 0."""
    network, rng = LiveNetwork(settings), np.random.default_rng(seed)
    network.load({
        name: array + rng.normal(0.0, 0.3, array.shape).astype(np.float32) for name, array in network.arrays().items()
    })  # fmt: skip
    return network


@pytest.mark.parametrize("width", [4, 8, 64])
def test_one_state_equals_that_of_the_network_also_after_it_changed(width: int) -> None:
    settings = LiveSettings(width=width, history=5, kinds=3, time_buckets=6)
    rng = np.random.default_rng(width)
    table = rng.normal(0.0, 0.5, (30, width)).astype(np.float32)
    network, other = network_of(settings, 1), network_of(settings, 2)
    for n in (1, 2, 5, 9):
        items = rng.integers(0, 30, n).astype(np.int32)
        times = 1_000 * np.cumsum(rng.integers(-1, 20, n)).astype(np.int64)
        kinds = rng.integers(0, 6, n).astype(np.int16)
        now_ms = int(times[-1]) + int(rng.integers(0, 90_000))
        windows = windows_of(
            items[None], times[None], kinds[None], np.array([n], np.int32), np.array([now_ms]), settings
        )
        wanted = states_as_plain(network, table[windows.flat], windows)[0]
        ahead = gap_code(now_ms - int(times[-1]), settings.time_buckets)
        read = slice(-settings.history, None)
        history = History(items[read], times[read], kinds[read], ahead)
        found = states_after(network, table, (NOTHING, table), [history], settings)[0]
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)
        network.load(other.arrays())


def test_several_states_are_those_of_each_alone_with_rows_that_have_other_values() -> None:
    settings, rng = LiveSettings(width=16, history=7, kinds=3, time_buckets=6), np.random.default_rng(0)
    table, network = rng.normal(0.0, 0.5, (30, 16)).astype(np.float32), network_of(settings, 3)
    place, values = np.full(20, -1, np.int32), rng.normal(0.0, 0.5, (4, 16)).astype(np.float32)
    place[[3, 7, 11, 19]] = np.arange(4)
    as_it_is = table.copy()
    as_it_is[[3, 7, 11, 19]] = values
    histories = []
    for n in (1, 7, 3, 2):
        times = 1_000 * np.cumsum(rng.integers(0, 9, n)).astype(np.int64)
        items, kinds = rng.integers(0, 30, n).astype(np.int32), rng.integers(0, 3, n).astype(np.int16)
        histories.append(History(items, times, kinds, n % 6))
    together = states_after(network, table, (place, values), histories, settings)
    for history, found in zip(histories, together, strict=True):
        alone = states_after(network, as_it_is, (NOTHING, table), [history], settings)[0]
        np.testing.assert_array_equal(found, alone)


def test_the_code_of_one_gap_is_that_of_many() -> None:
    gaps = [-5, 0, 1, 1_000, 1_001, 3_000, 7_500, 10**6, 10**12]
    for buckets in (2, 6, 24, 64):
        assert [gap_code(gap, buckets) for gap in gaps] == gap_codes(np.array(gaps), buckets).tolist()


def test_the_logarithms_of_the_prior_are_those_of_its_probabilities() -> None:
    state, popularity = State(), Popularity()
    step = state.fold(World(preset("shop")).all_events().slice(0, 600))
    popularity.grow(state.n_items, 0)
    columns = len(popularity.names)
    popularity.observe(step, np.empty((600, columns), np.float32), np.empty((600, columns), np.float32))
    prior = LivePrior(popularity, 0.02)
    prior.weights = np.random.default_rng(0).dirichlet(np.ones(columns))
    rows, now_ms = np.arange(state.n_items, dtype=np.int32), int(step.ts_ms[-1]) + 1000
    for scenario in (-1, int(step.scenario.max())):
        asked = (rows, scenario, now_ms, state.n_items)
        np.testing.assert_allclose(prior.logs_of(*asked), np.log(prior.of(*asked)), rtol=1e-6, atol=1e-6)
        everything = prior.logs_of_all(scenario, now_ms, state.n_items)
        np.testing.assert_allclose(everything, prior.logs_of(*asked), rtol=1e-5, atol=1e-5)
    strange = (int(step.scenario.max()) + 7, now_ms, state.n_items)
    np.testing.assert_allclose(prior.logs_of_all(*strange), prior.logs_of(rows, *strange), rtol=1e-5, atol=1e-5)
