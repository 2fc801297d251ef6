"""What counts by windows of time cost: the fold with and without them in turns, a busy site's memory, a question.

    python bench/windows.py [--turns 7]

Prints JSON lines; nothing passes or fails by time. CPU seconds of one process. The busy site has 100,000 items, as
popular as Zipf's law says, six scenarios and 1,000 events a second: its buckets are filled with the counts that so many
draws give, and cut as they are when they are over.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from state import made, report

from everbrook.state import State
from everbrook.state import windows as module
from everbrook.state.windows import Windows

ITEMS, SCENARIOS, PER_S, NOW_MS = 100_000, 6, 1000, 1_750_000_000_000


def fold_us(turns: int) -> None:
    """Folds of 1, 100 and 65,536 events, with and without windows, in turns; medians of the turns' means."""
    columns = made(20_000, 20_000)
    with_windows, without = State(), State()
    without.counters.windows = None
    for state in (with_windows, without):
        state.fold(columns, contexts=False)
    for size, times in ((1, 1000), (100, 300), (65_536, 2)):
        took: dict[str, list[float]] = {"with": [], "without": []}
        for turn in range(turns):
            parts = [columns.slice(at, at + size) for at in range(turn, turn + times)]
            for name, state in (("with", with_windows), ("without", without))[:: 1 if turn % 2 else -1]:
                start = time.process_time()
                for part in parts:
                    state.fold(part, contexts=size < 1000)
                took[name].append(1e6 * (time.process_time() - start) / times)
        for name, each in took.items():
            report(f"fold/{size}/{name}", statistics.median(each), "us")
        report(f"fold/{size}/more", statistics.median(np.subtract(took["with"], took["without"])), "us")


def busy() -> Windows:
    """The counts of a busy site of 64 days."""
    rng, counted = np.random.default_rng(0), Windows()
    share = 1.0 / np.arange(1, ITEMS + 1)
    places = np.array([0.5, 0.2, 0.15, 0.1, 0.04, 0.01])
    share = np.outer(share / share.sum(), places)
    keys = (np.arange(ITEMS, dtype=np.int64)[:, None] << 16 | np.arange(SCENARIOS)).ravel()
    for ring in counted._rings:
        for back in range(ring.span_ms // ring.size_ms + 4):
            counts = rng.poisson(share * PER_S * ring.size_ms / 1000).ravel()
            met = counts > 0
            ring._buckets[NOW_MS // ring.size_ms - back] = keys[met], counts[met].astype(np.uint32)
        ring.cut()
    return counted


def median_ms(call: Callable[[], object], turns: int) -> float:
    """CPU milliseconds of a call."""
    each = []
    for _ in range(turns):
        start = time.process_time()
        call()
        each.append(1e3 * (time.process_time() - start))
    return statistics.median(each)


def main() -> None:
    """Measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--turns", type=int, default=7)
    turns = arguments.parse_args().turns
    fold_us(turns)
    counted = busy()
    for ring in counted._rings:
        report(f"bytes/{ring.size_ms // 1000}s", ring.n_bytes / 1e6, "MB")
    report("bytes/all", counted.n_bytes / 1e6, "MB")
    for window_s in (600, 3600, 86_400, 3 * 86_400, 7 * 86_400, 64 * 86_400):
        for scenario in (-1, 3):
            def ask(window_s: int = window_s, scenario: int = scenario) -> object:
                return counted.totals(ITEMS, NOW_MS, window_s, scenario)

            report(f"ask/{window_s}s/{'all' if scenario < 0 else 'one scenario'}", median_ms(ask, turns), "ms")
    report("arrays", median_ms(counted.arrays, turns), "ms")
    rng = np.random.default_rng(1)
    n = module.WAITING_EVENTS - 1
    item = np.minimum(rng.pareto(1.0, n), ITEMS - 1).astype(np.int32)
    ts_ms = NOW_MS + np.arange(n, dtype=np.int64)

    def settle() -> None:
        counted._portion = counted._n = 0
        counted.add(ts_ms, item, (item % SCENARIOS).astype(np.int16), np.ones(n, np.float32))
        counted.totals(ITEMS, NOW_MS, 600)

    asked_ms = median_ms(lambda: counted.totals(ITEMS, NOW_MS, 600), turns)
    report("settle/32767 events", median_ms(settle, turns) - asked_ms, "ms")


if __name__ == "__main__":
    main()
