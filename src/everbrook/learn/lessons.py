"""One step of the live model: questions in, moved weights out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.learn.live_gradient import backward, drops_of
from everbrook.learn.live_losses import NO_WISH, add_rows, loss_of
from everbrook.learn.live_weights import LiveWeights
from everbrook.learn.reservoir import Questions
from everbrook.models.live_forward import Forward, forward
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I64


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one step learns from."""

    new: Questions  # with shared negatives
    again: Questions | None  # from the reservoir, with the same negatives
    factors: tuple[float, float]  # what all step sizes are multiplied with; and the pace of rows
    ts_ms: int


@dataclass(frozen=True, slots=True)
class _Answered:
    """Questions as the weights answer them, and what of the loss comes of it."""

    asked: Questions
    made: Forward
    places: tuple[I64, I64, I64]  # (P,), (B,) and (M,) where the step's rows of histories, targets and negatives stand
    loss: float
    own: F32  # (B,) the loss's gradient by the logits of the targets
    others: F32  # (B, M) that by those of the negatives


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
    new, again = lesson.new, lesson.again
    weights.place(new.targets, new.windows.items, new.windows.held)
    rng = np.random.default_rng((settings.seed, 2, seed))
    parts = [new.negatives, new.windows.flat, new.targets]
    if again is not None:
        parts += [again.windows.flat, again.targets]
    rows, place = np.unique(np.concatenate(parts), return_inverse=True)
    places = np.split(place.ravel(), np.cumsum([len(part) for part in parts])[:-1])
    table = weights.rows.table[rows]
    answered = [_answered(weights, new, table, (places[1], places[2], places[0]), rng)]
    if again is not None:
        answered.append(_answered(weights, again, table, (places[3], places[4], places[0]), rng, settings.distillation))
    if not np.isfinite(sum(one.loss for one in answered)):
        return "The loss of the step is not finite."
    grads = np.zeros_like(table)
    for one in answered:
        _add_gradients(weights, one, table, grads)
    weights.step(rows.astype(np.int32), grads, lesson.factors, lesson.ts_ms)
    weights.steps.gather(sum(len(one.asked) for one in answered))
    if weights.steps.gathered >= settings.network_events:
        weights.steps.step(settings.network_rate * lesson.factors[0], settings.network_norm)
    return ""


def _answered(
    weights: LiveWeights, asked: Questions, table: F32, places: tuple[I64, I64, I64], rng: np.random.Generator,
    distillation: float = 0.0,
) -> _Answered:  # fmt: skip
    """The weighted sampled-softmax losses of questions, and, where wished, how far from the anchor's they are."""
    history, targets, negatives = places
    drops = drops_of(asked.windows, weights.settings, rng)
    made = forward(weights.network.views, table[history], asked.windows, drops)
    own = (made.out * table[targets]).sum(axis=1) + asked.target_offsets
    others = made.out @ table[negatives].T
    others += asked.offsets
    wish = _wish(weights, asked) if distillation else NO_WISH
    own_slope = np.empty_like(own)
    loss = loss_of(own, others, asked.weights, wish, distillation, own_slope)
    return _Answered(asked, made, places, loss, own_slope, others)


def _wish(weights: LiveWeights, asked: Questions) -> F32:
    """(B, M) the anchor's logits of the negatives: answers are to stay close to them (distillation)."""
    anchor, rows = weights.anchor, weights.rows.table
    wish: F32 = anchor.states(rows, asked.windows) @ anchor.rows_of(rows, asked.negatives).T
    return np.add(wish, asked.offsets, out=wish)


def _add_gradients(weights: LiveWeights, one: _Answered, table: F32, grads: F32) -> None:
    """Add the gradient by the step's rows to `grads`, (R, D), and that by the network to its sums."""
    history, targets, negatives = one.places
    out, own = one.made.out, one.own[:, None]
    wanted = one.others @ table[negatives]
    wanted += own * table[targets]
    add_rows(grads, negatives, one.others.T @ out)
    add_rows(grads, targets, own * out)
    slopes = backward(weights.network.views, one.made, one.asked.windows, wanted, weights.steps.sums)
    add_rows(grads, history, slopes)
