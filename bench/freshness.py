"""From an event to served weights: a server and its learner on this machine, under a steady load over HTTP.

    python bench/freshness.py [--rate 1000] [--lists 30] [--seconds 60] [--items 20000]

A made catalogue is served by `everbrook serve` in its own process (with its learner in another); this process sends
events in batches of 10 at an even pace, and asks for lists beside them. Freshness is the server's own, as it stands in
`status`: from an event's being durable to the weights that learned it standing in the lists.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

BATCH = 10
USERS = 5_000


class Client:
    """One connection that stays open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask, and give what was answered; an answer that is no success ends the run."""
        sent = None if body is None else json.dumps(body)
        try:
            answer, told = self._once(method, path, sent)
        except (ConnectionError, http.client.RemoteDisconnected):  # it was idle, and the server let go of it
            self._connection.close()
            answer, told = self._once(method, path, sent)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {told[:300]!r}")
        return json.loads(told)

    def _once(self, method: str, path: str, sent: str | None) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer, answer.read()


def events(rng: np.random.Generator, items: int, count: int) -> list[dict[str, Any]]:
    """Clicks of people who each like a part of the catalogue."""
    users = rng.integers(0, USERS, count)
    liked = (users * 37 + (rng.random(count) ** 3 * 200).astype(np.int64)) % items
    return [{"user": f"u{u}", "item": f"i{i}", "kind": "view"} for u, i in zip(users, liked, strict=True)]


def load(port: int, options: argparse.Namespace, took_s: list[float]) -> None:
    """Send events at an even pace."""
    client, rng = Client(port), np.random.default_rng(0)
    begun = time.perf_counter()
    for turn in range(int(options.seconds * options.rate / BATCH)):
        wait_s = begun + turn * BATCH / options.rate - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        asked = time.perf_counter()
        client.call("POST", "/v1/events", {"events": events(rng, options.items, BATCH)})
        took_s.append(time.perf_counter() - asked)


def lists(port: int, options: argparse.Namespace, stop: threading.Event, took_s: list[float]) -> None:
    """Ask for lists at an even pace until it is time to stop."""
    client, rng = Client(port), np.random.default_rng(1)
    while not stop.wait(1.0 / options.lists):
        asked = time.perf_counter()
        client.call("POST", "/v1/recommend", {"user": f"u{rng.integers(USERS)}", "k": 20, "explain": False})
        took_s.append(time.perf_counter() - asked)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Serve, load, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--lists", type=float, default=30.0, help="lists a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--judge", type=float, default=0.02, help="share of events whose list is judged")
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", folder, "--port", str(options.port),
             "--set", f"mixture.judge_share={options.judge}", "--set", "engine.log_impressions=false"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            measure(server.pid, options)
        finally:
            server.terminate()
            server.wait(60)


def measure(pid: int, options: argparse.Namespace) -> None:
    """Warm up, then load."""
    client = ready(options.port)
    rng = np.random.default_rng(2)
    for _ in range(20):
        client.call("POST", "/v1/events", {"events": events(rng, options.items, 500)})
    caught_up(client)
    before = cpu_s(pid), cpu_s(learner(client)["pid"])
    stop, event_s, list_s = threading.Event(), [], []
    asking = threading.Thread(target=lists, args=(options.port, options, stop, list_s))
    asking.start()
    begun = time.perf_counter()
    load(options.port, options, event_s)
    spent_s = time.perf_counter() - begun
    told = learner(client)
    stop.set()
    asking.join()
    rate = options.seconds * options.rate / spent_s
    more = {"rate": round(rate), "lists": round(len(list_s) / spent_s, 1), "items": options.items}
    for name, value in told["freshness"].items():
        if isinstance(value, int | float):
            data.tell(f"freshness/{name}", value, "ms" if name.endswith("_ms") else "1", **more)
    for name, times in (("post", event_s), ("list", list_s)):
        for q in (50, 99):
            data.tell(f"freshness/{name}_p{q}", 1000 * float(np.percentile(times, q)), "ms", **more)
    data.tell("freshness/server_cpu", (cpu_s(pid) - before[0]) / spent_s, "cores", **more)
    data.tell("freshness/learner_cpu", (cpu_s(told["pid"]) - before[1]) / spent_s, "cores", **more)
    data.tell("freshness/behind", told["behind"], "records", **more)


def learner(client: Client) -> dict[str, Any]:
    """How the learner's process stands."""
    told: dict[str, Any] = client.call("GET", "/v1/status")["live"]["process"]
    return told


def ready(port: int) -> Client:
    """A client, once the server answers."""
    until = time.monotonic() + 300
    while True:
        try:
            client = Client(port)
            client.call("GET", "/readyz")
            return client
        except (OSError, RuntimeError, http.client.HTTPException):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def caught_up(client: Client) -> None:
    """Wait until the learner has learned all there is."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        told = learner(client)
        if told["state"] == "learning" and told["behind"] == 0:
            return
        time.sleep(0.5)
    raise TimeoutError("The learner did not catch up.")


if __name__ == "__main__":
    main()
