"""The chunked losses against their plain definitions in torch."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from everbrook.errors import UnknownNameError
from everbrook.models import losses
from everbrook.models.losses import LOSSES, Compared, loss_named
from everbrook.settings.fit import FitSettings

P, K, D = 37, 50, 6


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK_NUMBERS", 16 * K)  # several chunks, the last one short


def compared(sampled: bool, seed: int = 0) -> Compared:
    torch.manual_seed(seed)
    column = torch.randint(0, K, (P,))
    candidates = torch.randn(K, D, requires_grad=True)
    if sampled:
        column[::3] = -1
    return Compared(
        states=torch.randn(P, D, requires_grad=True), candidates=candidates, column=column,
        own=torch.randn(P, D, requires_grad=True), log_q=-torch.rand(K), values=torch.rand(P), items=200,
    )


def gradients(loss: torch.Tensor, given: Compared) -> list[torch.Tensor]:
    parts = [given.states, given.candidates, given.own]
    found = torch.autograd.grad(loss, parts, allow_unused=True)
    return [torch.zeros_like(part) if grad is None else grad for part, grad in zip(parts, found, strict=True)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_full_softmax_is_torch_cross_entropy(smoothing: float) -> None:
    given = compared(sampled=False)
    fast = LOSSES["softmax"].value(given, FitSettings(label_smoothing=smoothing))
    slow = functional.cross_entropy(given.states @ given.candidates.T, given.column, label_smoothing=smoothing)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(gradients(fast, given), gradients(slow, given))


def test_sampled_softmax_is_cross_entropy_of_corrected_scores() -> None:
    given = compared(sampled=True)
    fast = LOSSES["sampled"].value(given, FitSettings())
    scores = given.states @ given.candidates.T - given.log_q
    scores = scores.masked_fill(torch.arange(K) == given.column[:, None], -torch.inf)
    own = (given.states * given.own).sum(1, keepdim=True)
    slow = functional.cross_entropy(torch.cat([own, scores], 1), torch.zeros(P, dtype=torch.int64))
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(gradients(fast, given), gradients(slow, given))


def test_sampled_softmax_over_all_items_is_the_full_softmax() -> None:
    given = compared(sampled=False)
    everything = Compared(
        given.states, given.candidates, given.column, given.candidates[given.column], torch.zeros(K), given.values, K
    )
    settings = FitSettings()
    torch.testing.assert_close(
        LOSSES["sampled"].value(everything, settings), LOSSES["softmax"].value(everything, settings)
    )


def slow_gbce(given: Compared, beta: float) -> torch.Tensor:
    """One position and one candidate after the other, all scores shifted by log(beta / K)."""
    shift = math.log(beta / K)
    scores = given.states @ given.candidates.T + shift
    total = torch.zeros(())
    for position in range(P):
        own = (given.states[position] * given.own[position]).sum() + shift
        others = [scores[position, k] for k in range(K) if k != given.column[position]]
        total = total + beta * functional.softplus(-own) + functional.softplus(torch.stack(others)).sum()
    return total / P / (K + 1)


def test_gbce_without_calibration_is_binary_cross_entropy() -> None:
    given = compared(sampled=True)
    torch.testing.assert_close(LOSSES["gbce"].value(given, FitSettings(calibration=0.0)), slow_gbce(given, 1.0))


def test_gbce_fully_calibrated_tempers_the_positive_by_the_sampling_rate() -> None:
    given = compared(sampled=True)
    torch.testing.assert_close(LOSSES["gbce"].value(given, FitSettings(calibration=1.0)), slow_gbce(given, K / 199))


def test_gbce_begins_with_negatives_that_weigh_as_much_as_the_positive() -> None:
    given = compared(sampled=True)
    states = torch.zeros(P, D, requires_grad=True)
    still = Compared(states, given.candidates, given.column, given.own, given.log_q, given.values, 100_000)
    (pull,) = torch.autograd.grad(LOSSES["gbce"].value(still, FitSettings(calibration=0.75)), states)
    balanced = given.candidates.mean(0) - given.own  # push of all candidates against the pull of one
    assert float(functional.cosine_similarity(pull, balanced).detach().min()) > 0.9


def test_squared_error_leaves_out_what_has_no_value() -> None:
    given = compared(sampled=True)
    given.values[::2] = torch.nan
    fast = LOSSES["mse"].value(given, FitSettings())
    slow = functional.mse_loss((given.states * given.own).sum(1)[1::2], given.values[1::2])
    torch.testing.assert_close(fast, slow)
    assert not any(grad.isnan().any() for grad in gradients(fast, given))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_is_finite_under_extreme_scores(name: str) -> None:
    given = compared(sampled=LOSSES[name].sampled)
    states = given.states * 1e3
    far = Compared(states, given.candidates, given.column, given.own, given.log_q, given.values, given.items)
    loss = LOSSES[name].value(far, FitSettings())
    assert loss.isfinite()
    assert all(grad.isfinite().all() for grad in gradients(loss, given))


def test_an_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        loss_named("softmaxx")
    assert caught.value.message == (
        "Unknown loss 'softmaxx'. Did you mean 'softmax'? Known: bce, gbce, mse, sampled, softmax."
    )
