"""From what learns to what answers: live weights shared within a process, or carried over by deltas."""

from __future__ import annotations

from everbrook.engine.learning import ANCHOR_DENSE, DENSE, LiveLearning
from everbrook.learn.deltas import Delta
from everbrook.learn.live_arrays import within
from everbrook.models.live_expert import LiveExpert
from everbrook.types import Arrays


def share(learning: LiveLearning, expert: LiveExpert) -> None:
    """Let an expert answer from weights that learn in the same process, as they are now; call it after each change."""
    weights = learning.learner.weights
    anchor = weights.anchor
    expert.share(weights.rows, weights.network, anchor.network)
    expert.anchor.share(anchor.overlay.place, anchor.overlay.buffer, anchor.overlay.rows())
    stage = learning.gate.stage if learning.events else "off"
    expert.changed(stage, learning.settings.gate.canary_share, learning.learner.asker.prior.weights)


def adopt(arrays: Arrays, expert: LiveExpert) -> None:
    """Let an expert begin with what a learner's checkpoint holds.

    Args:
        arrays: the state of an `OnlineLearner`.
        expert: one that has nothing.
    """
    table = arrays["weights/table"]
    expert.grow(len(table), 0)
    expert.rows.table[: len(table)] = table
    expert.network.load(within(arrays, "weights/network/"))
    expert.changed("off", 0.0, arrays["asker/prior"])


def apply(delta: Delta, expert: LiveExpert) -> None:
    """Let an expert answer from what a delta brings; nothing of it is seen before all of it is there.

    Raises:
        DataError: the delta does not fit.
    """
    items = max(int(delta.notes["items"]), int(delta.rows.max(initial=-1)) + 1)
    expert.grow(items, 0)
    delta.apply(expert.rows.table)
    expert.network.load(within(delta.dense, DENSE))
    if delta.notes["anchor"] == "whole":
        expert.anchor.replace(delta.dense["anchor_rows"], delta.dense["anchor_values"], items)
        expert.anchor_network.load(within(delta.dense, ANCHOR_DENSE))
    elif delta.notes["anchor"] == "more":
        expert.anchor.add(delta.dense["anchor_rows"], delta.dense["anchor_values"], items)
    expert.changed(delta.notes["stage"], delta.notes["canary_share"], delta.dense["prior"])
