"""What each wish beyond a plain list costs: processor microseconds a list at 100,000 items, k = 20.

    OMP_NUM_THREADS=1 python bench/control.py [--items 100000] [--events 30000] [--lists 400] [--only plain]

Prints JSON lines. Not a test: nothing passes or fails by time. All wishes take turns on one engine and one thread, so
that what else the machine does falls on all alike; the middle of the lists counts. `plain` asks without reasons.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from typing import Any

import msgspec
import numpy as np

from everbrook import Recommender
from everbrook.events.columns import Coded, EventColumns
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.testing.clock import FakeClock

USERS = 5000
CATEGORIES = 50
BRANDS = 200
FILTER = "price < 20 and 'c7' in categories and not hidden"
WISHES: dict[str, dict[str, Any]] = {
    "plain": {},
    "+reasons": {"explain": True},
    "+filter (mask kept)": {"filter": FILTER},
    "+filter (by age)": {"filter": "price < 50 and age < 7d"},
    "+boost": {"boost": [{"filter": "brand = 'b3'", "by": 1.5}]},
    "+pin": {"pin": [{"item": "i7", "position": 0}]},
    "+exclude_seen": {"exclude_seen": True},
    "+diversity": {"diversity": 0.3},
    "+calibration": {"calibration": 0.3},
    "+freshness": {"freshness": 0.5},
    "+popularity": {"popularity": -0.3},
    "+explore": {"explore": 0.1},
    "all of these": {
        "filter": FILTER, "boost": [{"filter": "brand = 'b3'", "by": 1.5}], "pin": [{"item": "i7", "position": 0}],
        "exclude_seen": True, "diversity": 0.3, "calibration": 0.3, "freshness": 0.5, "popularity": -0.3,
        "explore": 0.1, "explain": True,
    },
}


def records(items: int, now_ms: int) -> list[dict[str, Any]]:
    """A made catalogue: prices, brands, categories and ages."""
    rng = np.random.default_rng(0)
    price, age_days = rng.gamma(2.0, 15.0, items).round(2), rng.exponential(30.0, items)
    category, brand = rng.integers(0, CATEGORIES, (items, 2)), rng.integers(0, BRANDS, items)
    return [
        {
            "id": f"i{n}", "title": f"Thing {n} of kind {category[n, 0]}",
            "categories": [f"c{one}" for one in sorted(set(category[n].tolist()))],
            "properties": {"price": float(price[n]), "brand": f"b{brand[n]}"},
            "ts": now_ms - int(86_400_000 * age_days[n]),
        }
        for n in range(items)
    ]  # fmt: skip


def events(count: int, items: int, now_ms: int) -> EventColumns:
    """Made views: Zipf-like over the items, even over the users."""
    rng = np.random.default_rng(1)
    ranks = np.minimum(50.0 * rng.pareto(1.0, count), items - 1).astype(np.int32)
    return EventColumns(
        now_ms - 1000 * np.arange(count, 0, -1, dtype=np.int64),
        Coded(rng.integers(0, USERS, count, dtype=np.int32), [f"u{n}" for n in range(USERS)]), Coded.missing(count),
        Coded(ranks, [f"i{n}" for n in range(items)]), Coded(np.zeros(count, np.int32), ["view"]),
        Coded.missing(count), np.full(count, np.nan, np.float32),
    )


def commit() -> str:
    """The commit that is measured."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Build the shop, ask in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--lists", type=int, default=400)
    parser.add_argument("--only", help="one wish by its name")
    args = parser.parse_args()
    clock = FakeClock()
    settings = msgspec.structs.replace(Settings(), engine=EngineSettings(log_impressions=False))
    wishes = {name: wish for name, wish in WISHES.items() if args.only in (None, name)}
    with tempfile.TemporaryDirectory() as folder, Recommender.open(folder, settings, clock) as engine:
        made = records(args.items, clock.now_ms())
        for start in range(0, args.items, 500):
            engine.put_items(made[start : start + 500])
        engine.import_columns(events(args.events, args.items, clock.now_ms()))
        taken: dict[str, list[float]] = {name: [] for name in wishes}
        for n in range(args.lists + 5):
            for turn, (name, wish) in enumerate(wishes.items()):
                user = f"u{(n * len(wishes) + turn) % USERS}"  # nobody finds what was computed for another wish
                start_s = time.process_time()
                engine.recommend(user=user, k=20, **({"explain": False} | wish))
                taken[name].append(1e6 * (time.process_time() - start_s))
    machine = f"{os.cpu_count()} x {platform.machine()}"
    for name, times in taken.items():
        told = {"name": f"list {name}", "value": round(float(np.median(times[5:])), 1), "unit": "us CPU"}
        print(json.dumps(told | {"items": args.items, "commit": commit(), "machine": machine}), flush=True)


if __name__ == "__main__":
    main()
