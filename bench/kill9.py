"""Killing the learner again and again while it learns: is every event learned once, and is the model the same?

    python bench/kill9.py [--cycles 200] [--width 16]

A log grows, a learner's process learns from it with the real live model, and is killed (SIGKILL) at random moments,
also while it writes checkpoints. At the end the same log is learned in one go, in this process, cut at the same places;
all arrays of both (rows, network, optimiser, reservoir, gate, drift, points to go back to) are compared bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from everbrook.engine.fitting import TYPES
from everbrook.engine.keeping import learned_digest
from everbrook.engine.learner_checkpoints import LearnerCheckpoints
from everbrook.engine.learner_portions import Portions
from everbrook.engine.learner_process import FOLDER, JOURNAL
from everbrook.engine.learning import LiveLearning
from everbrook.engine.supervisor import Supervisor
from everbrook.events.columns import EventColumns
from everbrook.events.log_follower import LogFollower
from everbrook.events.sqlite_log import SqliteLog
from everbrook.learn.deltas import Delta
from everbrook.settings import Settings, load_settings
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

BATCH = 20


class Served:
    """What the lists would be made from: every delta's rows, in the order in which they come."""

    def __init__(self) -> None:
        self.rows: dict[int, bytes] = {}
        self.offset, self.deltas = 0, 0

    def take(self, delta: Delta) -> None:
        """Apply a delta."""
        for row, values in zip(delta.rows.tolist(), delta.values, strict=True):
            self.rows[row] = values.tobytes()
        self.offset, self.deltas = delta.offset, self.deltas + 1


def settings_of(width: int) -> Settings:
    """Small and quick; all checkpoints stay, so that the journal holds every cut."""
    return load_settings(assignments=[
        f"live.width={width}", "live.negatives=64", "live.reservoir=512", "learner.micro_batch_ms=5",
        "learner.checkpoint_events=700", "learner.checkpoints=100", "learner.restart_backoff_s=0.01",
        "learner.restart_backoff_max_s=0.01", "learner.core_share=1.0", "log.seal_events=0",
    ]).settings  # fmt: skip


def main() -> None:
    """Kill, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--width", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings, served = settings_of(options.width), Served()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        cuts: dict[int, int] = {}
        kills, sent = killed(path, settings, served, (options.cycles, cuts))
        told = compared(path, settings, served, cuts)
    data.tell("kill9/kills", kills, "kills", cycles=options.cycles, events=sent)
    for name, value in told.items():
        data.tell(f"kill9/{name}", value, "1")


def killed(path: Path, settings: Settings, served: Served, asked: tuple[int, dict[int, int]]) -> tuple[int, int]:
    """Let the learner be killed so often, and note its cuts by number; gives kills and events."""
    cycles, cuts = asked
    events = World(preset("shop")).all_events()
    rng, sent, kills = np.random.default_rng(0), 0, 0
    log = SqliteLog.open(path, settings.log)
    supervisor = Supervisor(path, settings, on_delta=served.take)
    supervisor.start(log.end)
    try:
        for cycle in range(cycles):
            for _ in range(int(rng.integers(1, 4))):
                sent = append(log, supervisor, events, sent)
                time.sleep(float(rng.uniform(0.0, 0.05)))
                note_cuts(path, cuts)
            if cycle % 3:  # a third of the kills come while it is still starting or doing things again
                wait(lambda stop=sent: served.offset >= stop, supervisor)  # type: ignore[misc]
                sent = append(log, supervisor, events, sent)
                time.sleep(float(rng.uniform(0.0, 0.08)))
            note_cuts(path, cuts)
            pid = supervisor.status()["pid"]
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                kills += 1
                wait(lambda pid=pid: supervisor.status()["pid"] != pid, supervisor)  # type: ignore[misc]
            if cycle % 20 == 19:
                print(f"{cycle + 1} cycles, {sent} events", file=sys.stderr, flush=True)
        sent = append(log, supervisor, events, sent)
        wait(lambda: served.offset >= sent, supervisor)
        wait(lambda: supervisor.status()["state"] == "learning", supervisor)
        note_cuts(path, cuts)
    finally:
        supervisor.stop()
        log.close()
    return kills, sent


def note_cuts(path: Path, cuts: dict[int, int]) -> None:
    """Read the journal as it is now: earlier entries are pruned from it as checkpoints are made."""
    file = path / FOLDER / JOURNAL
    lines = file.read_bytes().splitlines() if file.exists() else []
    if not lines:
        return
    first = int(json.loads(lines[0].split(b" ", 1)[1])["first"])
    for number, line in enumerate(lines[1:], first):
        found = re.fullmatch(rb"[0-9a-f]{8} (\d+)", line)
        if found is not None:
            cuts[number] = int(found[1])


def append(log: SqliteLog, supervisor: Supervisor, events: EventColumns, sent: int) -> int:
    """Append the next few events; gives how many there are."""
    end = log.append_columns(events.slice(sent, sent + BATCH)).stop
    supervisor.note_end(end)
    return sent + BATCH


def wait(what, supervisor: Supervisor) -> None:  # type: ignore[no-untyped-def]
    """Until something is so."""
    until = time.monotonic() + 300
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(str(supervisor.status()))
        time.sleep(0.005)


def compared(path: Path, settings: Settings, served: Served, cuts: dict[int, int]) -> dict[str, float]:
    """What the last checkpoint and one uninterrupted run have in common."""
    folder = path / FOLDER
    found = LearnerCheckpoints(folder, learned_digest(settings), settings.learner.checkpoints)
    recovered, whole = LiveLearning(settings), LiveLearning(settings)
    with LogFollower(path) as log:
        kept = found.whole(log.end)
        if not kept:
            raise RuntimeError(f"The learner must leave a checkpoint; got none: {found.errors}")
        recovered.load_from(kept[0].path)
        if sorted(cuts) != list(range(len(cuts))):
            raise RuntimeError("Every cut must have been noted.")
        portions = Portions(log, 0, TYPES)
        for number in range(len(cuts)):
            for run in portions.take(cuts[number]):
                whole.absorb(run)
        events = len(log.read_events())
    one, two = recovered.parts(), whole.parts()
    different = [
        f"{part}/{name}" for part, arrays in two.items() for name, array in arrays.items()
        if np.asarray(array).tobytes() != np.asarray(one[part][name]).tobytes()
    ]
    table = whole.learner.weights.rows.table
    stale = sum(table[row].tobytes() != values for row, values in served.rows.items())
    for name in different[:10]:
        part, _, key = name.partition("/")
        print(f"different: {name}", two[part][key].ravel()[:4], one[part][key].ravel()[:4], file=sys.stderr)
    return {
        "events_lost": max(0, events - recovered.events), "events_learned_twice": max(0, recovered.events - events),
        "arrays_that_differ": len(different), "served_rows_that_differ": stale, "deltas": served.deltas,
    }  # fmt: skip


if __name__ == "__main__":
    main()
