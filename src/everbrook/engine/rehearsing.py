"""Live weights that nobody learned: what the first ones of a learner would have to be compiled for is loaded with them.

Without it the first weights that a process sends stop the lists, and the events behind them, for the third of a second
that loading takes, or for a minute where nothing was ever compiled on a machine.
"""

from __future__ import annotations

import msgspec
import numpy as np

from everbrook.engine.building import new_core
from everbrook.learn.deltas import ANCHOR_NETWORK, NETWORK, Delta, decode, encode
from everbrook.models.live_codes import LEAST_ROWS
from everbrook.models.live_expert import LiveExpert
from everbrook.settings import Settings
from everbrook.types import Arrays

FEW, MORE = LEAST_ROWS + 1, LEAST_ROWS + 129
"""Items with which rows are scanned by their codes, and with which some of the items stand for others."""


def rehearsed(settings: Settings) -> Settings:
    """The settings under which a catalogue of `MORE` items is one that is too large to be scored whole."""
    live = msgspec.structs.replace(settings.live, scored=FEW, sampled=min(settings.live.sampled, MORE - FEW))
    return msgspec.structs.replace(settings, live=live)


def has_live(settings: Settings) -> bool:
    """Whether lists will be made from live weights."""
    return settings.learner.mode != "off" and new_core(settings).family(LiveExpert) is not None


def first_delta(settings: Settings, items: int, stage: str) -> Delta:
    """What a process would send first, as it comes from the line; every row is as it begins.

    Args:
        settings: of the engine that takes it.
        items: how many there are.
        stage: whom the live weights serve.
    """
    expert = new_core(settings).family(LiveExpert)
    assert expert is not None  # who asks has looked
    assert expert.prior is not None
    expert.grow(items, 0)
    rows = np.arange(min(items, 2), dtype=np.int32)
    values, network = expert.rows.table[rows], expert.network.arrays()
    dense: Arrays = {NETWORK + name: array for name, array in network.items()}
    dense |= {ANCHOR_NETWORK + name: array for name, array in network.items()}
    dense |= {"anchor_rows": rows, "anchor_values": values, "prior": expert.prior.weights}
    notes = {"items": items, "anchor": "whole", "stage": stage, "canary_share": 0.5}
    return decode(encode(Delta("live-0", 0, 0, settings.digest(), rows, values, dense, notes)))
