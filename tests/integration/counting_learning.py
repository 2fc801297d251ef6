"""Something small that learns: sums that depend on every record, on the order, and on where the log was cut.

It stands in for the sequence model where the learner's process is tested, and can be told to fail in several ways.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from everbrook.engine.learner_portions import Portions
from everbrook.errors import UnknownNameError
from everbrook.events.log import Run
from everbrook.events.log_follower import LogFollower
from everbrook.learn.deltas import Delta
from everbrook.settings import Settings
from everbrook.types import F32

WIDTH = 4
BESIDE = 1 << 23
"""Numbers of a large delta: 32 MB, more than any socket takes at a time."""


class CountingLearning:
    """A row an item: it forgets a part with each portion and moves by what the portion holds."""

    def __init__(self) -> None:
        self.offset = 0
        self.rows: dict[str, int] = {}
        self.table: F32 = np.zeros((0, WIDTH), np.float32)
        self.rng = np.random.default_rng(5)
        self.cuts: list[int] = []  # the offset after each run
        self.events, self.added = 0, 0
        self.touched: set[int] = set()
        self.is_large = False  # whether the next delta has much beside its rows

    def absorb(self, run: Run) -> None:
        assert run.offsets[0] >= self.offset
        if run.events is not None:
            items = [item or "" for item in run.events.item.texts()]
            self.is_large |= "large" in items
            if "slow" in items:
                time.sleep(0.2)
            self._learn(items)
            self.events += len(run)
            if "poison" in items:
                raise ValueError("a poisoned item")
        self.offset = int(run.offsets[-1]) + 1
        self.cuts.append(self.offset)

    def _learn(self, items: list[str]) -> None:
        for item in items:
            self.rows.setdefault(item, len(self.rows))
        more = np.zeros((len(self.rows) - len(self.table), WIDTH), np.float32)
        self.table = np.concatenate([self.table, more])
        rows = np.array(sorted({self.rows[item] for item in items}))
        noise = self.rng.normal(size=(len(rows), WIDTH)).astype(np.float32)
        self.table[rows] = 0.9 * self.table[rows] + noise / np.float32(len(items))
        self.touched.update(rows.tolist())

    def delta(self) -> Delta | None:
        if not self.touched:
            return None
        rows = np.array(sorted(self.touched), np.int32)
        self.touched = set()
        beside = {"beside": np.zeros(BESIDE, np.float32)} if self.is_large else {}
        self.is_large = False
        return Delta(f"v{self.offset}", self.offset, 0, "test", rows, self.table[rows], beside)

    def snapshot_to(self, folder: Path) -> None:
        np.save(folder / "table.npy", self.table)
        told = {"offset": self.offset, "rows": self.rows, "rng": self.rng.bit_generator.state, "cuts": self.cuts,
                "events": self.events, "added": self.added}  # fmt: skip
        (folder / "rest.json").write_text(json.dumps(told))

    def load_from(self, folder: Path) -> None:
        self.table = np.load(folder / "table.npy")
        told = json.loads((folder / "rest.json").read_text())
        self.offset, self.rows, self.cuts = told["offset"], told["rows"], told["cuts"]
        self.events, self.added = told["events"], told["added"]
        self.rng.bit_generator.state = told["rng"]

    def command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if name == "add":
            self.table += np.float32(arguments["what"])
            self.added += 1
            self.touched.update(range(len(self.table)))
            return {"added": self.added}
        if name == "pause":
            self.added += 1
            return {"paused": True}
        if name == "standing":
            return {"table": self.table.tolist(), "cuts": self.cuts, "events": self.events, "rows": self.rows,
                    "offset": self.offset, "added": self.added}  # fmt: skip
        raise UnknownNameError("command", name, ("add", "standing"))

    def moves(self) -> list[dict[str, Any]]:
        return []


def open_learning(path: Path, settings: Settings) -> CountingLearning:
    """What the process is started with."""
    assert (path / "everbrook.json").exists()
    assert settings.learner.micro_batch_events > 0
    return CountingLearning()


def uninterrupted(path: Path, cuts: list[int]) -> CountingLearning:
    """The same learned in one go, cut at the same places."""
    learning = CountingLearning()
    with LogFollower(path) as log:
        portions = Portions(log, 0, ("event", "item", "user", "deletion"))
        for stop in cuts:
            for run in portions.take(stop):
                learning.absorb(run)
    return learning
