"""Events per second from files into columns, and on into the state; prints JSON lines.

    python bench/importing.py [--events 2000000] [--repeats 3] [--data ../shared/data] [--jobs state] [--formats csv]

The made file has one user per 20 events, items with a power law of popularity, sessions of about 4 events, 5 kinds,
a value in every third event, in time order. The real one is news-clicks, where half of all names are new.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from everbrook.events.checking import check
from everbrook.events.importing import open_source


def made_table(events: int) -> pa.Table:
    """A log of a shop that never was."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, max(1, events // 20), events)
    items = np.minimum(rng.zipf(1.3, events), 100_000)
    codes = pa.array(rng.choice(5, events, p=[0.7, 0.1, 0.1, 0.05, 0.05]), pa.int32())
    kinds = pa.DictionaryArray.from_arrays(codes, ["view", "cart", "buy", "like", "share"])
    return pa.table({
        "user": _names("u", users), "session": _names("s", users * 5 + rng.integers(0, 5, events)),
        "item": _names("i", items), "kind": kinds.cast(pa.string()),
        "ts": np.sort(rng.integers(1_600_000_000_000, 1_700_000_000_000, events)),
        "value": pa.array(rng.integers(1, 50, events) / 2, mask=rng.random(events) < 2 / 3),
    })


def _names(letter: str, numbers: np.ndarray) -> pa.Array:
    return pa.compute.binary_join_element_wise(letter, pa.array(numbers).cast(pa.string()), "")


def into_columns(path: Path) -> int:
    return len(open_source(path).load())


def into_chunks(path: Path) -> int:
    return sum(len(chunk) for chunk in open_source(path).chunks())


def into_state(path: Path) -> int:
    from everbrook.state import State

    state, events = State(), 0
    for chunk in open_source(path).chunks():
        state.fold(chunk, contexts=False)
        events += len(chunk)
    return events


def through_check(path: Path) -> int:
    return check(path).events


JOBS: dict[str, Callable[[Path], int]] = {
    "columns": into_columns, "chunks": into_chunks, "state": into_state, "check": through_check,
}


def measure(path: Path, of: str, repeats: int, commit: str, jobs: list[str]) -> None:
    for name in jobs:
        job = JOBS[name]
        spent, busy = [], []
        for _ in range(repeats):
            start, start_cpu = time.perf_counter(), time.process_time()
            events = job(path)
            spent.append(time.perf_counter() - start)
            busy.append(time.process_time() - start_cpu)
        say = {
            "name": f"import.{path.suffix[1:]}.{name}", "value": round(events / min(spent)), "unit": "events/s",
            "of": of, "events": events, "median": round(events / sorted(spent)[len(spent) // 2]),
            "per_cpu_s": round(events / min(busy)),  # of all threads: what other work on the machine changes less
            "per_cpu_s_median": round(events / sorted(busy)[len(busy) // 2]),
            "commit": commit, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }
        print(json.dumps(say), flush=True)


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    beside = root.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("EVERBROOK_DATA", beside)))
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--formats", nargs="+", choices=["csv", "parquet"], default=["csv", "parquet"])
    given = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        tables = {"made": made_table(given.events)}
        news = given.data / "news-clicks" / "first-8-days.parquet"
        if news.is_file():
            tables["news-clicks"] = pa.parquet.read_table(news, columns=["user", "session", "item", "ts_ms", "kind"])
        for of, table in tables.items():
            csv_path, parquet_path = Path(folder) / f"{of}.csv", Path(folder) / f"{of}.parquet"
            pa.csv.write_csv(table, csv_path)
            pa.parquet.write_table(table, parquet_path)
            into_state(parquet_path)  # compiles the kernels
            for path in (csv_path, parquet_path):
                if path.suffix[1:] in given.formats:
                    measure(path, of, given.repeats, commit, given.jobs)


if __name__ == "__main__":
    main()
