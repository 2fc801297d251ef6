"""A live model of a billion parameters: it learns, is published into a second table and is kept, beside a small one.

    python bench/large.py [--items 15625000] [--small 100000] [--seconds 20]

Made events over the whole catalogue come at a steady rate and are learned in portions of 20 ms. Freshness is the time
from a portion's arrival until its rows and network stand in the second table (tested, learned, encoded, checked,
decoded, applied); both sizes are measured in turn within one run. Memory is of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from everbrook.engine.learning import LiveLearning
from everbrook.engine.publishing import apply
from everbrook.learn.deltas import decode, encode
from everbrook.models.live_expert import LiveExpert
from everbrook.settings import load_settings
from everbrook.types import Step

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

RATE = 1000  # events a second
PORTION_MS = 20
HISTORY = 8


class Side:
    """One size of the model: what learns, and the table that answers."""

    def __init__(self, items: int) -> None:
        settings = load_settings(assignments=["gate.start=live", "popularity.half_lives_s=[300, 0]"]).settings
        self.items = items
        started = time.perf_counter()
        self.learning = LiveLearning(settings)
        self.learning.learner.grow(items, 0)
        self.served = LiveExpert(settings.live, None)
        self.served.grow(items, 0)
        self.served.stand_on(self.learning.learner.asker.popularity)
        self.made_s = time.perf_counter() - started
        self.rng = np.random.default_rng(0)
        self.offset = 0
        self.rows: list[int] = []

    def step(self, events: int) -> Step:
        """Events of actors with histories, over the whole catalogue: half by popularity, half any item."""
        rng, shape = self.rng, (events, HISTORY)
        drawn = np.where(
            rng.random(shape) < 0.5, rng.random(shape) ** 6 * self.items, rng.integers(0, self.items, shape)
        ).astype(np.int32)
        ts_ms = 1_700_000_000_000 + (self.offset + np.arange(events)) * 1000 // RATE
        return Step(
            ts_ms=ts_ms, actor=rng.integers(0, 1_000_000, events).astype(np.int32), item=drawn[:, -1].copy(),
            kind=np.zeros(events, np.int16), scenario=np.full(events, -1, np.int16),
            value=np.full(events, np.nan, np.float32), weight=np.ones(events, np.float32),
            n=np.full(events, HISTORY - 1, np.int32), session_n=np.full(events, HISTORY - 1, np.int32), items=drawn,
            times=ts_ms[:, None] - 1000 * np.arange(HISTORY, 0, -1), kinds=np.zeros(shape, np.int16),
        )  # fmt: skip

    def portion(self, events: int) -> tuple[float, float, float]:
        """Learn and publish one portion: CPU seconds of learning, of publishing, and wall seconds of both."""
        step = self.step(events)
        began, cpu = time.perf_counter(), time.process_time()
        self.offset += events
        self.learning.take_step(step, self.offset, self.items)
        learned = time.process_time()
        delta = self.learning.delta()
        assert delta is not None
        apply(decode(encode(delta)), self.served)
        self.rows.append(len(delta.rows))
        return learned - cpu, time.process_time() - learned, time.perf_counter() - began


def main() -> None:
    """Measure both sizes in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=15_625_000, help="rows of the large model; 64 numbers each")
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of event time, of each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sides = {"small": Side(options.small), "large": Side(options.items)}
    events = RATE * PORTION_MS // 1000
    took: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    portions = int(options.seconds * 1000 / PORTION_MS)
    for turn in range(portions):
        for name, side in sides.items():
            figures = side.portion(events)
            if turn >= portions // 10:  # the first load compiled code
                took[name].append(figures)
    tell(sides, took, events)
    keep(sides["large"])


def tell(sides: dict[str, Side], took: dict[str, list[tuple[float, float, float]]], events: int) -> None:
    """Print the figures of both sizes."""
    medians = {}
    for name, side in sides.items():
        learn_s, publish_s, wall_s = (np.array(column) for column in zip(*took[name], strict=True))
        medians[name] = float(np.median(wall_s))
        parameters = side.learning.learner.weights.rows.table[: side.items].size
        more = {"items": side.items, "parameters": parameters, "rows_of_a_delta": float(np.median(side.rows))}
        data.tell(f"large/{name}/learn", 1e6 * float(np.median(learn_s)) / events, "us/event", **more)
        data.tell(f"large/{name}/publish", 1e3 * float(np.median(publish_s)), "ms", **more)
        data.tell(f"large/{name}/freshness_p50", PORTION_MS + 1e3 * medians[name], "ms", **more)
        data.tell(f"large/{name}/freshness_p99", PORTION_MS + 1e3 * float(np.quantile(wall_s, 0.99)), "ms", **more)
        data.tell(f"large/{name}/made", side.made_s, "s", **more)
    waited = {name: PORTION_MS + 1e3 * median for name, median in medians.items()}
    data.tell("large/freshness_ratio", waited["large"] / waited["small"], "large / small")
    data.tell("large/memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "GiB")


def keep(side: Side) -> None:
    """Write a checkpoint of the large model."""
    folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
    try:
        began = time.perf_counter()
        side.learning.snapshot_to(folder)
        took_s = time.perf_counter() - began
        size = sum(path.stat().st_size for path in folder.iterdir())
        data.tell("large/checkpoint", took_s, "s", gib=round(size / 2**30, 2))
        settings = side.learning.settings
        del side.learning, side.served  # there is room for one such model and a half
        began = time.perf_counter()
        again = LiveLearning(settings)
        again.load_from(folder)
        data.tell("large/recover", time.perf_counter() - began, "s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
