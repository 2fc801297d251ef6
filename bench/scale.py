"""What an event and a list cost with ten thousand to a million made users: both should be flat.

    python bench/scale.py [--users 10000 100000 1000000] [--events-per-user 5 | --events 2000000] [--parts]

Each world runs in a process of its own: every user comes once, then events of random users follow, and the last twenty
thousand are measured (CPU seconds; median over batches; each batch brings its own names, as over HTTP). The counting
experts fold and learn in bulk; lists are made for random users. Memory is the growth of the process; the difference
between two worlds divided by that of their users is what one more user takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from everbrook.engine import Core, Judging
from everbrook.engine.building import new_core
from everbrook.engine.wishes import read_wish
from everbrook.events.columns import Coded, EventColumns
from everbrook.rank.lists import make_list
from everbrook.rank.requests import Recommend
from everbrook.settings import Settings, load_settings

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

ITEMS = 20_000
BATCH = 1024
MEASURED = 20_000
LISTS = 200
BULK = Judging(share=0.0)


def made(users: int, events: int, seed: int = 0) -> EventColumns:
    """Events in time order: each user once, then anyone; half of the items follow from the user's last one."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate((rng.permutation(users), rng.integers(0, users, events - users))).astype(np.int32)
    ranks = np.minimum(rng.pareto(1.0, events) * 20, ITEMS - 1).astype(np.int32)
    popular = rng.permutation(ITEMS).astype(np.int32)
    item = popular[ranks]
    follows = np.flatnonzero(rng.random(events) < 0.5)
    item[follows] = popular[(7 * codes[follows] + 11 * ranks[follows] % 13) % ITEMS]  # a user's own corner
    blank = Coded.missing(events)
    return EventColumns(
        ts_ms=data.FIRST_MS + np.sort(rng.integers(0, 30 * data.DAY_MS, events)),
        user=Coded(codes, [f"user-{n}" for n in range(users)]), session=blank,
        item=Coded(item, [f"item-{n}" for n in range(ITEMS)]), kind=Coded(np.zeros(events, np.int32), ["view"]),
        scenario=blank, value=np.full(events, np.nan, np.float32),
    )  # fmt: skip


def resident_bytes() -> int:
    """Memory of this process now."""
    return resource.getpagesize() * int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


class World:
    """One size, measured in this process."""

    def __init__(self, users: int, events: int, settings: Settings) -> None:
        self.users, self.settings = users, settings
        self.columns = made(users, events)
        warm = new_core(settings)
        self._learn(warm, 0, 4 * BATCH)
        self._lists(warm, 4 * BATCH, 5)
        self.core: Core = new_core(settings)
        self.spent_s: dict[str, float] = defaultdict(float)

    def measure(self, parts: bool) -> dict[str, float]:
        """All figures of this size."""
        before, last = resident_bytes(), len(self.columns) - MEASURED
        for start in range(0, last, 65_536):
            self._learn(self.core, start, min(start + 65_536, last))
        if parts:
            self._watch()
        batches = range(last, len(self.columns), BATCH)
        pieces = [self.columns.slice(at, min(at + BATCH, len(self.columns))).compact() for at in batches]
        costs = [self._cost_us(piece) for piece in pieces]
        found = {"us/event": float(np.median(costs)), "bytes": float(resident_bytes() - before)}
        found |= {f"us/event of {name}": 1e6 * spent / MEASURED for name, spent in self.spent_s.items()}
        found["us/list"] = self._lists(self.core, len(self.columns), LISTS)
        found["histories and ids, bytes"] = float(sum(array.nbytes for array in self.core.state.arrays().values()))
        found["experts, bytes"] = float(sum(array.nbytes for array in self.core.mixture.state().values()))
        return found

    def _cost_us(self, piece: EventColumns) -> float:
        began = time.process_time()
        self.core.absorb_events(piece, BULK)
        return 1e6 * (time.process_time() - began) / len(piece)

    def _learn(self, core: Core, start: int, stop: int) -> None:
        core.absorb_events(self.columns.slice(start, stop), BULK)

    def _watch(self) -> None:
        """Time the fold and each family apart."""
        self.core.state.fold = self._timed("fold", self.core.state.fold)  # type: ignore[method-assign]
        for family in self.core.mixture.experts:
            family.observe = self._timed(type(family).__name__, family.observe)  # type: ignore[method-assign]

    def _timed(self, name: str, call: Any) -> Any:
        def timed(*arguments: Any) -> Any:
            began = time.process_time()
            result = call(*arguments)
            self.spent_s[name] += time.process_time() - began
            return result

        return timed

    def _lists(self, core: Core, stop: int, count: int) -> float:
        rng = np.random.default_rng(3)
        now_ms = int(self.columns.ts_ms[stop - 1])
        names = [f"user-{n}" for n in self.columns.user.codes[rng.integers(0, stop, count)]]
        costs = []
        for name in names:
            began = time.process_time()
            wish = read_wish(Recommend(user=name), core, self.settings.rank, now_ms)
            make_list(core.mixture, wish, self.settings.rank.scan)
            costs.append(time.process_time() - began)
        return 1e6 * float(np.median(costs))


def main() -> None:
    """Measure each size in its own process, and print figures and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--events-per-user", type=int, default=5, help="beside the measured events")
    parser.add_argument("--events", type=int, help="the same number of events in every world instead")
    parser.add_argument("--parts", action="store_true", help="the cost of the fold and of each family, too")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE")
    options = parser.parse_args()
    if options.inside:
        users = options.users[0]
        events = (options.events or options.events_per_user * users) + MEASURED
        print(json.dumps(World(users, events, _counting(options.assignments)).measure(options.parts)))
        return
    _print([(users, _apart(users)) for users in options.users])


def _counting(assignments: list[str]) -> Settings:
    experts = ",".join(name for name in Settings().mixture.experts if name != "sequence")
    return load_settings(assignments=[f"mixture.experts={experts}", *assignments]).settings


def _apart(users: int) -> dict[str, float]:
    """The figures of one size, from a process of its own with the same options."""
    command = [sys.executable, *sys.argv, "--inside", "--users", str(users)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout))


def _print(worlds: list[tuple[int, dict[str, float]]]) -> None:
    for users, found in worlds:
        for name, value in found.items():
            data.tell(f"scale/{users}/{name}", value, name.split(" ")[0] if "/" in name else "bytes")
    few, small = worlds[0]
    for many, large in worlds[1:]:
        for name in ("us/event", "us/list"):
            data.tell(f"scale/{many} to {few}/{name}", large[name] / small[name], "ratio")
        data.tell(f"scale/{many} to {few}", (large["bytes"] - small["bytes"]) / (many - few), "bytes/user")


if __name__ == "__main__":
    main()
