"""What the live model learns by: its gradients and losses equal those of tensors that compute them on their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from live_tensors import as_tensors, network_of, states

from everbrook.learn.asking import log_probabilities
from everbrook.learn.dense_steps import DenseSteps
from everbrook.learn.lessons import Lesson, learn_from
from everbrook.learn.live_gradient import backward, drops_of
from everbrook.learn.live_losses import NO_WISH, loss_of
from everbrook.learn.live_weights import LiveWeights
from everbrook.learn.reservoir import NEVER, Questions
from everbrook.models.live_forward import NO_DROPS, Drops, forward
from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings

SETTINGS = LiveSettings(width=8, history=5, kinds=3, time_buckets=6)


def windows_made(count: int, settings: LiveSettings, items: int, seed: int = 0) -> Windows:
    rng = np.random.default_rng(seed)
    held = np.arange(settings.history) >= settings.history - rng.integers(1, settings.history + 1, count)[:, None]
    shape = held.shape
    return Windows(
        rng.integers(0, items, shape).astype(np.int32) * held, held, rng.integers(0, settings.kinds, shape),
        rng.integers(0, settings.time_buckets, shape), rng.integers(0, settings.time_buckets, count),
    )  # fmt: skip


def close(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    """Equal to a share of the largest: numbers of 32 bits against such of 64."""
    most = max(float(np.abs(theirs).max()), 1e-3)
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4 * most, err_msg=name)


@pytest.mark.parametrize(("width", "share"), [(8, 0.0), (8, 0.3), (64, 0.1)])
def test_gradients_are_those_of_tensors(width: int, share: float) -> None:
    settings = LiveSettings(width=width, history=6, kinds=3, time_buckets=6, dropout=share, item_dropout=share)
    network, windows = network_of(settings, 1), windows_made(19, settings, 40)
    rng = np.random.default_rng(2)
    rows = rng.normal(0.0, 0.5, (int(windows.held.sum()), width)).astype(np.float32)
    wanted = rng.normal(size=(19, width)).astype(np.float32)
    drops = drops_of(windows, settings, rng)
    made = forward(network.views, rows, windows, drops)
    sums = {name: np.zeros_like(array) for name, array in network.views.items()}
    by_rows = backward(network.views, made, windows, wanted.copy(), sums)

    tensors, row_tensor = as_tensors(network.views), torch.from_numpy(rows.astype(np.float64)).requires_grad_()
    theirs = states(tensors, row_tensor, windows, drops)
    close(made.out, theirs.detach().numpy(), "states")
    theirs.backward(torch.from_numpy(wanted.astype(np.float64)))  # type: ignore[no-untyped-call]
    assert row_tensor.grad is not None
    close(by_rows, row_tensor.grad.numpy(), "rows")
    for name, tensor in tensors.items():
        assert tensor.grad is not None
        close(sums[name], tensor.grad.numpy(), name)


def test_gradients_add_up_over_passes() -> None:
    network, windows = network_of(SETTINGS, 3), windows_made(7, SETTINGS, 30)
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(int(windows.held.sum()), 8)).astype(np.float32)
    wanted = rng.normal(size=(7, 8)).astype(np.float32)
    once, twice = ({name: np.zeros_like(array) for name, array in network.views.items()} for _ in range(2))
    for sums, times in ((once, 1), (twice, 2)):
        for _ in range(times):
            backward(network.views, forward(network.views, rows, windows), windows, wanted.copy(), sums)
    for name in once:
        np.testing.assert_allclose(twice[name], 2 * once[name], rtol=1e-4, atol=1e-6)


def test_dropout_takes_its_share_and_makes_up_for_it() -> None:
    settings = LiveSettings(dropout=0.25)
    drops = drops_of(windows_made(400, settings, 30), settings, np.random.default_rng(0))
    assert drops.item is None
    for kept, shape in ((drops.mixed, (400, 64)), (drops.wide, (400, 256)), (drops.narrow, (400, 64))):
        assert kept is not None
        assert kept.shape == shape
        assert set(np.unique(kept).tolist()) == {0.0, np.float32(4 / 3)}
        assert (kept == 0).mean() == pytest.approx(0.25, abs=0.02)
        assert kept.mean() == pytest.approx(1.0, abs=0.02)
    none = drops_of(windows_made(4, settings, 30), LiveSettings(dropout=0.0), np.random.default_rng(0))
    assert none == Drops(None, None, None, None) == NO_DROPS


# -- losses


def logits(B: int = 9, M: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    own, others = rng.normal(0.0, 3.0, B).astype(np.float32), rng.normal(0.0, 3.0, (B, M)).astype(np.float32)
    others[rng.random((B, M)) < 0.05] = NEVER  # negatives that are the target
    return own, others, rng.uniform(0.0, 1.0, B).astype(np.float32), rng.normal(0.0, 2.0, (B, M)).astype(np.float32)


@pytest.mark.parametrize("distillation", [0.0, 0.3])
def test_losses_and_their_gradients_are_those_of_tensors(distillation: float) -> None:
    own, others, weights, wish = logits()
    wish[others == NEVER] = NEVER
    mine, slopes, own_slope = own.copy(), others.copy(), np.empty_like(own)
    given = wish.copy() if distillation else NO_WISH
    loss = loss_of(mine, slopes, weights, given, distillation, own_slope)

    a, b = (torch.from_numpy(x.astype(np.float64)).requires_grad_() for x in (own, others))
    total = torch.logaddexp(b.logsumexp(1), a)
    theirs = ((total - a) * torch.from_numpy(weights)).sum()
    if distillation:
        wished = torch.from_numpy(wish.astype(np.float64)).softmax(1)
        theirs = theirs - distillation * (wished * b.log_softmax(1)).sum()
    theirs.backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert b.grad is not None
    assert loss == pytest.approx(theirs.item(), rel=1e-5)
    np.testing.assert_allclose(own_slope, a.grad.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(slopes, b.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_loss_with_a_logit_that_is_no_number_is_none(wrong: float) -> None:
    own, others, weights, _ = logits()
    others[4, 7] = wrong
    assert not np.isfinite(loss_of(own.copy(), others.copy(), weights, NO_WISH, 0.0, np.empty_like(own)))
    own, others, weights, _ = logits()
    own[3] = wrong
    assert not np.isfinite(loss_of(own, others, weights, NO_WISH, 0.0, np.empty_like(own)))


def test_log_probabilities_are_the_targets_shares() -> None:
    rng, B, M = np.random.default_rng(6), 5, 30
    made, targets, negatives = (rng.normal(size=(n, 8)).astype(np.float32) for n in (B, B, M))
    asked = Questions(
        windows_made(B, SETTINGS, 30), np.arange(B, dtype=np.int32), rng.normal(size=B).astype(np.float32),
        np.arange(M, dtype=np.int32), rng.normal(size=(B, M)).astype(np.float32), np.ones(B, np.float32),
    )  # fmt: skip
    asked.offsets[2, 5] = NEVER
    found = log_probabilities(made, targets, negatives, asked)
    for b in range(B):
        own = float(made[b] @ targets[b] + asked.target_offsets[b])
        others = (made[b] @ negatives.T + asked.offsets[b]).astype(np.float64)
        assert found[b] == pytest.approx(own - np.log(np.exp(own) + np.exp(others).sum()), abs=1e-5)


# -- a step


def questions(windows: Windows, items: int, negatives: np.ndarray, seed: int) -> Questions:
    rng, B = np.random.default_rng(seed), len(windows)
    targets = rng.integers(0, items, B).astype(np.int32)
    offsets = rng.normal(size=(B, len(negatives))).astype(np.float32)
    offsets[negatives[None] == targets[:, None]] = NEVER
    return Questions(
        windows, targets, rng.normal(size=B).astype(np.float32), negatives, offsets,
        rng.uniform(0.3, 1.0, B).astype(np.float32),
    )  # fmt: skip


def test_a_step_moves_by_the_gradient_of_both_kinds_of_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows get the gradient over their every use, as a target, a negative and in histories; the network its own."""
    settings = LiveSettings(
        width=8, history=5, kinds=3, time_buckets=6, dropout=0.0, distillation=0.2, network_events=1000, place=0.0
    )
    weights, items = LiveWeights(settings), 25
    weights.grow(items)
    weights.network.load(network_of(settings, 7).arrays())
    weights.rows.table[:items] = np.random.default_rng(8).normal(0.0, 0.5, (items, 8))
    weights.begin(1, 1_000, np.empty(0, np.int32))  # the anchor is what the weights are now
    weights.network.load(network_of(settings, 9).arrays())
    negatives = np.random.default_rng(10).integers(0, items, 12).astype(np.int32)
    new = questions(windows_made(6, settings, items, 1), items, negatives, 11)
    again = questions(windows_made(4, settings, items, 2), items, negatives, 12)
    given: list[tuple[np.ndarray, np.ndarray]] = []
    monkeypatch.setattr(weights, "step", lambda rows, grads, factors, ts_ms: given.append((rows, grads)))
    table = weights.rows.table[:items].astype(np.float64)
    assert learn_from(weights, Lesson(new, again, (1.0, 1.0), 2_000), settings, 1) == ""

    w, t = as_tensors(weights.network.views), torch.from_numpy(table).requires_grad_()
    loss = torch.zeros((), dtype=torch.float64)
    for asked in (new, again):
        flat, targets, drawn = (at.astype(np.int64) for at in (asked.windows.flat, asked.targets, negatives))
        found = states(w, t[flat], asked.windows)
        own = (found * t[targets]).sum(1) + torch.from_numpy(asked.target_offsets)
        others = found @ t[drawn].T + torch.from_numpy(asked.offsets)
        loss = loss + ((torch.logaddexp(others.logsumexp(1), own) - own) * torch.from_numpy(asked.weights)).sum()
        if asked is again:
            with torch.no_grad():
                anchor = as_tensors(weights.anchor.network.views)
                wished = states(anchor, t[flat], asked.windows) @ t[drawn].T
                wished = (wished + torch.from_numpy(asked.offsets)).softmax(1)
            loss = loss - 0.2 * (wished * others.log_softmax(1)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    (rows, grads), = given
    assert t.grad is not None
    everywhere = np.zeros((items, 8))
    everywhere[rows] = grads
    close(everywhere, t.grad.numpy(), "rows")
    assert weights.steps.gathered == 10
    for name, tensor in w.items():
        assert tensor.grad is not None
        close(weights.steps.sums[name], tensor.grad.numpy(), name)


def test_a_step_whose_loss_is_no_number_moves_nothing() -> None:
    weights, items = LiveWeights(SETTINGS), 25
    weights.grow(items)
    weights.rows.table[3, 2] = np.nan
    before, network = weights.rows.table[:items].copy(), weights.network.arrays()
    windows = windows_made(6, SETTINGS, 3, 1)
    asked = questions(windows, 3, np.array([3, 4, 5], np.int32), 3)
    weights.updates[:] = 1.0
    assert learn_from(weights, Lesson(asked, None, (1.0, 1.0), 2_000), SETTINGS, 1)
    np.testing.assert_array_equal(weights.rows.table[:items], before)
    assert all(np.array_equal(array, network[name]) for name, array in weights.network.arrays().items())
    assert isinstance(weights.steps, DenseSteps)
    assert not weights.steps.gathered
