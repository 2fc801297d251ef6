"""What stops lists and events: a checkpoint while both go on, and the first event after a start.

    OMP_NUM_THREADS=1 python bench/stops.py [--events 1000000] [--items 10000] [--turns 4] [--keep FOLDER]

Prints JSON lines. Not a test: nothing passes or fails by time. The directory is made as `restart.py` makes it; `--keep`
keeps it, and takes up one that was kept. Lists and events take turns in one thread while another writes a checkpoint;
the longest of each is told, and the most memory that the process ever had. Then a server is started on the directory,
and an event and a list behind it are sent as soon as it is ready, and again.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from restart import ALONE, ask, is_ready, make, served, tell

from everbrook import Recommender
from everbrook.settings import load_settings

BEFORE = 20  # events and lists before the first checkpoint, so that compiled code is loaded
TRIES = 3


def checkpoints(path: Path, turns: int) -> None:
    """The longest list and event while each of several checkpoints is written."""
    settings = load_settings(assignments=["learner.mode=off", *ALONE]).settings
    with Recommender.open(path, settings) as engine:
        for n in range(BEFORE):
            engine.ingest([{"user": f"u{n + 7}", "item": f"i{n + 6}"}])
            engine.recommend(user=f"u{n}", k=20)
        for turn in range(turns):
            lists, events = list[float](), list[float]()
            writing = threading.Thread(target=engine.checkpoint)
            began_s = time.perf_counter()
            writing.start()
            while writing.is_alive():
                n, asked_s = len(lists), time.perf_counter()
                engine.recommend(user=f"u{7 * n}", k=20)
                sent_s = time.perf_counter()
                engine.ingest([{"user": f"u{n}", "item": f"i{n}"}])
                lists.append(sent_s - asked_s)
                events.append(time.perf_counter() - sent_s)
            tell(
                "stops/checkpoint", time.perf_counter() - began_s, "s", longest_list_ms=round(1e3 * max(lists), 1),
                longest_event_ms=round(1e3 * max(events), 1), lists=len(lists), turn=turn,
                most_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            )  # fmt: skip
        engine.forgo_checkpoint()


def first_event(path: Path) -> None:
    """How long an event and the list behind it take, right after a start."""
    with served(path) as (_, port, _):
        while not is_ready(port):
            time.sleep(0.005)
        ask(port, {"user": "u7", "k": 20})
        for n in range(TRIES):
            body = json.dumps({"events": [{"user": f"u{n + 7}", "item": f"i{n * 11}", "kind": "view"}]}).encode()
            kind = {"Content-Type": "application/json"}
            began_s = time.perf_counter()
            urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port}/v1/events", body, kind), timeout=60
            ).read()
            sent_s = time.perf_counter()
            ask(port, {"user": f"u{n + 7}", "k": 20})
            event_ms = round(1e3 * (sent_s - began_s), 1)
            tell("stops/list_behind_an_event", 1e3 * (time.perf_counter() - sent_s), "ms", event_ms=event_ms, event=n)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = asked.keep or Path(folder) / "made"
        if not kept.exists():
            make(kept, asked.events, asked.items)
        for part in (lambda path: checkpoints(path, asked.turns), first_event):
            path = Path(folder) / "data"
            shutil.copytree(kept, path)
            part(path)
            shutil.rmtree(path)


if __name__ == "__main__":
    main()
