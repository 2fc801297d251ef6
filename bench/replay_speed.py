"""How fast a replay goes with the counting experts alone: the first days of the news clicks, by share of judged events.

    python bench/replay_speed.py [--days 2] [--profile]

A first short replay compiles and warms; times are of the process, so that busy neighbours count for less.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from pathlib import Path

from everbrook.engine import Core, Judging
from everbrook.engine.building import new_core
from everbrook.evaluate.options import ReplayOptions
from everbrook.evaluate.replay import run_replay
from everbrook.events.columns import EventColumns
from everbrook.settings import Settings, load_settings

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

SAMPLES = (0.01, 0.02, 0.05)
CHUNK = 4096


def counting(assignments: list[str]) -> Settings:
    """Settings without the sequence model."""
    experts = [name for name in Settings().mixture.experts if name != "sequence"]
    return load_settings(assignments=[f"mixture.experts={','.join(experts)}", *assignments]).settings


def first_days(days: float) -> EventColumns:
    """The news clicks of the first days."""
    columns = data.news()
    return columns.slice(0, int(columns.ts_ms.searchsorted(columns.ts_ms[0] + days * data.DAY_MS)))


def replay_s(columns: EventColumns, settings: Settings, sample: float) -> tuple[float, int]:
    """Process seconds of a replay, and how many events were judged."""
    began = time.process_time()
    report = run_replay(columns, [], ReplayOptions(sample=sample, exclude_seen=True), settings)
    return time.process_time() - began, report.conditions.judged_events


def parts_us(columns: EventColumns, settings: Settings) -> dict[str, float]:
    """Microseconds an event of folding and of learning in bulk, and of judging one, on the last chunks of a stream."""
    core: Core = new_core(settings)
    parts = dict.fromkeys(("fold", "learn in bulk", "judge"), 0.0)
    counts = dict.fromkeys(parts, 0)
    for start in range(0, len(columns), CHUNK):
        piece = columns.slice(start, min(start + CHUNK, len(columns)))
        late = start >= len(columns) // 2
        began = time.process_time()
        step = core.state.fold(piece)
        core.grow()
        folded = time.process_time()
        judged = 0
        if late:
            core.judge_only(step, judging := Judging(share=0.02, exclude_seen=True))
            judged = int(judging.chosen(step, core.events).sum())
        told = time.process_time()
        core.learn(step, Judging(share=0.0))
        if late:
            spent = {"fold": (folded - began, len(step)), "judge": (told - folded, judged)}
            spent["learn in bulk"] = (time.process_time() - told, len(step))
            for name, (seconds, events) in spent.items():
                parts[name] += seconds
                counts[name] += events
    return {name: 1e6 * seconds / max(counts[name], 1) for name, seconds in parts.items()}


def profiled(columns: EventColumns, settings: Settings) -> None:
    """Print where the time goes, by a function's own time."""
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    replay_s(columns, settings, 0.02)
    profile.disable()
    found = pstats.Stats(profile)
    found.sort_stats("tottime").print_stats(25)
    found.sort_stats("cumulative").print_stats("everbrook", 45)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=2.0, help="how many of the first days")
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE")
    options = parser.parse_args()
    settings, columns = counting(options.assignments), first_days(options.days)
    replay_s(columns.slice(0, 20_000), settings, 0.02)
    if options.profile:
        profiled(columns, settings)
        return
    for sample in SAMPLES:
        seconds, judged = replay_s(columns, settings, sample)
        more = {"sample": sample, "judged": judged, "events": len(columns)}
        data.tell("replay/events_per_s", len(columns) / seconds, "events/s", **more)
    for name, cost in parts_us(columns, settings).items():
        data.tell(f"replay/{name}", cost, "us/event", events=len(columns) // 2)


if __name__ == "__main__":
    main()
