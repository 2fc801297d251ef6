"""Parts of learning live: chances of negatives, steps of rows and of the network, the reservoir, loss spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everbrook.learn.dense_steps import DenseSteps
from everbrook.learn.live_negatives import RecentNegatives
from everbrook.learn.reservoir import NEVER, Drawn, Questions, Reservoir
from everbrook.learn.row_steps import hold_rows, place_rows, step_rows
from everbrook.learn.spikes import Spikes
from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings

CLIP = (0.5, 10.0)


# -- negatives


def test_the_chance_of_a_negative_is_that_of_counting_its_windows() -> None:
    settings = LiveSettings(windows_events=(5, 20), uniform=0.2)
    negatives, rng = RecentNegatives(settings), np.random.default_rng(0)
    negatives.grow(10)
    taken: list[int] = []
    for _ in range(9):
        targets = rng.integers(0, 10, 7).astype(np.int32)
        negatives.add(targets)
        taken += targets.tolist()
        shares = [np.bincount(taken[-size:], minlength=10) / min(size, len(taken)) for size in (5, 20)]
        wished = 0.8 * np.mean(shares, axis=0) + 0.2 / 10
        np.testing.assert_allclose(np.exp(negatives.log_chance(np.arange(10, dtype=np.int32), 10)), wished, rtol=1e-5)


def test_negatives_are_drawn_as_often_as_their_chance_says() -> None:
    negatives, rng = RecentNegatives(LiveSettings(windows_events=(50, 400))), np.random.default_rng(1)
    negatives.grow(8)
    negatives.add((rng.random(600) ** 3 * 8).astype(np.int32))
    rows, _ = negatives.draw(200_000, 8, rng)
    shares = np.bincount(rows, minlength=8) / len(rows)
    np.testing.assert_allclose(shares, np.exp(negatives.log_chance(np.arange(8, dtype=np.int32), 8)), atol=0.005)


def test_negatives_that_were_kept_and_loaded_are_the_same() -> None:
    settings, rng = LiveSettings(windows_events=(5, 12)), np.random.default_rng(2)
    one, two = RecentNegatives(settings), RecentNegatives(settings)
    one.grow(9)
    one.add(rng.integers(0, 9, 31).astype(np.int32))
    two.load(one.state(), 9)
    more = rng.integers(0, 9, 9).astype(np.int32)
    one.add(more)
    two.add(more)
    rows = np.arange(9, dtype=np.int32)
    np.testing.assert_array_equal(one.log_chance(rows, 9), two.log_chance(rows, 9))
    first, second = (each.draw(50, 9, np.random.default_rng(3))[0] for each in (one, two))
    np.testing.assert_array_equal(first, second)


# -- steps


def rows_and_grads(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(20, 6)).astype(np.float32)
    return table, np.array([2, 7, 11], np.int32), rng.normal(size=(3, 6)).astype(np.float32)


@pytest.mark.parametrize("last", [1.0, 0.5])
def test_rows_step_by_their_own_mean_square(last: float) -> None:
    table, rows, grads = rows_and_grads()
    wished, squares, updates = table.copy(), np.zeros(20, np.float32), np.zeros(20, np.float32)
    means, counts = np.zeros(20), np.zeros(20)
    for step in range(9):
        given = grads * (1 + step)
        step_rows(table, rows, given, squares, updates, (0.1, 3.0, 0.5, 2.0, last), CLIP, np.zeros(20, np.float32))
        for r, row in enumerate(rows):
            counts[row] += 1
            means[row] += ((given[r] ** 2).mean() - means[row]) / min(counts[row], 3)
            size = 0.1 * max(last, 2.0 / np.sqrt(counts[row])) / np.sqrt(means[row] + 0.25)
            wished[row] -= size * given[r]
    np.testing.assert_allclose(table, wished, rtol=1e-5, atol=1e-6)


def test_a_step_never_changes_a_number_by_more_than_the_clip() -> None:
    table, rows, grads = rows_and_grads()
    before, grads[1] = table.copy(), 1e6 * grads[1]
    columns = (np.zeros(20, np.float32), np.zeros(20, np.float32))
    sizes, changes = (100.0, 9.0, 1.0, 1.0, 1.0), np.zeros(20, np.float32)
    clipped = step_rows(table, rows, grads, *columns, sizes, (0.1, 0.01), changes)
    assert clipped == 3
    assert (np.abs(table - before) <= 0.1 * np.abs(before) + 0.01 + 1e-6).all()
    assert (table[rows] != before[rows]).any(axis=1).all()


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_a_row_with_a_gradient_that_is_no_number_stays_as_it_is(fault: float) -> None:
    table, rows, grads = rows_and_grads()
    before, grads[1, 3] = table.copy(), fault
    columns = (np.zeros(20, np.float32), np.zeros(20, np.float32))
    step_rows(table, rows, grads, *columns, (0.1, 9.0, 1.0, 1.0, 1.0), CLIP, np.zeros(20, np.float32))
    np.testing.assert_array_equal(table[7], before[7])
    assert np.isfinite(table).all()
    assert not np.array_equal(table[2], before[2])


def test_rows_stay_within_the_cap_of_where_they_began() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(10, 4)).astype(np.float32)
    began = table[[3, 5]].copy()
    place = np.full(10, -1, np.int32)
    place[[3, 5]] = 0, 1
    table[[3, 4, 5]] += np.array([[10.0], [10.0], [0.1]], np.float32)
    held = hold_rows(table, np.array([3, 4, 5], np.int32), place, began, 1.5)
    assert held == 1
    assert np.linalg.norm(table[3] - began[0]) == pytest.approx(1.5, rel=1e-5)
    assert np.linalg.norm(table[5] - began[1]) == pytest.approx(0.2, rel=1e-4)


def test_a_new_row_begins_near_the_history_in_which_it_is_taken() -> None:
    table = np.zeros((6, 2), np.float32)
    table[1], table[2] = (1.0, 0.0), (0.0, 1.0)
    items, held = np.array([[0, 1, 2]], np.int32), np.array([[False, True, True]])
    place_rows(table, np.array([4], np.int32), np.zeros(6, np.float32), items, held, 0.6)
    np.testing.assert_allclose(table[4], 0.6 * np.array([1 / 3, 2 / 3]), rtol=1e-6)  # weights 1/2 and 1


def test_dense_steps_are_those_of_torchs_adam_where_nothing_is_clipped() -> None:
    rng = np.random.default_rng(0)
    numbers = {"weight": rng.normal(size=(3, 5)).astype(np.float32), "bias": rng.normal(size=3).astype(np.float32)}
    theirs = [torch.from_numpy(array.copy()).requires_grad_() for array in numbers.values()]
    steps, adam = DenseSteps(numbers, (10.0, 10.0)), torch.optim.Adam(theirs, lr=0.01, betas=(0.9, 0.98))
    for _ in range(6):
        for name, tensor in zip(numbers, theirs, strict=True):
            gradient = rng.normal(size=tensor.shape).astype(np.float32)
            steps.sums[name] += gradient
            tensor.grad = torch.from_numpy(gradient / 4)
        steps.gather(4)
        steps.step(0.01, 1e9)
        adam.step()
    for mine, other in zip(numbers.values(), theirs, strict=True):
        np.testing.assert_allclose(mine, other.detach(), rtol=1e-4, atol=1e-6)


def test_a_dense_gradient_that_is_no_number_moves_nothing() -> None:
    numbers = {"weight": np.ones((2, 3), np.float32)}
    steps = DenseSteps(numbers, (0.5, 0.01))
    steps.sums["weight"][1, 2] = np.nan
    steps.gather(1)
    steps.step(0.1, 5.0)
    assert (numbers["weight"] == 1.0).all()
    assert not steps.sums["weight"].any()


# -- reservoir


def asked(count: int, seed: int = 0) -> Questions:
    rng = np.random.default_rng(seed)
    held = np.ones((count, 4), np.bool_)
    windows = Windows(
        rng.integers(0, 50, (count, 4)).astype(np.int32), held, np.zeros((count, 4), np.int64),
        np.zeros((count, 4), np.int64), np.zeros(count, np.int64),
    )  # fmt: skip
    return Questions(
        windows, np.arange(count, dtype=np.int32), np.full(count, -2.0, np.float32), np.arange(3, dtype=np.int32),
        np.zeros((count, 3), np.float32), np.ones(count, np.float32),
    )  # fmt: skip


def drawn() -> Drawn:
    chance = np.log(np.full(3, 0.1, np.float32))
    return Drawn(np.array([1, 70, 80], np.int32), chance, lambda _: np.zeros(3, np.float32))


def test_no_label_is_fitted_more_often_than_it_may_be() -> None:
    reservoir, rng = Reservoir(LiveSettings(history=4, reservoir=16, most_fits=3)), np.random.default_rng(0)
    reservoir.put(asked(16), np.arange(16, dtype=np.int32), np.zeros(16, np.int16), rng)
    fits = np.ones(16)  # once when they were new
    for _ in range(60):
        again = reservoir.draw(8, drawn(), rng)
        assert again is not None
        fits[again.targets] += again.weights
    assert fits.tolist() == [3.0] * 16


def test_a_drawn_item_that_is_the_target_is_no_negative() -> None:
    offsets = drawn().offsets(np.array([1, 2], np.int32), np.zeros(2, np.int16))
    assert offsets[0, 0] == NEVER
    np.testing.assert_allclose(offsets[1], -np.log(0.1) - np.log(3), rtol=1e-5)


def test_what_a_forgotten_actor_did_is_never_drawn_again() -> None:
    reservoir, rng = Reservoir(LiveSettings(history=4, reservoir=16)), np.random.default_rng(0)
    reservoir.put(asked(16), np.repeat(np.arange(4, dtype=np.int32), 4), np.zeros(16, np.int16), rng)
    assert reservoir.forget(np.array([2, 77])) == 4
    found = {int(item) for _ in range(40) if (again := reservoir.draw(8, drawn(), rng)) for item in again.targets}
    assert found == set(range(16)) - {8, 9, 10, 11}
    assert not reservoir.state()["items"][8:12].any()


# -- spikes


def test_a_loss_spike_is_skipped_but_not_for_ever() -> None:
    spikes, rng = Spikes(LiveSettings(spike=6.0, spikes=4)), np.random.default_rng(0)
    told = [spikes.judge(rng.normal(-5.0, 2.0, 100)) for _ in range(300)]
    assert not any(told)
    told = [spikes.judge(rng.normal(-9.0, 2.0, 100)) for _ in range(6)]
    assert [bool(one) for one in told] == [True] * 4 + [False, True]
    assert "spike" in told[0]


def test_a_loss_that_is_no_number_is_skipped() -> None:
    assert Spikes(LiveSettings()).judge(np.array([-1.0, np.nan])) == "A loss is not finite."
