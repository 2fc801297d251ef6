"""How well a sequence model ranks what came next: all items, ties against it."""

from __future__ import annotations

import numpy as np
import torch

from everbrook.learn.batches import Histories, lazily
from everbrook.models.sequence import SequenceModel
from everbrook.types import F64, I64

_CHUNK = 256


@torch.no_grad()
def ranks(model: SequenceModel, histories: Histories, batch_events: int = 2048) -> tuple[I64, F64]:
    """Rank and log-probability of every next event, each after the events before it.

    Returns:
        (P,) rank from 1 among all items of the model, and (P,) natural logarithm of its probability; in no
        particular order.
    """
    was_training = model.training
    model.eval()
    device = model.table.device
    candidates = model.targets().T.contiguous()
    placed, logs = [], []
    for batch in lazily(histories, model.settings.history, batch_events, None, model.features):
        states = model.encode(batch.inputs.to(device)).flatten(0, 1)[batch.places.to(device)]
        wanted = batch.wanted.to(device)
        for first in range(0, len(states), _CHUNK):
            scores = states[first : first + _CHUNK] @ candidates
            own = scores.gather(1, wanted[first : first + _CHUNK, None])
            placed.append((scores >= own).sum(1).cpu().numpy())
            logs.append((own[:, 0] - scores.logsumexp(1)).double().cpu().numpy())
    model.train(was_training)
    return np.concatenate([np.zeros(0, np.int64), *placed]), np.concatenate([np.zeros(0), *logs])


def quality(model: SequenceModel, histories: Histories, top: int = 20) -> dict[str, float]:
    """Recall and mean reciprocal rank within the first `top`, and the mean log-loss in nats."""
    rank, log = ranks(model, histories)
    if not len(rank):
        return {}
    inside = rank <= top
    recall, reciprocal = float(inside.mean()), float((inside / rank).mean())
    return {f"recall@{top}": recall, f"mrr@{top}": reciprocal, "log_loss": float(-log.mean())}
