"""How soon a server that is started again at a directory of a million events is ready, and answers its first list.

    OMP_NUM_THREADS=1 python bench/restart.py [--events 1000000] [--items 10000] [--turns 5] [--keep FOLDER]

Prints JSON lines. Not a test: nothing passes or fails by time, but it ends with an error where a list after a start is
another than before it. The directory is made fast: the log is written in one piece, folded once without judged lists,
and the live model learns the last events only. `--keep` keeps it, and takes up one that was kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

USERS, LEARNED, DAY_MS = 50_000, 20_000, 86_400_000
ALONE = ("engine.refit_every_s=0", "engine.refit_drift_s=0")
ASKED = (*({"user": f"u{number}", "k": 20} for number in (7, 4_321, 49_999)), {"k": 20})


def make(path: Path, events: int, items: int) -> None:
    """Make a data directory as a server leaves it: the log, a checkpoint of what was learned, one of the learner."""
    from everbrook import Recommender
    from everbrook.engine.fitting import TYPES
    from everbrook.engine.learning import LiveLearning
    from everbrook.engine.resuming import keep_for_process
    from everbrook.events.columns import Coded, EventColumns
    from everbrook.settings import load_settings

    rng, began_s = np.random.default_rng(0), time.perf_counter()
    user = rng.integers(0, USERS, events).astype(np.int32)
    near = (rng.random(events) ** 3 * items / 5).astype(np.int64)
    item = ((user.astype(np.int64) * 37 + near) % items).astype(np.int32)
    start_ms = time.time_ns() // 1_000_000 - DAY_MS
    made = load_settings(assignments=["engine.catch_up_judge_share=0.002", "learner.mode=off", *ALONE]).settings
    with Recommender.open(path, made) as engine:
        for first in range(0, items, 1000):
            engine.put_items([{"id": f"i{n}", "title": f"Thing {n}"} for n in range(first, min(first + 1000, items))])
        engine.import_columns(EventColumns(
            ts_ms=np.sort(rng.integers(start_ms, start_ms + DAY_MS, events)),
            user=Coded(user, [f"u{n}" for n in range(USERS)]), session=Coded.missing(events),
            item=Coded(item, [f"i{n}" for n in range(items)]), kind=Coded(np.zeros(events, np.int32), ["view"]),
            scenario=Coded(np.zeros(events, np.int32), ["home"]), value=np.full(events, np.nan, np.float32),
        ))  # fmt: skip
        settings = load_settings().settings
        learning = LiveLearning(settings)
        for run in engine.log.runs(0, engine.log.end - LEARNED, TYPES, limit=8192):
            if run.events is None:
                learning.absorb(run)
                continue
            step = learning.state.fold(run.events)
            if learning.guard is not None:
                learning.guard.weigh(step)
            learning.learner.grow(learning.state.n_items, learning.state.n_actors)
        for run in engine.log.runs(engine.log.end - LEARNED, engine.log.end, TYPES, limit=256):
            learning.absorb(run)
        keep_for_process(path, settings, learning)
    tell("restart/made", time.perf_counter() - began_s, "s", events=events, items=items)


def tell(name: str, value: float, unit: str, **more: Any) -> None:
    """One line of figures."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    more |= {"load": round(os.getloadavg()[0], 1), "commit": done.stdout.strip() or "unknown"}
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit} | more), flush=True)


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(port: int, body: dict[str, Any]) -> list[tuple[str, float]]:
    """The items of a list and their scores."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/recommend", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [(item["id"], item["score"]) for item in json.loads(answer.read())["items"]]


def is_ready(port: int) -> bool:
    """Whether the server says so."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def served(path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int, float]]:
    """A server on a directory: its process, its port once it says that it answers, and when it was started."""
    sets = [word for one in ALONE for word in ("--set", one)]
    serve = [sys.executable, "-m", "everbrook.cli.main", "serve"]
    command = [*serve, "--data", str(path), "--port", "0", *sets, *options]
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield process, int(line.split("http://")[1].split()[0].rpartition(":")[2]), began_s
    finally:
        process.terminate()
        process.wait(120)


def lists_before(path: Path) -> list[list[tuple[str, float]]]:
    """What a server's engine answered before it was stopped: the directory opened without a door."""
    from everbrook import Recommender
    from everbrook.settings import load_settings

    with Recommender.open(path, load_settings(assignments=ALONE).settings, beside=True) as engine:
        found = [engine.recommend(**{"k": 20} | one) for one in ASKED]
    return [[(item.id, item.score) for item in one.items] for one in found]


def compare(one: list[list[tuple[str, float]]], two: list[list[tuple[str, float]]]) -> None:
    """End where lists differ: scores fade by the second, and near ties may change places."""
    for before, after in zip(one, two, strict=True):
        there = dict(before)
        alike = [abs(there[item] - score) <= 0.02 * abs(score) for item, score in after if item in there]
        if sum(alike) < 0.95 * len(before) or not before:
            raise SystemExit(f"Lists before and after a start must be alike; got {before} and {after}.")


def once(path: Path, turn: int) -> list[list[tuple[str, float]]]:
    """Start, measure, ask, stop; the lists."""
    with served(path) as (process, port, began_s):
        while not is_ready(port):
            time.sleep(0.005)
        tell("restart/ready", time.perf_counter() - began_s, "s", cpu_s=cpu_s(process.pid), turn=turn)
        asked_s = time.perf_counter()
        lists = [ask(port, ASKED[0])]
        tell("restart/first_list", time.perf_counter() - asked_s, "s", cpu_s=cpu_s(process.pid), turn=turn)
        torch = "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()
        tell("restart/torch_loaded", float(torch), "yes or no", turn=turn)
        return [*lists, *(ask(port, one) for one in ASKED[1:])]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = asked.keep or Path(folder) / "made"
        if not kept.exists():
            make(kept, asked.events, asked.items)
        path = Path(folder) / "data"
        shutil.copytree(kept, path)
        before = lists_before(path)
        shutil.rmtree(path)
        for turn in range(asked.turns):
            shutil.copytree(kept, path)
            compare(before, once(path, turn))
            shutil.rmtree(path)


if __name__ == "__main__":
    main()
