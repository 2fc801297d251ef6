"""Faults in a learner while real news are read, and tastes that turn over in a made world.

    python bench/faults.py [--warm 60000] [--events 8000] [--after 8000] [--share 0.1] [--faults rate,labels]

Learns from the clicks before day 2, 6 h; then each fault lasts for `--events` clicks, from the same beginning. A line
for each fault says when the gate found it, when weights from before it were back, and what lists lost during and after
it against the run without a fault: the same clicks are judged. Faults: `everbrook.testing.faults`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from everbrook.events.columns import EventColumns
from everbrook.settings import Settings, load_settings
from everbrook.testing.courses import MIXTURE, PLACE, Course, own_event_number
from everbrook.testing.faults import FAULTS
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

HOUR_MS = 3_600_000
EXPERTS = "mixture.experts=popularity,transitions,repeats,neighbours,live"
METRICS = ("hit_rate@20", "mrr@20", "mixture_nats", "live_nats")


def news(warm: int, more: int) -> EventColumns:
    """Clicks around day 2, 6 h: so many before and so many after."""
    columns = data.news()
    at = int(np.searchsorted(columns.ts_ms, columns.ts_ms[0] + data.DAY_MS + 6 * HOUR_MS))
    return columns.slice(max(at - warm, 0), at + more).compact()


def found(course: Course, start: int, offset: int) -> dict[str, object]:
    """When the gate first acted after a position, when weights from before it were back, and all that it did."""
    acts = [move for move in course.moves if move["place"] > start and move["kind"] in ("rollback", "demote", "rest")]
    undone = [move for move in acts if move["kind"] == "rollback" and move["to_offset"] <= offset]
    told: dict[str, object] = {}
    for name, moves in (("found", acts), ("undone", undone)):
        if moves:
            told[f"{name}_events"] = moves[0]["place"] - start
            ts_ms = course.columns.ts_ms
            told[f"{name}_s"] = round(float(ts_ms[moves[0]["place"] - 1] - ts_ms[start]) / 1000)
    told["moves"] = [
        f"{move['place'] - start} {move['kind']} {move['to']}" for move in course.moves
        if move["place"] > start and move["kind"] != "drift"
    ]  # fmt: skip
    return told


def one(begin: Course, fault: str, stops: tuple[int, int], plain: Course | None) -> Course:
    """Go on from the beginning with a fault until the first stop, and without it until the second; tell the cost."""
    course, start, offset = begin.again(), begin.at, begin.core.events
    course.go(stops[0], fault).go(stops[1])
    spans = {"during": (start, stops[0]), "after": stops, "end": ((stops[0] + stops[1]) // 2, stops[1])}
    told = found(course, start, offset)
    for span, (first, last) in spans.items():
        own = course.between(first, last)
        for metric in METRICS:
            told[f"{metric}_{span}"] = round(own[metric], 4)
            if plain is not None:
                told[f"{metric}_{span}_change"] = round(own[metric] - plain.between(first, last)[metric], 4)
        told[f"judged_{span}"] = int(own["judged"])
    told |= {"stage": course.learning.gate.stage, "skipped": len(course.skipped)}
    data.tell(f"faults/{fault}", course.not_finite, "not finite numbers published", **told)
    return course


def flip(seed: int, settings: Settings) -> None:
    """Own events after the flip, in windows of 25, until nine tenths of what it cost are regained and stay so."""
    changes = {"users": 120, "items": 80, "genres": 4, "days": 3.6, "flip_days": (2.0,), "events_per_day": 16_000}
    world = World(preset("flip", seed=seed, activity=0.2, **changes))
    columns = world.all_events()
    number = own_event_number(columns, world.flips_ms[0])
    course = Course(settings, columns, 0.5)
    course.exclude_seen = False
    rows = course.go(len(columns)).judged
    since = number[rows[:, PLACE].astype(np.int64)]
    before = rows[(since < 0) & (rows[:, PLACE] > 0.6 * (number < 0).sum()), MIXTURE].mean()
    fallen = rows[(since >= 0) & (since < 15), MIXTURE].mean()
    regained = [
        float((rows[(since >= a) & (since < a + 25), MIXTURE].mean() - fallen) / (before - fallen))
        for a in range(0, 225, 25)
    ]
    later = rows[(since >= 25) & (since < 200), MIXTURE]
    mean = float((later.mean() - fallen) / (before - fallen))
    error = float(later.std() / np.sqrt(len(later)) / (before - fallen))
    enough = [n for n in range(len(regained)) if min(regained[n:]) >= 0.9]
    value = 25 * (enough[0] + 1) if enough else float("nan")
    data.tell("faults/flip", value, "own events until 90 % regained", seed=seed, before=round(-float(before), 4),
              fallen=round(-float(fallen), 4), regained=[round(share, 3) for share in regained],
              mean_25_to_200=round(mean, 3), standard_error=round(error, 3))  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", type=int, default=60_000, help="clicks learned before")
    parser.add_argument("--events", type=int, default=8_000, help="clicks that a fault lasts")
    parser.add_argument("--after", type=int, default=8_000, help="clicks after it")
    parser.add_argument("--share", type=float, default=0.1, help="share of the clicks that are judged")
    parser.add_argument("--faults", default=",".join(FAULTS), help="which faults; empty: none")
    parser.add_argument("--flips", type=int, default=2, help="made worlds whose tastes turn over")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE")
    options = parser.parse_args()
    settings = load_settings(assignments=[EXPERTS, *options.assignments]).settings
    small = ["live.width=16", "live.negatives=64", "learner.micro_batch_events=64", "gate.start=live"]
    for seed in range(options.flips):
        flip(seed, load_settings(assignments=[EXPERTS, *small, *options.assignments]).settings)
    columns = news(options.warm, options.events + options.after)
    begin = Course(settings, columns, options.share)
    begin.marks[: options.warm] &= np.arange(options.warm) % 5 == 0
    begin.go(options.warm)
    stops = (options.warm + options.events, len(columns))
    plain = one(begin, "none", stops, None)
    for fault in filter(None, options.faults.split(",")):
        one(begin, fault, stops, plain)


if __name__ == "__main__":
    main()
