"""Killing the whole tree, server and learner, again and again under write load: is every acknowledged event there once?

    OMP_NUM_THREADS=1 python bench/kill_tree.py [--cycles 1000] [--seconds 3600]

Clients post batches over HTTP, each event with an id of its own. At a random moment, also while it is starting, sealing
or writing checkpoints, the server's whole process group is killed (SIGKILL); another one is started on the directory,
and what was not answered is sent again. Once it is ready the server must count as many events as the log has, and every
fifty kills the log must hold every acknowledged event once; at the end the learner must have learned each of them.

The processes are forks of one that has imported everything, so that a cycle takes a second and not ten; what they run
is what `everbrook serve` runs. Prints JSON lines; the exit code tells whether all was right.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import http.client
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from everbrook import Recommender
from everbrook.engine import learner_process, supervisor
from everbrook.engine.checkup import look_over
from everbrook.engine.learner_link import Link
from everbrook.events.log_follower import LogFollower
from everbrook.http.server import serve
from everbrook.settings import Settings, load_settings

CLIENTS, BATCH, ITEMS, USERS = 4, 5, 200, 300
ALL_EVERY = 50  # kills; after so many every event is looked at, after each they are counted
LIMIT_S = 600.0
PR_SET_CHILD_SUBREAPER = 36


def settings_of() -> Settings:
    """Everything that writes happens often."""
    return load_settings(environment={}, assignments=[
        "serve.port=0", "engine.checkpoint_events=800", "engine.refit_every_s=0", "engine.refit_drift_s=0",
        "log.seal_events=1000", "learner.checkpoint_events=800", "learner.micro_batch_ms=5", "live.width=16",
        "live.negatives=64", "live.reservoir=512", "engine.log_impressions=true",
    ]).settings  # fmt: skip


class Child:
    """A forked process, as `subprocess.Popen` would tell of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, where it has ended."""
        return self._reap(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended."""
        code = self._reap(0)
        assert code is not None
        return code

    def _reap(self, how: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, how)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, where it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def start(path: Path, settings: Settings) -> tuple[Child, int]:
    """A server with a learner beside it, in a process group of their own; and where it will say its port."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tell)
        while os.getpgid(pid) != pid:  # else the first kill might find no group
            time.sleep(0.001)
        return Child(pid), told
    try:
        os.setsid()
        os.close(told)
        _lead(path, settings, tell)
    finally:
        os._exit(1)


def _lead(path: Path, settings: Settings, tell: int) -> None:
    ours, theirs = socket.socketpair()
    learner = os.fork()
    if not learner:
        ours.close()
        os.close(tell)
        os._exit(learner_process.main([str(theirs.fileno())]))
    theirs.close()
    spawned, first = supervisor._spawn, [(Link(ours), Child(learner))]
    supervisor._spawn = lambda: first.pop() if first else spawned()  # type: ignore[assignment,return-value]
    with Recommender.open(path, settings, beside=True) as engine:
        engine.start_learner()
        serve(engine, settings, lambda address: os.write(tell, address.rsplit(":", 1)[1].encode() + b"\n") and None)
    os._exit(0)


class Load:
    """Clients that post events until they are told to stop, and know what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.open: list[list[dict[str, Any]]] = [[] for _ in range(CLIENTS)]  # sent and not answered
        self._count, self._rng, self._lock = 0, random.Random(1), threading.Lock()

    def run(self, port: int, until: threading.Event) -> list[threading.Thread]:
        """Begin to post."""
        threads = [threading.Thread(target=self._one, args=(number, port, until)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def _one(self, number: int, port: int, until: threading.Event) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            while not until.is_set():
                self.open[number] = self.open[number] or self._batch()
                body = json.dumps({"events": self.open[number]})
                connection.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    with self._lock:
                        self.acknowledged.update(event["id"] for event in self.open[number])
                    self.open[number] = []

    def _batch(self) -> list[dict[str, Any]]:
        with self._lock:
            first, self._count = self._count, self._count + BATCH
            return [
                {"user": f"u{self._rng.randrange(USERS)}", "item": f"i{self._rng.randrange(ITEMS)}", "id": f"e{n}"}
                for n in range(first, self._count)
            ]


def faults(path: Path, acknowledged: set[str]) -> tuple[int, dict[str, int]]:
    """How many events the log has; and how many acknowledged ones are missing, and events that are there twice."""
    with LogFollower(path) as log:
        events = log.read_events()
    names = [] if events.id is None else events.id.texts()
    found = Counter(names)
    missing = sum(1 for one in acknowledged if one not in found)
    return len(events), {"missing": missing, "twice": sum(count - 1 for count in found.values())}


def stored_events(path: Path) -> int:
    """How many events the log has."""
    if not (path / "log.sqlite").exists():
        return 0
    with LogFollower(path) as log:
        return sum(len(run) for run in log.runs(0, types=("event",)))


def ask(port: int, path: str) -> Any:
    """What a server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def wait_port(child: Child, told: int) -> int | None:
    """Where it listens; None where it has ended before."""
    with os.fdopen(told) as pipe:
        line = pipe.readline()
    if line:
        return int(line)
    child.wait()
    return None


def adopt() -> None:
    """Let orphans of ours become our own children (Linux), so that `end` knows at once when they are gone."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "This process must be able to take in orphans.")


def end(child: Child) -> None:
    """Kill the whole tree, and wait until all of it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    with contextlib.suppress(ChildProcessError):  # the learner, which is an orphan now, is the last of the group
        while True:
            os.waitpid(-child.pid, 0)


def cycle(path: Path, settings: Settings, load: Load, rng: random.Random, wrong: Counter[str]) -> bool:
    """One life; whether it got as far as answering."""
    stored = stored_events(path)
    child, told = start(path, settings)
    if rng.random() < 0.2:  # while it is starting
        time.sleep(rng.uniform(0.0, 0.6))
        end(child)
        os.close(told)
        return False
    port = wait_port(child, told)
    if port is None:
        wrong["did_not_start"] += 1
        return False
    status, standing = ask(port, "/v1/status")
    wrong["events_not_counted_once"] += status != 200 or standing["events"] != stored
    until = threading.Event()
    threads = load.run(port, until)
    time.sleep(rng.uniform(0.02, 0.8))
    end(child)
    until.set()
    for thread in threads:
        thread.join()
    return True


def learned(path: Path, settings: Settings, stored: int, wrong: Counter[str]) -> None:
    """At the end: the learner has learned every event, once."""
    child, told = start(path, settings)
    port = wait_port(child, told)
    assert port is not None
    until, live = time.monotonic() + LIMIT_S, {}
    while time.monotonic() < until and live.get("events") != stored:
        time.sleep(0.2)
        live = ask(port, "/v1/status")[1]["live"]
    wrong["learner_not_exact"] += live.get("events") != stored
    os.kill(child.pid, signal.SIGTERM)  # an orderly stop leaves nothing behind either
    wrong["stop_failed"] += child.wait() != 0
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def tell(name: str, value: float, unit: str, **more: Any) -> None:
    """Print a line."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    told = {"name": f"kill_tree/{name}", "value": value, "unit": unit, **more}
    print(json.dumps(told | {"commit": done.stdout.strip() or "unknown"}), flush=True)


def main() -> int:
    """Kill so often, then tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop early after so long")
    asked = parser.parse_args()
    settings, load, rng = settings_of(), Load(), random.Random(asked.seed)
    wrong: Counter[str] = Counter()
    began_s, answered, kills = time.monotonic(), 0, 0
    adopt()
    with tempfile.TemporaryDirectory() as folder:
        with Recommender.open(Path(folder) / "warm", settings) as engine:  # compiled code is loaded once, here
            for n in range(40):
                engine.ingest([{"user": f"u{n % 7}", "item": f"i{n % 9}", "id": f"e{n}"}])
            engine.recommend(user="u1", k=5)
        path = Path(folder) / "data"
        while kills < asked.cycles and time.monotonic() - began_s < asked.seconds:
            answered += cycle(path, settings, load, rng, wrong)
            kills += 1
            if kills % ALL_EVERY == 0:
                wrong.update(faults(path, load.acknowledged)[1])
                print(f"{kills} kills, {len(load.acknowledged)} events, {dict(wrong)}", file=sys.stderr, flush=True)
        stored, found = faults(path, load.acknowledged)
        wrong.update(found)
        learned(path, settings, stored, wrong)
        troubles = [one for one in look_over(path, settings) if one.level == "wrong"]
        wrong["doctor_complains"] += len(troubles)
        for one in troubles:
            print(one.message, file=sys.stderr)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(one.ru_utime + one.ru_stime for one in used)
    took_s = time.monotonic() - began_s
    tell("kills", kills, "kills", answered_before=answered, took_s=round(took_s), cpu_s=round(cpu_s))
    tell("acknowledged", len(load.acknowledged), "events", stored=stored)
    for name in ("missing", "twice", "events_not_counted_once", "did_not_start", "learner_not_exact", "stop_failed",
                 "doctor_complains"):  # fmt: skip
        tell(name, wrong[name], "faults")
    return int(sum(wrong.values()) > 0)


if __name__ == "__main__":
    sys.exit(main())
