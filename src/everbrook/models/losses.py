"""What a sequence model is punished for: softmax over all items or a sample, binary cross-entropy, gBCE, squared error.

The two softmax losses work in chunks of positions and make loss and gradient in one pass, so that no table of
positions x items is ever whole. Shapes: P positions, K candidates, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from everbrook.errors import UnknownNameError
from everbrook.settings.fit import FitSettings

CHUNK_NUMBERS = 1 << 21
"""How many scores a chunk holds (8 MiB): large enough for the matrix product, small enough for the last cache."""


@dataclass(frozen=True, slots=True)
class Compared:
    """P states and the items they are compared with."""

    states: Tensor  # (P, D)
    candidates: Tensor  # (K, D)
    column: Tensor  # (P,) int64, where in the candidates the right item stands; -1 where it does not
    own: Tensor  # (P, D) vector of the right item; empty where every column is >= 0
    log_q: Tensor  # (K,) logarithm of the chance that a candidate was drawn; empty where all items are candidates
    values: Tensor  # (P,) what was given to the right item (ratings), NaN where nothing; may be empty
    items: int  # how many items there are in all


class _Softmax(torch.autograd.Function):
    """Mean cross-entropy of each state against all candidates, its gradient made on the way."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, candidates: Tensor, column: Tensor, smoothing: float) -> Tensor:
        P, K = len(states), len(candidates)
        grad_states, grad_candidates = torch.empty_like(states), torch.zeros_like(candidates)
        total = states.new_zeros((), dtype=torch.float64)
        for part in _chunks(P, K):
            rows, right = states[part], column[part, None]
            scores = rows @ candidates.T
            highest = scores.amax(1, keepdim=True)
            total -= scores.gather(1, right).sum() * (1 - smoothing)
            if smoothing:
                total -= scores.sum() * (smoothing / K)
            sums = scores.sub_(highest).exp_().sum(1, keepdim=True)
            total += (sums.log() + highest).sum()
            scores.div_(sums * P)
            if smoothing:
                scores.sub_(smoothing / (K * P))
            scores.scatter_add_(1, right, scores.new_full((1, 1), (smoothing - 1) / P).expand(len(rows), 1))
            torch.mm(scores, candidates, out=grad_states[part])
            grad_candidates.addmm_(scores.T, rows)
        ctx.save_for_backward(grad_states, grad_candidates)
        return (total / P).to(states.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        states, candidates = ctx.saved_tensors
        return states * grads[0], candidates * grads[0], None, None


class _Sampled(torch.autograd.Function):
    """Mean cross-entropy of each state's own item against itself and the weighted candidates."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, own: Tensor, candidates: Tensor, column: Tensor, log_q: Tensor) -> Tensor:
        P, K = len(states), len(candidates)
        grad_states, grad_own, grad_candidates = map(torch.empty_like, (states, own, candidates))
        grad_candidates.zero_()
        total = states.new_zeros((), dtype=torch.float64)
        for part in _chunks(P, K):
            rows = states[part]
            scores = torch.addmm(-log_q, rows, candidates.T)
            mine = (rows * own[part]).sum(1, keepdim=True)
            hit = torch.nonzero(column[part] >= 0)[:, 0]
            scores[hit, column[part][hit]] = -torch.inf
            highest = torch.maximum(scores.amax(1, keepdim=True), mine)
            weight = (mine - highest).exp_()
            sums = scores.sub_(highest).exp_().sum(1, keepdim=True) + weight
            total += (sums.log() + highest - mine).sum()
            scores.div_(sums * P)
            push = (weight / sums - 1) / P  # (p, 1) derivative by the own score
            grad_own[part] = push * rows
            torch.addmm(push * own[part], scores, candidates, out=grad_states[part])
            grad_candidates.addmm_(scores.T, rows)
        ctx.save_for_backward(grad_states, grad_own, grad_candidates)
        return (total / P).to(states.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        states, own, candidates = ctx.saved_tensors
        return states * grads[0], own * grads[0], candidates * grads[0], None, None


def softmax(compared: Compared, settings: FitSettings) -> Tensor:
    """Cross-entropy over all items; every column must be >= 0."""
    return _Softmax.apply(  # type: ignore[no-untyped-call]
        compared.states, compared.candidates, compared.column, settings.label_smoothing
    )


def sampled_softmax(compared: Compared, settings: FitSettings) -> Tensor:
    """Cross-entropy over a sample, each candidate weighted by one over its chance of being drawn.

    Source: logQ correction (Bengio & Senecal 2008); the right item itself always counts once, with weight 1.
    """
    return _Sampled.apply(  # type: ignore[no-untyped-call]
        compared.states, compared.own, compared.candidates, compared.column, compared.log_q
    )


def gbce(compared: Compared, settings: FitSettings) -> Tensor:
    """Binary cross-entropy whose positive part is tempered so that sampling does not inflate probabilities.

    Every score is shifted by log(beta / K), so that the sum over the negatives begins with the weight of the one
    positive (the prior of Lin et al. 2017, Focal Loss, 4.1): without it the negatives first drive every state away from
    all items, and the first some hundred steps are lost. A shift common to all items changes neither ranks nor chances.

    Source: gSASRec (Petrov & Macdonald 2023), equations 9 and 11; calibration 0 is plain binary cross-entropy.
    """
    K = len(compared.candidates)
    rate = min(1.0, K / max(1, compared.items - 1))
    beta = rate * (settings.calibration * (1 - 1 / rate) + 1 / rate)
    shift = math.log(beta / K)
    scores = compared.states @ compared.candidates.T + shift
    others = torch.arange(K, device=scores.device) != compared.column[:, None]
    negative = (functional.softplus(scores) * others).sum(1)
    positive = functional.softplus(-(compared.states * compared.own).sum(1) - shift)
    return (beta * positive + negative).mean() / (K + 1)


def bce(compared: Compared, settings: FitSettings) -> Tensor:
    """Binary cross-entropy of the right item against each candidate."""
    scores = compared.states @ compared.candidates.T
    others = torch.arange(len(compared.candidates), device=scores.device) != compared.column[:, None]
    negative = (functional.softplus(scores) * others).sum(1) / others.sum(1).clamp(min=1)
    return (functional.softplus(-(compared.states * compared.own).sum(1)) + negative).mean()


def squared(compared: Compared, settings: FitSettings) -> Tensor:
    """Squared error of the score as a prediction of the value; positions without a value do not count."""
    known = ~compared.values.isnan()
    scores = (compared.states * compared.own).sum(1)
    return ((scores - compared.values.nan_to_num()) ** 2 * known).sum() / known.sum().clamp(min=1)


class Loss(NamedTuple):
    """One way of punishing."""

    value: Callable[[Compared, FitSettings], Tensor]
    sampled: bool  # compares with drawn candidates, so that only some rows of the item table have a gradient
    popular: bool  # draws by popularity; else all items alike


LOSSES: dict[str, Loss] = {
    "softmax": Loss(softmax, sampled=False, popular=False),
    "sampled": Loss(sampled_softmax, sampled=True, popular=True),
    "bce": Loss(bce, sampled=True, popular=False),
    "gbce": Loss(gbce, sampled=True, popular=False),
    "mse": Loss(squared, sampled=True, popular=False),
}


def loss_named(name: str) -> Loss:
    """The loss of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    return LOSSES[name]


def _chunks(positions: int, candidates: int) -> list[slice]:
    size = max(16, CHUNK_NUMBERS // max(1, candidates))
    return [slice(start, start + size) for start in range(0, positions, size)]
