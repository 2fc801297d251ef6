"""One step of the live model: questions in, moved weights out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from everbrook.learn.live_weights import LiveWeights
from everbrook.learn.reservoir import Questions
from everbrook.settings.live import LiveSettings
from everbrook.types import I64


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one step learns from."""

    new: Questions  # with shared negatives
    again: Questions | None  # from the reservoir, with the same negatives
    factors: tuple[float, float]  # what all step sizes are multiplied with; and the pace of rows
    ts_ms: int


def learn_from(weights: LiveWeights, lesson: Lesson, settings: LiveSettings, seed: int) -> str:
    """Learn.

    Args:
        weights: what moves.
        lesson: what from.
        settings: how.
        seed: of the dropout.

    Returns:
        Why nothing was learned; empty where it was.
    """
    weights.place(lesson.new.targets, lesson.new.windows.items, lesson.new.windows.held)
    torch.default_generator.manual_seed(settings.seed * 1_000_003 + seed)  # not of other devices: dear
    parts = [lesson.new.windows.flat, lesson.new.targets, lesson.new.negatives]
    if lesson.again is not None:
        parts += [lesson.again.windows.flat, lesson.again.targets]
    rows, place = np.unique(np.concatenate([part.ravel() for part in parts]), return_inverse=True)
    table = torch.from_numpy(weights.rows.table[rows]).requires_grad_()
    edges = np.cumsum([part.size for part in parts])[:-1]
    places = [at.reshape(part.shape) for at, part in zip(np.split(place.ravel(), edges), parts, strict=True)]
    weights.network.train()
    loss = _loss(*_scores(weights, lesson.new, table, places[:3]), lesson.new)
    count = len(lesson.new)
    if lesson.again is not None:
        own, others = _scores(weights, lesson.again, table, [*places[3:], places[2]])
        loss, count = loss + _loss(own, others, lesson.again), count + len(lesson.again)
        if settings.distillation:
            loss = loss + settings.distillation * _apart(weights, lesson.again, others)
    if not bool(torch.isfinite(loss)):
        return "The loss of the step is not finite."
    loss.backward()  # type: ignore[no-untyped-call]
    assert table.grad is not None
    weights.step(rows.astype(np.int32), table.grad.numpy(), lesson.factors, lesson.ts_ms)
    weights.steps.gather(count)
    if weights.steps.gathered >= settings.network_events:
        weights.steps.step(settings.network_rate * lesson.factors[0], settings.network_norm)
    return ""


def _scores(weights: LiveWeights, asked: Questions, table: Tensor, places: list[I64]) -> tuple[Tensor, Tensor]:
    """Logits of the target, (B,), and of the negatives, (B, K)."""
    windows, targets, negatives = (torch.from_numpy(place) for place in places)
    states = weights.network(table.index_select(0, windows), asked.windows)
    own = (states * table.index_select(0, targets)).sum(1) + torch.from_numpy(asked.target_offsets)
    others = states @ table.index_select(0, negatives).T
    return own, others + torch.from_numpy(asked.offsets)


def _loss(own: Tensor, others: Tensor, asked: Questions) -> Tensor:
    """Sum of the weighted sampled-softmax losses."""
    total = torch.logaddexp(others.logsumexp(1), own)
    return ((total - own) * torch.from_numpy(asked.weights)).sum()


def _apart(weights: LiveWeights, asked: Questions, others: Tensor) -> Tensor:
    """Sum of the cross-entropies with the anchor's probabilities over the kept items (distillation)."""
    anchor, rows = weights.anchor, weights.rows.table
    states = anchor.states(rows, asked.windows)
    wish = states @ anchor.rows_of(rows, asked.negatives).T + asked.offsets
    with torch.no_grad():
        wished = torch.from_numpy(wish).softmax(1)
    return -(wished * functional.log_softmax(others, 1)).sum()

