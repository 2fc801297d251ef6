"""Whatever a made world is like, it is one world for one seed, in order, and its law is a probability."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.testing.world_config import DAY_MS, WorldConfig
from everbrook.testing.worlds import World

configs = st.builds(
    WorldConfig,
    seed=st.integers(0, 2**31),
    days=st.floats(0.1, 3),
    events_per_day=st.floats(50, 1_500),
    items=st.integers(1, 60),
    genres=st.integers(1, 9),
    popularity=st.floats(0, 2),
    born_share=st.floats(0, 1),
    rise_s=st.sampled_from([0.0, 600.0, 86_400.0]),
    fade_s=st.sampled_from([0.0, 3_600.0]),
    death_s=st.sampled_from([0.0, 1_800.0, 86_400.0]),
    bursts_per_day=st.sampled_from([0.0, 5.0]),
    users=st.integers(1, 50),
    new_share=st.floats(0, 1),
    taste=st.floats(0, 8),
    drift_per_day=st.sampled_from([0.0, 1.0]),
    flip_days=st.sampled_from([(), (0.5, 1.0)]),
    successors=st.integers(0, 3),
    follow=st.sampled_from([0.0, 0.5, 20.0]),
    guest_share=st.floats(0, 1),
    name_sessions=st.booleans(),
    kinds=st.just(("view", "buy")),
    deeper=st.sampled_from([(), (0.3,)]),
    scenarios=st.sampled_from([(), ("home", "cart")]),
    tilt=st.sampled_from([0.0, 1.0]),
    ratings=st.booleans(),
    bots=st.integers(0, 2),
    bot_events=st.integers(1, 50),
)


@settings(max_examples=40, deadline=None)
@given(configs)
def test_any_world_is_whole(config: WorldConfig) -> None:
    world = World(config)
    parts = list(world.runs())
    again = list(World(config).runs())
    for events, same in zip(parts, again, strict=True):
        assert np.array_equal(events.item.codes, same.item.codes)
        assert np.array_equal(events.ts_ms, same.ts_ms)
        assert events.item.names == same.item.names
        assert (np.diff(events.ts_ms) >= 0).all()
        assert ((events.user.codes >= 0) | (events.session.codes >= 0)).all()
        assert (events.item.codes >= 0).all()
        assert events.kind.codes.max() < 2
        assert config.ratings != bool(np.isnan(events.value).any())
    edges = [(part.ts_ms[0], part.ts_ms[-1]) for part in parts]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(edges))


@settings(max_examples=40, deadline=None)
@given(configs, st.floats(0, 1), st.integers(0, 49))
def test_what_is_chosen_from_everything_is_what_comes_next(config: WorldConfig, when: float, user: int) -> None:
    world = World(config)
    ts_ms = config.start_ms + round(when * config.days * DAY_MS)
    user_id, last = f"u{user % config.users}", "i0"
    following = world.next_probabilities(user_id, ts_ms, last)
    assert (following >= 0).all()
    assert following.sum() == pytest.approx(1.0)
    everything = [f"i{row}" for row in range(config.items)]
    chosen = world.choice_probabilities(user_id, everything, ts_ms, last)
    assert chosen.sum() == pytest.approx(1.0)
    assert chosen[:-1] / chosen[:-1].sum() == pytest.approx(following, abs=1e-9)
    unborn = following[world.items.born_ms > ts_ms].sum()
    assert unborn in (pytest.approx(0.0), pytest.approx(1.0))  # 1: nothing else was there
