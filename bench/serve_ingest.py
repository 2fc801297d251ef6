"""Events over HTTP: how many a second in batches of 100 and singly, beside the floor of the web framework; freshness of
what was answered; and how soon a server with a million events is ready again.

    OMP_NUM_THREADS=1 python bench/serve_ingest.py [--only batches singles floor pairs restart] [--seconds 8]

Prints JSON lines. Not a test: nothing passes or fails by time. The server and the generator share the machine. The
generator is wrk (a Debian package) where it is installed, else sockets without a library in a process of their own.
`floor` is the same framework on the same server loop, which reads the same bodies and answers a constant.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import serve_load as load

ITEMS, USERS = 10_000, 5_000
ALONE = ("engine.refit_every_s=0", "engine.refit_drift_s=0")  # no fit of the large model beside what is measured
PARTS = ("floor", "batches", "singles", "pairs", "restart")
FLOOR = """
import sys, asyncio, socket, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
BODY = b'{"accepted":100,"duplicates":0,"offset":123456}'
async def constant(request):
    await request.body()
    return Response(BODY, media_type="application/json")
app = Starlette(routes=[Route("/v1/events", constant, methods=["POST"])])
held = socket.socket()
held.bind(("127.0.0.1", 0))
held.listen(2048)
config = uvicorn.Config(app, ws="none", lifespan="off", log_level="warning", access_log=False, server_header=False,
                        date_header=False, proxy_headers=False)
print(f"Everbrook answers on http://127.0.0.1:{held.getsockname()[1]} (floor)", flush=True)
uvicorn.Server(config).run(sockets=[held])
"""


class Served:
    """A server's process.

    Args:
        process: the process.
        port: where it answers.
        began_s: when it was started.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, began_s: float) -> None:
        self.process, self.port, self.began_s = process, port, began_s

    def cpu_s(self) -> tuple[float, float]:
        """Processor seconds of the process, and of its children that live."""
        own = _cpu_s(self.process.pid)
        tasks = Path(f"/proc/{self.process.pid}/task")
        children = {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}
        return own, sum(_cpu_s(pid) for pid in children)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def served(command: list[str]) -> Iterator[Served]:
    """A server that answers, stopped in an orderly way at the end."""
    began_s = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError(f"The server must say where it answers; got {line!r}.")
        yield Served(process, int(line.split("http://")[1].split()[0].rsplit(":", 1)[1]), began_s)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def serving(path: Path, *assignments: str) -> list[str]:
    """The command that serves a data directory."""
    sets = [part for one in assignments for part in ("--set", one)]
    return [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", str(path), "--port", "0", *sets]


def wait_ready(server: Served) -> float:
    """Seconds from the start of the process to the first 200 of /readyz."""
    while True:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=30) as answer,
        ):
            if answer.status == 200:
                return time.perf_counter() - server.began_s
        time.sleep(0.005)


def tell(name: str, value: float, unit: str, **more: Any) -> None:
    """Print a line."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    told = {"name": name, "value": round(value, 3), "unit": unit, **more, "load": round(os.getloadavg()[0], 1)}
    machine = f"{os.cpu_count()} x {platform.machine()}"
    print(json.dumps(told | {"commit": done.stdout.strip() or "unknown", "machine": machine}), flush=True)


def put_items(server: Served) -> None:
    """Send the catalogue."""
    for start in range(0, ITEMS, 1000):
        items = [
            {"id": f"i{n}", "title": f"Thing {n}", "categories": [f"c{n % 50}"]} for n in range(start, start + 1000)
        ]
        body = json.dumps({"items": items}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/v1/items", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60).read()


def first_events(server: Served) -> None:
    """Events one at a time, waited for: what is loaded at first use is loaded then."""
    for n in range(10):
        events = [{"user": f"u{m}", "item": f"i{m}", "id": f"first-{n}-{m}"} for m in range(100 if n % 2 else 1)]
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/v1/events", json.dumps({"events": events}).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        urllib.request.urlopen(request, timeout=120).read()


def measure(server: Served, what: str, size: int, asked: argparse.Namespace, **more: Any) -> float:
    """Send batches of one size as fast as they are taken; prints and gives the events a second."""
    connections = asked.connections or (8 if size > 1 else 48)
    load.run(server.port, size, connections, 2.0, ITEMS, USERS)  # what is loaded at first use
    before, learner_before = server.cpu_s()
    told = load.run(server.port, size, connections, asked.seconds, ITEMS, USERS)
    after, learner_after = server.cpu_s()
    events = told.answered * size
    more |= {"connections": connections, "generator": told.generator, "not_200": told.refused}
    rate = events / told.seconds
    tell(f"ingest/{what}", rate, "events/s", **more)
    tell(f"ingest/{what}/p50", told.p50_ms, "ms")
    tell(f"ingest/{what}/p99", told.p99_ms, "ms")
    tell(f"ingest/{what}/server", 1e6 * (after - before) / max(events, 1), "us CPU an event")
    tell(f"ingest/{what}/learner", 1e6 * (learner_after - learner_before) / max(events, 1), "us CPU an event")
    tell(f"ingest/{what}/generator", 1e6 * told.cpu_s / max(events, 1), "us CPU an event")
    return rate


def ingest(asked: argparse.Namespace, parts: list[str]) -> None:
    """Batches, singles and pairs, with learning on and off, beside the floor."""
    floors: dict[int, float] = {}
    if "floor" in parts:
        with served([sys.executable, "-c", FLOOR]) as server:
            for size in (100, 1):
                floors[size] = measure(server, f"floor-{size}", size, asked)
    for mode in asked.learner:
        sets = (f"learner.mode={mode}", *ALONE)
        with tempfile.TemporaryDirectory() as folder, served(serving(Path(folder) / "data", *sets)) as server:
            wait_ready(server)
            put_items(server)
            first_events(server)
            for name, size in (("batches", 100), ("singles", 1)):
                if name in parts:
                    rate = measure(server, f"{name}-{mode}", size, asked)
                    if size in floors:
                        tell(f"ingest/{name}-{mode}/of_floor", rate / floors[size], "share")
            if "pairs" in parts:
                pairs(server, mode, asked.pairs)


def pairs(server: Served, mode: str, count: int) -> None:
    """An event, and after its answer a list on another connection: is it there?"""
    told = load.pairs(server.port, count)
    tell(f"pairs/{mode}", told.answered, "pairs", stale=told.refused, p50_ms=told.p50_ms, p99_ms=told.p99_ms)


def restart(asked: argparse.Namespace) -> None:
    """Stop and kill a server with many events: when is the next one ready?"""
    from everbrook import Recommender
    from everbrook.events.columns import Coded, EventColumns
    from everbrook.settings import load_settings

    count = asked.events
    rng = np.random.default_rng(0)
    now_ms = time.time_ns() // 1_000_000
    ranks = np.minimum(50.0 * rng.pareto(1.0, count), ITEMS - 1).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        settings = load_settings().settings
        with Recommender.open(path, settings, beside=True) as engine:
            for start in range(0, ITEMS, 1000):
                engine.put_items([{"id": f"i{n}", "title": f"Thing {n}"} for n in range(start, start + 1000)])
            for start in range(0, count, 200_000):
                some = min(200_000, count - start)
                engine.import_columns(EventColumns(
                    now_ms - 100 * np.arange(count - start, count - start - some, -1, dtype=np.int64),
                    Coded(rng.integers(0, 50_000, some, dtype=np.int32), [f"u{n}" for n in range(50_000)]),
                    Coded.missing(some), Coded(ranks[start : start + some], [f"i{n}" for n in range(ITEMS)]),
                    Coded(np.zeros(some, np.int32), ["view"]), Coded.missing(some), np.full(some, np.nan, np.float32),
                ))  # fmt: skip
        for turn in range(asked.restarts):
            with served(serving(path)) as server:
                tell("restart/after_stop", wait_ready(server), "s", events=count, turn=turn)
                load.run(server.port, 100, 4, 3.0, ITEMS, USERS)
                server.process.kill()
            with served(serving(path)) as server:
                tell("restart/after_kill", wait_ready(server), "s", events=count, turn=turn)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--connections", type=int, default=0)
    parser.add_argument("--learner", nargs="*", default=["off", "process"])
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--restarts", type=int, default=2)
    asked = parser.parse_args()
    if not shutil.which("wrk"):
        print("wrk is not installed; the generator is our own.", file=sys.stderr)
    if {"floor", "batches", "singles", "pairs"} & set(asked.only):
        ingest(asked, asked.only)
    if "restart" in asked.only:
        restart(asked)


if __name__ == "__main__":
    main()
