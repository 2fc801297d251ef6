"""Hours of mixed load over HTTP: do memory, latency and file descriptors stay where they are?

    python bench/two_hours.py [--minutes 120] [--pause-ms 5] [--items 2000]

A server as `everbrook serve` starts it, learning beside the lists. One client after another sends events, asks for
lists, changes items and reads, in a fixed mixture, with a pause between requests. Each minute: resident memory and open
files of the server's and the learner's process, requests, p50 and p99 of lists and events. At the end a line is fitted
through each series after the first fifth (which warms up): it is flat where the slope's 95 % interval holds 0, or where
what the slope adds up to over two hours is less than a tenth of the level.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

MIXTURE = (("events", 0.5), ("list", 0.35), ("patch", 0.05), ("read", 0.1))
WARM = 0.2  # share of the minutes that are not judged
FLAT = 0.1  # of the level, over two hours
SERIES = ("server_mb", "learner_mb", "server_files", "learner_files", "list_p99_ms", "events_p99_ms")


class Server:
    """A server's process and one connection to it."""

    def __init__(self, path: Path, items: int) -> None:
        command = [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", str(path), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--set", "engine.refit_every_s=0"], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        found = re.search(r"http://([\d.]+):(\d+)", self.process.stdout.readline())
        assert found is not None
        self.connection = http.client.HTTPConnection(found[1], int(found[2]), timeout=60)
        self.items = items

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request on the one connection."""
        sent = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        told = answer.read()
        return answer.status, json.loads(told) if told[:1] in b"{[" else told

    def learner(self) -> int | None:
        """The learner's process."""
        status = self.ask("GET", "/v1/status")[1]
        return status["live"].get("process", {}).get("pid")

    def stop(self) -> int:
        """End it in order; gives its exit code."""
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


def request(server: Server, kind: str, rng: random.Random) -> int:
    """One request of a kind; gives the status."""
    user, item = f"u{int(rng.paretovariate(0.7)) % 5000}", f"i{int(rng.paretovariate(0.6)) % server.items}"
    if kind == "events":
        batch = [{"user": user, "item": f"i{int(rng.paretovariate(0.6)) % server.items}"} for _ in range(3)]
        return server.ask("POST", "/v1/events", {"events": batch})[0]
    if kind == "list":
        return server.ask("POST", "/v1/recommend", {"user": user, "k": 20, "scenario": rng.choice(("home", "cart"))})[0]
    if kind == "patch":
        return server.ask("PATCH", f"/v1/items/{item}", {"properties": {"price": rng.randrange(100)}})[0]
    path = rng.choice((f"/v1/items/{item}", f"/v1/items/{item}/similar?k=5", "/v1/trending?k=10", "/metrics"))
    return server.ask("GET", path)[0]


def minute(server: Server, rng: random.Random, pause_s: float) -> dict[str, float]:
    """A minute of load, and how the processes stand after it."""
    took: dict[str, list[float]] = {kind: [] for kind, _ in MIXTURE}
    kinds, shares = zip(*MIXTURE, strict=True)
    wrong, until = 0, time.monotonic() + 60.0
    while time.monotonic() < until:
        kind = rng.choices(kinds, shares)[0]
        began = time.perf_counter()
        wrong += request(server, kind, rng) >= 400
        took[kind].append(1000.0 * (time.perf_counter() - began))
        time.sleep(pause_s)
    found = {"requests": float(sum(map(len, took.values()))), "wrong": float(wrong)}
    for name, kind in (("list", "list"), ("events", "events")):
        p50, p99 = np.percentile(took[kind], (50, 99)) if took[kind] else (np.nan, np.nan)
        found |= {f"{name}_p50_ms": float(p50), f"{name}_p99_ms": float(p99)}
    for name, pid in (("server", server.process.pid), ("learner", server.learner())):
        found |= {f"{name}_mb": resident_mb(pid), f"{name}_files": open_files(pid)}
    return found


def resident_mb(pid: int | None) -> float:
    """Resident memory of a process."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files(pid: int | None) -> float:
    """How many files a process has open."""
    return float(len(os.listdir(f"/proc/{pid}/fd")))


def slope(values: list[float]) -> tuple[float, float, float]:
    """(level, slope an hour, half of the slope's 95 % interval) of a series with one value a minute.

    Neighbouring minutes are alike: the residuals' lag-one correlation widens the interval.
    """
    y = np.array(values)
    x = (np.arange(len(y)) - (len(y) - 1) / 2.0) / 60.0
    if len(y) < 4:
        return float(y.mean()), float("nan"), float("inf")
    by_hour = float(x @ y / (x @ x))
    rest = y - y.mean() - by_hour * x
    variance = float(rest @ rest) / (len(y) - 2)
    alike = float(rest[1:] @ rest[:-1] / (rest @ rest)) if variance > 0.0 else 0.0
    fewer = max((1.0 + max(alike, 0.0)) / max(1.0 - alike, 0.1), 1.0)
    return float(y.mean()), by_hour, 1.96 * float(np.sqrt(fewer * variance / (x @ x)))


def main() -> None:
    """Load it, look at it, judge it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--pause-ms", type=float, default=5.0)
    parser.add_argument("--items", type=int, default=2000)
    options = parser.parse_args()
    rng, minutes = random.Random(0), []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", options.items)
        try:
            begin = [{"id": f"i{n}", "title": f"Item {n}", "categories": [f"c{n % 20}"]} for n in range(options.items)]
            server.ask("POST", "/v1/items", {"items": begin})
            for _ in range(options.minutes):
                minutes.append(minute(server, rng, options.pause_ms / 1000.0))
                told = {name: round(value, 2) for name, value in minutes[-1].items()}
                print(json.dumps({"minute": len(minutes)} | told), flush=True)
        finally:
            code = server.stop()
    judged = minutes[int(WARM * len(minutes)) :]
    for name in SERIES:
        level, by_hour, half = slope([one[name] for one in judged])
        flat = abs(by_hour) <= half or abs(2.0 * by_hour) <= FLAT * level
        data.tell(f"two_hours/{name}", round(level, 2), name.rpartition("_")[2], by_hour=round(by_hour, 3),
                  half_interval=round(half, 3), flat=bool(flat), minutes=len(judged))  # fmt: skip
    data.tell("two_hours/requests", sum(one["requests"] for one in minutes), "requests",
              wrong=sum(one["wrong"] for one in minutes), exit_code=code)  # fmt: skip


if __name__ == "__main__":
    main()
