"""What the fold costs: events a second, and time and memory per event from 10 thousand to 1 million made users.

    python bench/state.py [--scale 1.0]

Prints JSON lines. Not a test: nothing passes or fails by time. CPU seconds of one thread; every world has ten events
a user, drawn evenly, in the order of a stream, so that the big ones show what caches and growth cost.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time

import numpy as np

from everbrook.events.columns import Coded, EventColumns
from everbrook.events.records import ItemChange
from everbrook.features.content import ContentFeatures
from everbrook.state import State

EVENTS_PER_USER = 10
CHUNK = 65_536


def made(users: int, items: int, seed: int = 0) -> EventColumns:
    """A stream of even users and items as popular as Zipf's law says."""
    rng = np.random.default_rng(seed)
    B = EVENTS_PER_USER * users
    ts_ms = 1_700_000_000_000 + np.sort(rng.integers(0, 30 * 86_400_000, B))
    ranks = np.minimum(rng.pareto(1.0, B), items - 1).astype(np.int32)
    return EventColumns(
        ts_ms, Coded(rng.integers(0, users, B, dtype=np.int32), [f"user-{n}" for n in range(users)]),
        Coded.missing(B), Coded(rng.permutation(items).astype(np.int32)[ranks], [f"item-{n}" for n in range(items)]),
        Coded(rng.integers(0, 2, B, dtype=np.int32), ["view", "buy"]), Coded.missing(B), np.full(B, np.nan, np.float32),
    )


def commit() -> str:
    """The commit that is measured."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def report(name: str, value: float, unit: str) -> None:
    """One line."""
    machine = f"{os.cpu_count()} x {platform.machine()}"
    print(json.dumps({"name": name, "value": round(value, 4), "unit": unit, "commit": commit(), "machine": machine}),
          flush=True)


def fold_all(columns: EventColumns, contexts: bool, batch: int) -> tuple[State, float]:
    """A new state that has folded a stream, and the CPU seconds it took."""
    state = State()
    start = time.process_time()
    for at in range(0, len(columns), batch):
        state.fold(columns.slice(at, min(len(columns), at + batch)), contexts=contexts)
    return state, time.process_time() - start


def bench_import(columns: EventColumns) -> None:
    """Events a second into a new state, names looked up and all."""
    _, cpu_s = fold_all(columns, contexts=False, batch=CHUNK)
    report("fold/no_contexts", len(columns) / cpu_s, "events/s")
    _, cpu_s = fold_all(columns, contexts=True, batch=4096)
    report("fold/contexts_64", len(columns) / cpu_s, "events/s")


def bench_single(columns: EventColumns, users: int) -> None:
    """One event at a time, and one question at a time."""
    state, _ = fold_all(columns, contexts=False, batch=CHUNK)
    rng = np.random.default_rng(1)
    singles = [fresh(columns, int(at)) for at in rng.integers(0, len(columns), 5000)]
    start = time.process_time()
    for single in singles:
        state.fold(single)
    report("fold/batch_of_one", 1e6 * (time.process_time() - start) / len(singles), "us")
    names = [f"user-{n}" for n in rng.integers(0, users, 5000)]
    start = time.process_time()
    for name in names:
        state.query(now_ms=int(columns.ts_ms[-1]), user=name)
    report("query/user", 1e6 * (time.process_time() - start) / len(names), "us")


def fresh(columns: EventColumns, at: int) -> EventColumns:
    """One event with its own lists of names, as it comes in over HTTP."""
    def one(coded: Coded) -> Coded:
        code = int(coded.codes[at])
        return Coded(np.zeros(1, np.int32), [coded.names[code]]) if code >= 0 else Coded.missing(1)

    parts = (one(c) for c in (columns.user, columns.session, columns.item, columns.kind, columns.scenario))
    return EventColumns(columns.ts_ms[at : at + 1].copy(), *parts, columns.value[at : at + 1].copy())


def bench_scale(users: int) -> None:
    """Time and memory per event in a world of so many users, after it has been met once: the steady state."""
    columns = made(users, 50_000)
    before = resident_bytes()
    state, cold_s = fold_all(columns, contexts=True, batch=64)
    grown = resident_bytes() - before
    live = [columns.slice(at, at + 64).compact() for at in range(0, min(len(columns), 100_000) - 64, 64)]
    start = time.process_time()
    for batch in live:  # each with its own names, as over HTTP
        state.fold(batch)
    live_s = time.process_time() - start
    report(f"scale/{users}/stream_batches_of_64", 1e6 * cold_s / len(columns), "us/event")
    report(f"scale/{users}/live_batches_of_64", 1e6 * live_s / (64 * len(live)), "us/event")
    report(f"scale/{users}/histories", state.histories.n_bytes / len(columns), "bytes/event")
    report(f"scale/{users}/resident", grown / len(columns), "bytes/event")


def resident_bytes() -> int:
    """Memory of this process now; the peak where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def bench_content(items: int) -> None:
    """Text features of made items, one by one."""
    rng = np.random.default_rng(0)
    words = np.array([f"{chr(97 + n % 26)}{'aeiou'[n % 5]}word{n}" for n in range(5000)])
    titles = [" ".join(rng.choice(words, 6)) for _ in range(items)]
    records = [ItemChange(id="-", title=title, categories=[f"c{n % 20}"]) for n, title in enumerate(titles)]
    content, rows = ContentFeatures(), np.arange(items, dtype=np.int32)
    content.update(rows[:10], records[:10])
    start = time.process_time()
    content.update(rows, records)
    report("content/update", 1e6 * (time.process_time() - start) / items, "us/item")
    start = time.process_time()
    content.csr()
    report("content/csr", 1e6 * (time.process_time() - start) / items, "us/item")


def main() -> None:
    """Run everything; each world of another size in a process of its own, so that memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes")
    parser.add_argument("--users", type=int, help="only the world of so many users")
    given = parser.parse_args()
    fold_all(made(100, 100), contexts=True, batch=64)  # compile
    fold_all(made(100, 100), contexts=False, batch=1000)
    if given.users:
        bench_scale(given.users)
        return
    users = int(100_000 * given.scale)
    columns = made(users, 50_000)
    bench_import(columns)
    bench_single(columns, users)
    bench_content(int(10_000 * given.scale))
    for size in (10_000, 100_000, 1_000_000):
        subprocess.run([sys.executable, __file__, "--users", str(int(size * given.scale))], check=True)


if __name__ == "__main__":
    main()
