"""Hours of mixed load over HTTP: do memory, latency and file descriptors stay where they are?

    python bench/two_hours.py [--minutes 120] [--events 150] [--lists 10] [--users 1000] [--items 1000]

A server as `everbrook serve` starts it, learning beside the lists. The users and items are a fixed number, and first a
warm-up fills what is bounded (pages of the log, its newest records, pair counts, remembered groups), for what is asked
is whether anything grows that nothing bounds: new people and items cost memory rightly. Pairs of 1,000 items are full
after a million events. Then a client sends batches of
ten events with ids of their own, asks for lists, changes items and reads, at fixed rates; a server that falls behind is
asked as fast as it answers. Each minute: private and mapped memory and open files of the server's and the learner's
process, their CPU, the machine's load, requests, p50 and p99 of lists and events; and what a fixed piece of work takes
here meanwhile, once a second, for a machine that is shared is not always as fast. At the end a line is fitted through
each series after the first tenth: it is flat where the slope's 95 % interval holds 0, or where what the slope adds up
to over two hours is less than a share of the level.
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

BATCH, WARM_BATCH = 10, 500
SETTINGS = ("engine.refit_every_s=0", "log.seal_events=50000", "log.cache_mb=16")
"""No fits of the large model; the log's pages and live events at a bound that is reached within minutes."""
READS = ("/v1/items/{}", "/v1/items/{}/similar?k=5", "/v1/trending?k=10", "/v1/status", "/metrics")
FIXED = np.random.default_rng(0).random(200_000)  # sorted once a second: some 4 ms
WARM = 0.1  # share of the minutes that are not judged
FLAT = {"mb": 0.05, "files": 0.05, "ms": 0.1}  # of the level, over two hours
SERIES = (
    "server_mb", "learner_mb", "server_mapped_mb", "learner_mapped_mb", "server_files", "learner_files", "list_p99_ms",
    "events_p99_ms", "server_cpu_ms", "learner_cpu_ms", "fixed_p50_ms",
)  # fmt: skip


class Server:
    """A server's process and one connection to it."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", str(path), "--port", "0"]
        chosen = [word for setting in SETTINGS for word in ("--set", setting)]
        self.process = subprocess.Popen(
            [*command, *chosen], stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        assert self.process.stdout is not None
        found = re.search(r"http://([\d.]+):(\d+)", self.process.stdout.readline())
        assert found is not None
        self.connection = http.client.HTTPConnection(found[1], int(found[2]), timeout=120)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request on the one connection."""
        sent = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        told = answer.read()
        return answer.status, json.loads(told) if told[:1] in b"{[" else told

    def live(self) -> dict[str, Any]:
        """How the learner stands."""
        told: dict[str, Any] = self.ask("GET", "/v1/status")[1]["live"]
        return told

    def stop(self) -> int:
        """End it in order; gives its exit code."""
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


class Load:
    """What is sent: a fixed number of people and items, and every event once.

    Args:
        server: to whom.
        users: how many people.
        items: how many items.
    """

    def __init__(self, server: Server, users: int, items: int) -> None:
        self.server, self.users, self.items = server, users, items
        self._rng, self._count = random.Random(0), 0

    def _item(self) -> str:
        return f"i{int(self._rng.paretovariate(0.6)) % self.items}"

    def batch(self, size: int) -> dict[str, Any]:
        """Events that were never sent before."""
        first, self._count = self._count, self._count + size
        return {
            "events": [
                {"id": f"e{n}", "user": f"u{self._rng.randrange(self.users)}", "item": self._item()}
                for n in range(first, self._count)
            ]
        }

    def request(self, kind: str) -> int:
        """One request of a kind; gives the status."""
        rng, ask = self._rng, self.server.ask
        if kind == "fixed":
            np.sort(FIXED)
            return 0
        if kind == "events":
            return ask("POST", "/v1/events", self.batch(BATCH))[0]
        if kind == "list":
            user, scenario = f"u{rng.randrange(self.users)}", rng.choice(("home", "cart"))
            return ask("POST", "/v1/recommend", {"user": user, "k": 20, "scenario": scenario})[0]
        if kind == "patch":
            return ask("PATCH", f"/v1/items/{self._item()}", {"properties": {"price": rng.randrange(100)}})[0]
        return ask("GET", rng.choice(READS).format(self._item()))[0]

    def fill(self, events: int) -> None:
        """Put in the items, then so many events as fast as they are taken, and wait until the learner has them."""
        begin = [{"id": f"i{n}", "title": f"Item {n}", "categories": [f"c{n % 20}"]} for n in range(self.items)]
        self.server.ask("POST", "/v1/items", {"items": begin})
        while self._count < events:
            if self.server.ask("POST", "/v1/events", self.batch(WARM_BATCH))[0] != 200:
                raise SystemExit("The warm-up's events were refused.")
        until = time.monotonic() + 1800.0
        while self.server.live().get("events", 0) < events and time.monotonic() < until:
            time.sleep(1.0)

    def minute(self, every_s: dict[str, float]) -> dict[str, float]:
        """A minute of requests of each kind at its interval, and how the processes stand after it."""
        took: dict[str, list[float]] = {kind: [] for kind in every_s}
        begun = time.monotonic()
        pids = {"server": self.server.process.pid, "learner": self.server.live().get("process", {}).get("pid")}
        cpu_s = {name: cpu_of(pid) for name, pid in pids.items()}
        due, wrong = {kind: begun + self._rng.random() * pause_s for kind, pause_s in every_s.items()}, 0
        while (now := time.monotonic()) < begun + 60.0:
            kind = min(due, key=due.__getitem__)
            time.sleep(max(0.0, min(due[kind] - now, 60.0)))
            sent = time.perf_counter()
            wrong += self.request(kind) >= 400
            took[kind].append(1000.0 * (time.perf_counter() - sent))
            due[kind] = max(due[kind] + every_s[kind], time.monotonic() - 1.0)  # what it fell behind is not made up for
        requests = float(sum(len(times) for kind, times in took.items() if kind != "fixed"))
        found = {"requests": requests, "wrong": float(wrong), "load": os.getloadavg()[0]}
        for kind in ("list", "events", "fixed"):
            p50, p99 = np.percentile(took[kind], (50, 99)) if took[kind] else (np.nan, np.nan)
            found |= {f"{kind}_p50_ms": float(p50), f"{kind}_p99_ms": float(p99)}
        for name, pid in pids.items():
            found |= {f"{name}_{what}": value for what, value in memory_mb(pid).items()}
            found[f"{name}_files"] = open_files(pid)
            found[f"{name}_cpu_ms"] = 1000.0 * (cpu_of(pid) - cpu_s[name]) / requests
        return found


def memory_mb(pid: int | None) -> dict[str, float]:
    """Resident memory of a process: its own, and pages of files that it has mapped."""
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
    return {name: int(told[field].split()[0]) / 1024 for name, field in (("mb", "RssAnon"), ("mapped_mb", "RssFile"))}


def cpu_of(pid: int | None) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def judge(minutes: list[dict[str, float]]) -> None:
    """Say of each series whether it is flat."""
    judged = minutes[int(WARM * len(minutes)) :]
    for name in SERIES:
        level, by_hour, half = slope([one[name] for one in judged])
        unit = name.rpartition("_")[2]
        flat = abs(by_hour) <= half or abs(2.0 * by_hour) <= FLAT[unit] * level
        data.tell(f"two_hours/{name}", round(level, 2), unit, by_hour=round(by_hour, 3),
                  half_interval=round(half, 3), flat=bool(flat), minutes=len(judged))  # fmt: skip


def main() -> None:
    """Load it, look at it, judge it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--events", type=float, default=150.0, help="a second")
    parser.add_argument("--lists", type=float, default=10.0, help="a second")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--warm-events", type=int, default=1_200_000, help="before the first minute")
    options = parser.parse_args()
    every_s = {"events": BATCH / options.events, "list": 1.0 / options.lists, "patch": 1.0, "read": 0.5, "fixed": 1.0}
    minutes: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        try:
            load = Load(server, options.users, options.items)
            load.fill(options.warm_events)
            for _ in range(options.minutes):
                minutes.append(load.minute(every_s))
                told = {name: round(value, 2) for name, value in minutes[-1].items()}
                print(json.dumps({"minute": len(minutes)} | told), flush=True)
        finally:
            code = server.stop()
            judge(minutes)
    data.tell("two_hours/requests", sum(one["requests"] for one in minutes), "requests",
              wrong=sum(one["wrong"] for one in minutes), exit_code=code)  # fmt: skip


if __name__ == "__main__":
    main()
