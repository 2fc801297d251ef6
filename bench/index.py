"""What a search, a batch of searches and a row written cost, one thread; prints JSON lines.

OMP_NUM_THREADS=1 python bench/index.py [--rows 10000,100000,1000000] [--width 64]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable

import numpy as np

from everbrook.index import ItemTable
from everbrook.settings.index import IndexSettings


def milliseconds(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median and 99th percentile."""
    call()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        spent.append((time.perf_counter() - start) * 1e3)
    return float(np.median(spent)), float(np.percentile(spent, 99))


def say(name: str, value: float, unit: str, **more: object) -> None:
    print(json.dumps({"name": name, "value": round(value, 5), "unit": unit, **more, "machine": platform.machine()}))


def measure(rows: int, width: int, top: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((rows, width)).astype(np.float32)
    values *= np.exp(0.3 * rng.standard_normal((rows, 1))).astype(np.float32)
    queries = rng.standard_normal((64, width)).astype(np.float32)
    every = np.arange(rows, dtype=np.int32)
    repeats = max(20, min(500, 20_000_000 // rows))
    where = {"rows": rows, "width": width, "top": top}
    turn = iter(range(10**9))
    for quantised in (True, False):
        table = ItemTable(width, IndexSettings(quantised=quantised))
        table.put(every, values)
        half, late = milliseconds(lambda table=table: table.search(queries[next(turn) % 64], top), repeats)
        say("index.search", half, "ms", p99=round(late, 4), scan="int8" if quantised else "float32", **where)
    table = ItemTable(width)
    table.put(every, values)
    half, _ = milliseconds(lambda: table.search_batch(queries, top), max(3, repeats // 64))
    say("index.search_batch_of_64", half / 64, "ms/query", **where)
    some = rng.integers(0, rows, 1000).astype(np.int32)
    half, _ = milliseconds(lambda: table.put(some, values[:1000]), 30)
    say("index.put_of_1000", half, "us/row", **where)
    half, _ = milliseconds(lambda: table.put(some[:1], values[:1]), 1000)
    say("index.put_of_1", half * 1e3, "us/row", **where)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--top", type=int, default=100)
    given = parser.parse_args()
    for rows in given.rows.split(","):
        measure(int(rows), given.width, given.top)


if __name__ == "__main__":
    main()
