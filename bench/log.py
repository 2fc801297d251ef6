"""What the log costs, as JSON lines (name, value, unit, commit, machine): python bench/log.py [--quick] [--dir DIR]."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import uvloop

from everbrook.events.columns import Coded, EventColumns
from everbrook.events.log_intake import decode_events
from everbrook.events.records import Event
from everbrook.events.sqlite_log import SqliteLog

START_MS = 1_767_225_600_000
WRITERS = 256
USERS, ITEMS = 100_000, 20_000


@cache
def commit() -> str:
    """The short name of the commit that runs."""
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def report(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "commit": commit(), "machine": machine}))


def made_events(size: int, *, with_ids: bool) -> list[Event]:
    """Events of made users and items."""
    rng = np.random.default_rng(1)
    users, items = rng.integers(USERS, size=size).tolist(), rng.integers(ITEMS, size=size).tolist()
    return [
        Event(user=f"user-{user}", item=f"item-{item}", ts=START_MS + n, id=f"event-{n:09d}" if with_ids else None)
        for n, (user, item) in enumerate(zip(users, items, strict=True))
    ]


def made_columns(size: int, *, with_ids: bool) -> EventColumns:
    """Many events of made users and items, as columns."""
    rng = np.random.default_rng(2)
    zeros = np.zeros(size, np.int32)
    return EventColumns(
        ts_ms=START_MS + np.arange(size),
        user=Coded(rng.integers(USERS, size=size, dtype=np.int32), [f"user-{n}" for n in range(USERS)]),
        session=Coded.missing(size),
        item=Coded(rng.integers(ITEMS, size=size, dtype=np.int32), [f"item-{n}" for n in range(ITEMS)]),
        kind=Coded(zeros, ["view"]),
        scenario=Coded(zeros, ["home"]),
        value=np.ones(size, np.float32),
        id=Coded(np.arange(size, dtype=np.int32), [f"import-{n:09d}" for n in range(size)]) if with_ids else None,
    )


@contextmanager
def fresh_log(folder: str | None) -> Iterator[SqliteLog]:
    """A log in a directory that goes away afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as path, SqliteLog.open(Path(path) / "data") as log:
        yield log


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_flight(log: SqliteLog, batches: list[list[Event]]) -> list[float]:
    """Append batches so that 256 are always in flight; returns the seconds from each one's start to its answer."""
    waits: list[float] = []

    async def writer(mine: deque[list[Event]]) -> None:
        while mine:
            begin = time.perf_counter()
            await log.append_async(mine.popleft())
            waits.append(time.perf_counter() - begin)

    async def all_writers() -> None:
        left = deque(batches)
        await asyncio.gather(*(writer(left) for _ in range(WRITERS)))

    uvloop.run(all_writers())  # as the server does
    return waits


def bench_live(folder: str | None, size: int) -> None:
    """Durable live events, singly and in batches, with and without ids of their own."""
    for with_ids in (False, True):
        events = made_events(size, with_ids=with_ids)
        suffix = "_with_ids" if with_ids else ""
        with fresh_log(folder) as log:
            waits: list[float] = []
            elapsed_s = timed(lambda: waits.extend(in_flight(log, [[event] for event in events])))  # noqa: B023
            report(f"log_single_{WRITERS}_in_flight{suffix}", size / elapsed_s, "durable events/s")
            report(f"log_single_{WRITERS}_in_flight{suffix}_p99", 1000 * float(np.quantile(waits, 0.99)), "ms")
        with fresh_log(folder) as log:
            batches = [events[begin : begin + 100] for begin in range(0, size, 100)]
            elapsed_s = timed(lambda: [log.append(batch) for batch in batches])  # noqa: B023
            report(f"log_batches_of_100{suffix}", size / elapsed_s, "durable events/s")
            report(f"log_read_live{suffix}", size / timed(log.read_events), "events/s")
            report(f"log_seal{suffix}", size / timed(log.seal), "events/s")


def bench_bulk(folder: str | None, size: int) -> None:
    """Imports as columns, and reading them back."""
    for with_ids in (False, True):
        suffix = "_with_ids" if with_ids else ""
        columns = made_columns(size, with_ids=with_ids)
        with fresh_log(folder) as log:
            report(f"log_append_columns{suffix}", size / timed(lambda: log.append_columns(columns)), "rows/s")  # noqa: B023
        with fresh_log(folder) as log:
            tenth = size // 10
            for begin in range(0, size, tenth):
                log.append_columns(columns.slice(begin, begin + tenth))
            report(f"log_read_first_time{suffix}", size / timed(lambda: log.read_events(leave_out=("id",))), "rows/s")
            report(f"log_read_again{suffix}", size / timed(lambda: log.read_events(leave_out=("id",))), "rows/s")


def bench_intake(size: int) -> None:
    """Decoding and checking the body of a request, and turning events into columns."""
    rows = [{"user": f"u{n}", "item": f"i{n}", "kind": "view", "ts": START_MS, "id": f"e{n}"} for n in range(100)]
    body = json.dumps({"events": rows}).encode()
    times = max(1, size // 100)
    elapsed_s = timed(lambda: [decode_events(body, START_MS, 0) for _ in range(times)])
    report("intake_decode", 1e6 * elapsed_s / (100 * times), "us/event")
    events = decode_events(body, START_MS, 0)
    for few in (1, 100):
        elapsed_s = timed(lambda: [EventColumns.from_records(events[:few]) for _ in range(times)])  # noqa: B023
        report(f"columns_from_{few}", 1e6 * elapsed_s / times, "us/batch")


def main() -> None:
    """Run all of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="small sizes")
    options.add_argument("--dir", help="where to put the data")
    chosen = options.parse_args()
    bench_intake(20_000 if chosen.quick else 200_000)
    bench_live(chosen.dir, 20_000 if chosen.quick else 200_000)
    bench_bulk(chosen.dir, 200_000 if chosen.quick else 5_000_000)


if __name__ == "__main__":
    main()
