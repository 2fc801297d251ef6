"""The compiled state of one history equals that of the network; the compiled prior that of plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from live_tensors import network_of, states_as_plain
from msgspec.structs import replace

from everbrook.models.live_kernels import scored
from everbrook.models.live_network import LiveNetwork
from everbrook.models.live_one import gap_edges, state_of, weights_of
from everbrook.models.live_prior import LivePrior
from everbrook.models.live_states import LiveStates, states_of
from everbrook.models.live_windows import windows_of
from everbrook.models.popularity import Popularity
from everbrook.models.portion import Portion
from everbrook.settings.live import LiveSettings
from everbrook.state import State
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World
from everbrook.types import F32, I32, Query

Plain = tuple[F32, I32, F32]
NOTHING = np.empty(0, np.int32)


@pytest.mark.parametrize("history", [5, 16, 37])
@pytest.mark.parametrize("width", [4, 7, 8, 64])
def test_one_state_equals_that_of_the_network_also_after_it_changed(width: int, history: int) -> None:
    settings = LiveSettings(width=width, history=history, kinds=3, time_buckets=6)
    rng = np.random.default_rng(width)
    table = rng.normal(0.0, 0.5, (30, width)).astype(np.float32)
    network, other = network_of(settings, 1), network_of(settings, 2)
    for n in (1, 2, 5, 9, 40):
        items = rng.integers(0, 30, n).astype(np.int32)
        times = 1_000 * np.cumsum(rng.integers(-1, 20, n)).astype(np.int64)
        kinds = rng.integers(0, 6, n).astype(np.int16)
        now_ms = int(times[-1]) + int(rng.integers(0, 90_000))
        windows = windows_of(
            items[None], times[None], kinds[None], np.array([n], np.int32), np.array([now_ms]), settings
        )
        wanted = states_as_plain(network, table[windows.flat], windows)[0]
        read, found = slice(-settings.history, None), np.empty(width, np.float32)
        state_of(
            (table, NOTHING, table), items[read], times[read], kinds[read], now_ms, gap_edges(settings.time_buckets),
            weights_of(network), found,
        )  # fmt: skip
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)
        network.load(other.arrays())


def asked(n: int, actor: int, rng: np.random.Generator) -> Query:
    times = 1_000 * np.cumsum(rng.integers(0, 9, n)).astype(np.int64)
    items, kinds = rng.integers(0, 30, n).astype(np.int32), rng.integers(0, 3, n).astype(np.int16)
    return Query(int(times[-1]) + 9_000, actor, -1, items, times, kinds, n)


def states(queries: list[Query], plain: Plain, network: LiveNetwork, settings: LiveSettings, kept: LiveStates) -> F32:
    portion, out = Portion(queries), np.empty((len(queries), settings.width), np.float32)
    given = (portion.items, portion.times, portion.kinds, portion.numbers, portion.actors)
    states_of(
        given, np.arange(len(queries)), plain, gap_edges(settings.time_buckets), weights_of(network),
        (kept.keys, kept.values), (settings.history, int(1000 * settings.state_s), 0), out,
    )  # fmt: skip
    return out


def test_several_states_are_those_of_each_alone_with_rows_that_have_other_values() -> None:
    settings, rng = LiveSettings(width=16, history=7, kinds=3, time_buckets=6), np.random.default_rng(0)
    table, network = rng.normal(0.0, 0.5, (30, 16)).astype(np.float32), network_of(settings, 3)
    place, values = np.full(20, -1, np.int32), rng.normal(0.0, 0.5, (4, 16)).astype(np.float32)
    place[[3, 7, 11, 19]] = np.arange(4)
    as_it_is = table.copy()
    as_it_is[[3, 7, 11, 19]] = values
    queries, none = [asked(n, n, rng) for n in (1, 7, 3, 2, 9)], LiveStates(settings)
    together = states(queries, (table, place, values), network, settings, none)
    for query, found in zip(queries, together, strict=True):
        alone = states([query], (as_it_is, NOTHING, table), network, settings, LiveStates(settings))[0]
        np.testing.assert_array_equal(found, alone)


def changed(values: Any, at: int) -> Any:
    """The same with one that is another."""
    other = values.copy()
    other[at] += 1 if other[at] < 29 or other[at] > 1_000 else -1
    return other


def test_a_state_is_kept_until_something_happens_or_it_is_old_or_its_actor_is_forgotten() -> None:
    settings, rng = LiveSettings(width=8, history=7, kinds=3, time_buckets=6, state_s=2.0), np.random.default_rng(1)
    table, network = rng.normal(0.0, 0.5, (30, 8)).astype(np.float32), network_of(settings, 3)
    kept = LiveStates(settings)
    one, stranger = asked(6, 41, rng), asked(5, -1, rng)
    first = states([one, stranger], (table, NOTHING, table), network, settings, kept)
    table *= np.float32(-1.0)
    plain = (table, NOTHING, table)
    fresh = states([one, stranger], plain, network, settings, LiveStates(settings))
    again = states([one, stranger], plain, network, settings, kept)
    np.testing.assert_array_equal(again, [first[0], fresh[1]])  # of strangers nothing is kept
    changes = (
        {"items": np.append(one.items[:-1], 7).astype(np.int32)}, {"times": one.times - 1}, {"kinds": one.kinds ^ 1},
        {"now_ms": one.now_ms + 2_001}, {"items": one.items[1:], "times": one.times[1:], "kinds": one.kinds[1:]},
        *({"items": changed(one.items, at)} for at in range(5)), {"items": one.items[[1, 0, 2, 3, 4, 5]]},
        {"times": changed(one.times, 2)}, {"kinds": changed(one.kinds, 3)},
    )  # fmt: skip
    for change in changes:
        states([one], plain, network, settings, kept)
        other = replace(one, **change)
        wanted = states([other], plain, network, settings, LiveStates(settings))
        np.testing.assert_array_equal(states([other], plain, network, settings, kept), wanted)
    table *= np.float32(-1.0)
    assert kept.forget_actor(41) == 1
    assert not kept.values.any()
    assert not kept.keys.any()
    np.testing.assert_array_equal(states([one], plain, network, settings, kept)[0], first[0])


def test_of_more_actors_than_there_is_room_for_each_gets_its_own_state() -> None:
    settings, rng = LiveSettings(width=4, history=2, kinds=3, time_buckets=6), np.random.default_rng(2)
    table, network = rng.normal(0.0, 0.5, (30, 4)).astype(np.float32), network_of(settings, 3)
    kept = LiveStates(settings)
    queries = [replace(asked(2, actor, rng), now_ms=100_000) for actor in range(20_000)]
    wanted = states(queries, (table, NOTHING, table), network, settings, LiveStates(settings))
    for _ in range(2):
        np.testing.assert_array_equal(states(queries, (table, NOTHING, table), network, settings, kept), wanted)


def test_the_prior_of_all_items_is_that_of_each_of_them() -> None:
    state, popularity = State(), Popularity()
    step = state.fold(World(preset("shop")).all_events().slice(0, 600))
    popularity.grow(state.n_items, 0)
    columns = len(popularity.names)
    popularity.observe(step, np.empty((600, columns), np.float32), np.empty((600, columns), np.float32))
    prior = LivePrior(popularity, 0.02)
    prior.weights = np.random.default_rng(0).dirichlet(np.ones(columns))
    rows, now_ms, N = np.arange(state.n_items, dtype=np.int32), int(step.ts_ms[-1]) + 1000, state.n_items
    nothing = np.zeros((N, 8), np.float32)
    for scenario in (-1, int(step.scenario.max()), int(step.scenario.max()) + 7):
        plain = prior.of(rows, scenario, now_ms, N)
        np.testing.assert_allclose(prior.of_all(scenario, now_ms, N)(), plain, rtol=1e-5)
        found = np.empty(N, np.float32)  # under weights that lift nothing
        scored(
            (nothing, NOTHING, nothing), nothing[:1], np.zeros(1), rows, np.array([0, N]),
            prior.columns_of(rows, scenario, now_ms), 1.0 / N, 0.5, found,
        )  # fmt: skip
        np.testing.assert_allclose(found, 0.5 * plain, rtol=5e-6)
