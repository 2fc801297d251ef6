"""From what learns to what answers: live weights shared in a process or carried over by deltas, and large models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from everbrook.engine.core import Core
from everbrook.learn.deltas import ANCHOR_NETWORK, NETWORK, Delta
from everbrook.learn.live_arrays import within
from everbrook.models.live_expert import LiveExpert
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.types import F32, I32, Arrays, Bool

if TYPE_CHECKING:
    from everbrook.engine.learning import LiveLearning
    from everbrook.models.sequence import SequenceModel


def share(learning: LiveLearning, expert: LiveExpert) -> None:
    """Let an expert answer from weights that learn in the same process, as they are now; call it after each change."""
    weights = learning.learner.weights
    anchor = weights.anchor
    expert.share(weights.rows, weights.network, anchor.network)
    expert.watch(weights.watchers, (int(anchor.taken), anchor.offset, anchor.ts_ms))
    expert.anchor.share(anchor.overlay.place, anchor.overlay.buffer, anchor.overlay.rows())
    stage = learning.gate.stage if learning.events else "off"
    expert.changed(stage, learning.settings.gate.canary_share, learning.learner.asker.prior.weights)


def adopt(arrays: Arrays, expert: LiveExpert, stage: str = "off", canary_share: float = 0.0) -> None:
    """Let an expert begin with what a learner's checkpoint holds.

    Args:
        arrays: the state of an `OnlineLearner`.
        expert: one that has nothing.
        stage: whom the live weights served then; none where there was no anchor for the others.
        canary_share: share of the actors that they serve in a canary.
    """
    table = arrays["weights/table"]
    expert.rows.grow(len(table))  # which of them there are here, says whoever takes in the log
    expert.rows.table[: len(table)] = table
    expert.codes.moved(None)
    expert.network.load(within(arrays, "weights/network/"))
    if arrays["weights/anchor/moment"][0]:
        rows, values = arrays["weights/anchor/rows"], arrays["weights/anchor/values/0"]
        expert.anchor.replace(rows, values, max(expert.items, len(table)))
        expert.anchor_network.load(within(arrays, "weights/anchor/network/"))
    else:
        stage = "off"
    expert.changed(stage, canary_share, arrays["asker/prior"])


def apply(delta: Delta, expert: LiveExpert) -> None:
    """Let an expert answer from what a delta brings; nothing of it is seen before all of it is there.

    A learner may be ahead of who makes lists: rows of items that are not known here yet wait in the table.

    Raises:
        DataError: the delta does not fit.
    """
    items = max(int(delta.notes["items"]), int(delta.rows.max(initial=-1)) + 1)
    expert.rows.grow(items)
    expert.heads.beside = True  # when a delta comes has to do with the clock already
    delta.check_fits(expert.rows.table)
    told, codes = delta.notes["anchor"], expert.codes
    if told in ("whole", "more"):
        rows, values = delta.dense["anchor_rows"], delta.dense["anchor_values"]
        if told == "whole":
            codes.anchor.mark(expert.anchor.rows)
            codes.anchor.mark(rows)
            expert.anchor.replace(rows, values, items)
            expert.anchor_network.load(within(delta.dense, ANCHOR_NETWORK))
        else:
            if codes.anchor.is_coded():
                codes.anchor.mark(_unlike(expert, rows, values))
            expert.anchor.add(rows, values, items)
    delta.apply(expert.rows.table)
    codes.live.mark(delta.rows)
    if codes.anchor.is_coded():
        codes.anchor.mark(delta.rows[_alike(expert, delta.rows)])
    expert.network.load(within(delta.dense, NETWORK))
    expert.changed(delta.notes["stage"], delta.notes["canary_share"], delta.dense["prior"])


def _unlike(expert: LiveExpert, rows: I32, values: F32) -> I32:
    """Of rows in which the anchor is about to differ from the table, those whose table row was not the anchor's so far.

    There are none while both sides agree: a row moves, and the anchor keeps what it was. What was coded of the anchor's
    rows then holds, and need not be coded again for each row that moves.
    """
    new = _alike(expert, rows)
    new[new] = (expert.rows.table[rows[new]] != values[new]).any(axis=1)
    return rows[new]


def _alike(expert: LiveExpert, rows: I32) -> Bool:
    """(R,) in which of some rows the anchor is the table, as far as is known."""
    place = expert.anchor.place
    alike, known = np.ones(len(rows), np.bool_), rows < len(place)
    alike[known] = place[rows[known]] < 0
    return alike


def take_over(earlier: LiveExpert, expert: LiveExpert) -> None:
    """Let an expert answer from the weights that another one of the same items was sent, and be sent further ones.

    Args:
        earlier: the one whose place is taken.
        expert: forgets the weights that it had.
    """
    expert.begin()
    expert.heads.beside = earlier.heads.beside
    expert.share(earlier.rows, earlier.network, earlier.anchor_network)
    expert.anchor = earlier.anchor
    expert.grow(earlier.items, 0)
    weights = None if earlier.prior is None else earlier.prior.weights
    if weights is not None:
        expert.changed(earlier.stage, earlier.canary_share, weights)


def ready(core: Core, model: SequenceModel | None) -> SequenceExpert | None:
    """An expert that answers from a large model, to take the place of a core's: what takes long is done here.

    Args:
        core: what it is for; stays as it is.
        model: None gives None, as does a core without such an expert.
    """
    present = core.family(SequenceExpert)
    if model is None or present is None or present.model is model:
        return None if model is None else present
    expert = SequenceExpert(present.settings)
    expert.index = present.index
    expert.publish(model)
    return expert


def put_in(core: Core, expert: SequenceExpert | None) -> None:
    """Let an expert that is `ready` answer in a core's lists; None changes nothing."""
    if expert is not None:
        experts = core.mixture.experts
        experts[:] = [expert if isinstance(one, SequenceExpert) else one for one in experts]
