"""The validation's ranks are those of a slow definition, and a cut into batches changes nothing."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.features.sequence import sequence_inputs
from everbrook.features.windows import Window
from everbrook.learn.batches import pack
from everbrook.learn.negatives import Negatives
from everbrook.learn.spectral import Nearness, placed_near, spectral_vectors
from everbrook.learn.validation import ranks
from everbrook.models.sequence import SequenceBatch
from everbrook.models.sequence_kernels import best_rows
from everbrook.models.sequence_registry import new_model
from everbrook.settings.sequence import SequenceSettings

N = 15
MODEL = new_model(SequenceSettings(width=8, history=5, layers=1), N, seed=4).eval()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, N - 1), min_size=1, max_size=6), min_size=1, max_size=8), st.integers(1, 40))
def test_ranks_are_those_of_one_history_at_a_time(walks: list[list[int]], batch_events: int) -> None:
    owner = np.repeat(np.arange(len(walks)), [len(walk) for walk in walks])
    histories = pack(owner, {"items": np.concatenate([np.array(walk) for walk in walks])})
    slow = []
    for walk in walks:
        for place in range(1, len(walk)):
            history = np.array([walk[:place]], np.int32)
            n, now_ms = np.array([place], np.int32), np.zeros(1, np.int64)
            window = Window(history, np.zeros((1, place), np.int64), np.zeros((1, place), np.int16), n, now_ms)
            batch = SequenceBatch.of(sequence_inputs(window, MODEL.features))
            with torch.no_grad():
                scores = (MODEL.encode(batch)[0, -1] @ MODEL.targets().T).double()
            own = scores[walk[place]]
            slow.append((int((scores >= own - 1e-6).sum()), float(own - scores.logsumexp(0))))
    rank, log = ranks(MODEL, histories, batch_events)
    assert sorted(rank.tolist()) == sorted(rank for rank, _ in slow)
    np.testing.assert_allclose(sorted(log), sorted(log for _, log in slow), atol=1e-4)


@settings(deadline=None)
@given(st.lists(st.integers(-20, 20), max_size=60), st.integers(0, 70))
def test_best_rows_are_a_stable_sort(scores: list[int], limit: int) -> None:
    array = np.array(scores, np.float32)
    np.testing.assert_array_equal(best_rows(array, limit), np.argsort(-array, kind="stable")[:limit])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=6))
def test_nearness_is_the_normalised_count_of_neighbours(walks: list[list[int]]) -> None:
    owner = np.repeat(np.arange(len(walks)), [len(walk) for walk in walks])
    histories = pack(owner, {"items": np.concatenate([np.array(walk) for walk in walks])})
    count = np.zeros((10, 10))
    for walk in walks:
        for later in range(len(walk)):
            for earlier in range(max(0, later - 5), later):
                if walk[later] != walk[earlier]:
                    count[walk[later], walk[earlier]] += 1 / (later - earlier)
                    count[walk[earlier], walk[later]] += 1 / (later - earlier)
    degree = np.maximum(count.sum(1), 1e-12)
    found = Nearness(histories, 10).times(torch.eye(10)).numpy()
    np.testing.assert_allclose(found, count / np.sqrt(np.outer(degree, degree)), atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 60), st.floats(0, 1))
def test_the_chance_of_a_negative_is_how_often_it_is_drawn(items: int, count: int, power: float) -> None:
    negatives = Negatives(np.arange(items), power)
    drawn = np.zeros(items)
    chance = np.zeros(items)
    for seed in range(300):
        rows, log_q = negatives.draw(count, np.random.default_rng(seed))
        assert (np.diff(rows) > 0).all()
        drawn[rows] += 1 / 300
        chance[rows] = np.exp(log_q)
    seen = chance > 0
    assert np.abs(drawn - chance)[seen].max() < 0.15


def test_spectral_vectors_put_neighbours_together_and_new_items_among_theirs() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 4, 400)
    items = (group[:, None] * 30 + rng.integers(0, 30, (400, 6))).ravel()
    histories = pack(np.repeat(np.arange(400), 6), {"items": items})
    vectors = spectral_vectors(histories, 120, 8, seed=1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
    alike = vectors @ vectors.T
    same = np.equal.outer(np.arange(120) // 30, np.arange(120) // 30)
    assert alike[same].mean() > alike[~same].mean() + 0.3
    table = np.where(np.arange(120)[:, None] < 110, vectors, 0).astype(np.float32)
    placed = placed_near(histories, table, 110, seed=1)
    assert ((placed @ table[:110].T)[:, 90:].mean(1) > (placed @ table[:110].T)[:, :90].mean(1)).all()
