"""How histories are packed and cut: every event that has one before it is a target exactly once an epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.features.moments import pause_codes
from everbrook.learn.batches import Histories, epoch, join, pack, windows


def made(sizes: list[int], seed: int = 0) -> Histories:
    """Histories whose item rows are their places in the packed order, so that events can be told apart."""
    rng = np.random.default_rng(seed)
    actor = np.repeat(np.arange(len(sizes)), sizes)
    E = len(actor)
    return pack(actor, {"items": np.arange(E), "ts_ms": np.cumsum(rng.integers(0, 10**7, E))})


def test_pack_sorts_by_actor_and_keeps_the_order_of_time() -> None:
    histories = pack(np.array([2, 0, -1, 2, 0]), {"items": np.array([10, 11, 12, 13, 14])})
    assert histories.items.tolist() == [11, 14, 10, 13]
    assert histories.starts.tolist() == [0, 2, 4]
    assert histories.targets() == 2


def test_nothing_packs_to_nothing() -> None:
    histories = pack(np.zeros(0, np.int32), {"items": np.zeros(0, np.int32)})
    assert len(histories) == 0
    assert epoch(histories, 5, 100, np.random.default_rng(0)) == []


def test_take_only_and_join_keep_events_with_their_actors() -> None:
    histories = made([3, 1, 4])
    taken = histories.take(np.array([2, 0]))
    assert taken.items.tolist() == [4, 5, 6, 7, 0, 1, 2]
    assert taken.starts.tolist() == [0, 4, 7]
    kept = histories.only(histories.items % 2 == 0)
    assert kept.items.tolist() == [0, 2, 4, 6]
    assert kept.starts.tolist() == [0, 2, 2, 4]
    both = join(kept, taken)
    assert both.items.tolist() == [0, 2, 4, 6, 4, 5, 6, 7, 0, 1, 2]
    assert both.starts.tolist() == [0, 2, 2, 4, 8, 11]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 8), st.integers(0, 5))
def test_windows_cover_every_input_once_and_none_is_too_long(sizes: list[int], length: int, seed: int) -> None:
    histories = made(sizes)
    shift = np.random.default_rng(seed).integers(0, length, len(sizes)) if seed else None
    start, stop = windows(histories, length, shift)
    assert (stop - start <= length).all()
    assert (stop > start).all()
    covered = sorted(place for first, end in zip(start, stop, strict=True) for place in range(first, end))
    lasts = set((histories.starts[1:] - 1).tolist())
    assert covered == [place for place in range(len(histories.items)) if place not in lasts]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 8), st.integers(1, 60), st.integers(0, 5))
def test_an_epoch_predicts_every_event_once_from_those_before_it(
    sizes: list[int], length: int, batch_events: int, seed: int
) -> None:
    histories = made(sizes)
    seen = []
    for batch in epoch(histories, length, batch_events, np.random.default_rng(seed) if seed else None):
        B, L = batch.inputs.items.shape
        assert B == 1 or batch_events >= B * L
        before = batch.inputs.items.flatten()[batch.places]
        assert (batch.wanted == before + 1).all()  # rows are places: the next item is the next place
        gaps_ms = histories.ts_ms[batch.wanted.numpy()] - histories.ts_ms[before.numpy()]
        np.testing.assert_array_equal(batch.inputs.ahead.flatten()[batch.places], pause_codes(gaps_ms))
        seen += batch.wanted.tolist()
    firsts = set(histories.starts[:-1].tolist())
    assert sorted(seen) == [place for place in range(len(histories.items)) if place not in firsts]


def test_events_that_are_not_wanted_are_context_alone() -> None:
    histories = pack(np.zeros(4, np.int32), {"items": np.arange(4), "wanted": np.array([True, False, True, True])})
    (batch,) = epoch(histories, 10, 100, None)
    assert batch.inputs.items.tolist() == [[0, 1, 2]]
    assert batch.wanted.tolist() == [2, 3]


def test_the_same_seed_cuts_the_same_batches() -> None:
    histories = made([20, 3, 7, 7, 30])
    one, two, other = (epoch(histories, 5, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert [batch.wanted.tolist() for batch in one] == [batch.wanted.tolist() for batch in two]
    assert [batch.wanted.tolist() for batch in one] != [batch.wanted.tolist() for batch in other]


@pytest.mark.parametrize("batch_events", [64, 512])
def test_batches_waste_little_on_padding(batch_events: int) -> None:
    sizes = np.random.default_rng(0).geometric(0.2, 2000) + 1
    batches = epoch(made(sizes.tolist()), 50, batch_events, np.random.default_rng(0))
    places, padded = sum(len(b.wanted) for b in batches), sum(b.inputs.items.numel() for b in batches)
    assert places > 0.9 * padded
