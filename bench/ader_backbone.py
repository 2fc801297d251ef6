"""The ADER protocol on 17 weeks of shop sessions with the sequence model alone: learn weeks 0..t, test week t+1.

Source: ADER (Mi, Lin & Faltings, RecSys 2020). Weights are frozen within a test week; items that training has not
seen are taken out of the test; each next click is ranked among all items seen so far.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from everbrook.learn.batches import Histories, pack


def data_folder() -> Path:
    """Where the real data lies."""
    return Path(os.environ.get("EVERBROOK_DATA") or Path(__file__).parents[2] / "shared" / "data")


def read_weeks() -> list[Histories]:
    """The sessions of each week; item rows count up in the order of first appearance."""
    table = pq.read_table(data_folder() / "sessions-17-weeks" / "events.parquet")
    week = table["period"].to_numpy()
    session = np.unique(table["session"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    _, first, code = np.unique(table["item"].to_numpy(zero_copy_only=False), return_index=True, return_inverse=True)
    row = np.argsort(np.argsort(first))[code]
    return [pack(session[week == w], {"items": row[week == w]}) for w in range(int(week.max()) + 1)]
