"""Session neighbours and collaborative filtering on early slices of real streams; prints JSON lines.

    OMP_NUM_THREADS=1 python bench/neighbours.py [--streams sessions,news,movies] [--queries 3000]

Prequential: the model has learned every event before the one that is asked for. Hits among all items, ties against the
model; only what the model itself lists counts as a hit. `new` leaves out what the session (the user) already has, and
asks only about items that are new to it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet

from everbrook.models.collaborative import Collaborative
from everbrook.models.neighbours import SessionNeighbours
from everbrook.types import F32, I32, I64, Bool, Expert, Step

DATA = Path(os.environ.get("EVERBROOK_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
HISTORY = 64
DAY_MS = 86_400_000
WANTED = ["session", "item", "ts_ms"]


@dataclass(frozen=True)
class Stream:
    """Events in order, and which of them may be asked about."""

    ts_ms: I64
    actor: I32
    item: I32
    asked: Bool
    sessions: bool  # actors are sessions


def rows_of(names) -> I32:  # type: ignore[no-untyped-def]
    return np.unique(names, return_inverse=True)[1].astype(np.int32)


def sessions() -> Stream:
    """Shop sessions: learn periods 0-6, ask in 7-8."""
    table = pyarrow.parquet.read_table(DATA / "sessions-17-weeks" / "events.parquet")
    period = table["period"].to_numpy()
    kept = period <= 8
    ts_ms = np.arange(kept.sum(), dtype=np.int64) * (9 * 7 * DAY_MS // kept.sum())
    names = [table[name].to_numpy(zero_copy_only=False)[kept] for name in ("session", "item")]
    return Stream(ts_ms, rows_of(names[0]), rows_of(names[1]), period[kept] >= 7, True)


def news() -> Stream:
    """News clicks: learn days 1-3, ask on day 4."""
    table = pyarrow.parquet.read_table(DATA / "news-clicks" / "first-8-days.parquet", columns=WANTED)
    ts_ms = table["ts_ms"].to_numpy()
    day = (ts_ms - ts_ms[0]) // DAY_MS
    kept = day <= 3
    names = [table[name].to_numpy(zero_copy_only=False)[kept] for name in ("session", "item")]
    return Stream(ts_ms[kept], rows_of(names[0]), rows_of(names[1]), day[kept] == 3, True)


def movies() -> Stream:
    """MovieLens latest-small: learn the first 60 % of ratings, ask in the next 20 %."""
    table = pyarrow.csv.read_csv(DATA / "ml-latest-small" / "ratings.csv")
    ts_s = table["timestamp"].to_numpy()
    order = np.argsort(ts_s, kind="stable")[: int(0.8 * len(ts_s))]
    actor, item = (rows_of(table[name].to_numpy()[order]) for name in ("userId", "movieId"))
    return Stream(1000 * ts_s[order], actor, item, np.arange(len(order)) >= 0.75 * len(order), False)


def histories(stream: Stream) -> tuple[I32, I32]:
    """(B, H) each event's actor's last items, and how many they are."""
    B = len(stream.item)
    order = np.argsort(stream.actor, kind="stable")
    groups = stream.actor[order]
    first = np.maximum.accumulate(np.where(np.r_[True, groups[1:] != groups[:-1]], np.arange(B), 0))
    n_sorted = np.minimum(np.arange(B) - first, HISTORY).astype(np.int32)
    items, n = np.zeros((B, HISTORY), np.int32), np.empty(B, np.int32)
    n[order] = n_sorted
    for place in range(HISTORY):
        has = np.flatnonzero(n_sorted > place)
        items[order[has], place] = stream.item[order[has - n_sorted[has] + place]]
    return items, n


def step_of(stream: Stream) -> Step:
    items, n = histories(stream)
    B = len(n)
    zeros = np.zeros(B, np.int16)
    times = np.zeros((B, HISTORY), np.int64)
    return Step(
        ts_ms=stream.ts_ms, actor=stream.actor, item=stream.item, kind=zeros, scenario=zeros - 1,
        value=np.full(B, np.nan, np.float32), weight=np.ones(B, np.float32), n=n,
        session_n=n if stream.sessions else np.minimum(n, 1), items=items, times=times, kinds=times.astype(np.int16),
    )  # fmt: skip


def learn(expert: Expert, step: Step, start: int, stop: int) -> None:
    mass = np.empty((min(8192, stop - start), len(expert.names)), np.float32)
    for at in range(start, stop, 8192):
        part = step.slice(at, min(at + 8192, stop))
        expert.observe(part, mass[: len(part)], mass[: len(part)].copy())


def rank(chances: F32, item: int, left_out: I32) -> int:
    """Place of an item, ties against it; 0 where it has no chance."""
    chances[left_out] = 0
    return int((chances >= chances[item]).sum()) if chances[item] > 0 else 0


def measure(name: str, stream: Stream, expert: Expert, queries: int) -> None:
    step = step_of(stream)
    rng = np.random.default_rng(0)
    may = np.flatnonzero(stream.asked & (step.n > 0))
    chosen = np.sort(rng.choice(may, min(queries, len(may)), replace=False))
    n_items = int(stream.item.max()) + 1
    expert.grow(n_items, int(stream.actor.max()) + 1)
    learn(expert, step, 0, min(10, len(step)))  # compiles
    start = time.perf_counter()
    learn(expert, step, 10, int(chosen[0]))
    learned_us = 1e6 * (time.perf_counter() - start) / (chosen[0] - 10)
    every, at = np.arange(n_items, dtype=np.int32), int(chosen[0])
    mass, rest = np.empty((n_items, len(expert.names)), np.float32), np.empty(len(expert.names), np.float32)
    ranks, fresh, spent = [], [], []
    for b in chosen.tolist():
        learn(expert, step, at, b)
        at = b
        query = step.query(b)
        start = time.perf_counter()
        expert.propose(query, 200)
        spent.append(1e6 * (time.perf_counter() - start))
        expert.score(query, every, mass, rest)
        own = query.items
        fresh.append(stream.item[b] not in own)
        none = own[:0]
        columns = [mass[:, k] for k in range(len(rest))]
        ranks.append([[rank(column.copy(), stream.item[b], out) for out in (none, own)] for column in columns])
    found, is_new = np.array(ranks), np.array(fresh)
    costs = {"learn_us": round(learned_us, 2), "search_us": round(float(np.median(spent)), 1)}
    for k, column in enumerate(expert.names):
        for what, line in (("all", found[:, k, 0]), ("new", found[is_new, k, 1])):
            hit = (line > 0) & (line <= 20)
            mrr20 = float(np.where(hit, 1 / np.maximum(line, 1), 0).mean())
            figures = {"hr20": round(float(hit.mean()), 4), "mrr20": round(mrr20, 4)}
            about = {"stream": name, "queries": len(chosen), "targets": what}
            print(json.dumps({"name": column, **figures, **about, **costs}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", default="sessions,news,movies")
    parser.add_argument("--queries", type=int, default=3000)
    given = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"No data at {DATA}; set EVERBROOK_DATA.")
    streams = {"sessions": sessions, "news": news, "movies": movies}
    for name in given.streams.split(","):
        for family in (SessionNeighbours, Collaborative):
            if name == "movies" and family is SessionNeighbours:
                continue
            measure(name, streams[name](), family(), given.queries)


if __name__ == "__main__":
    main()
