"""Floods in real traffic: bots that make half of the news clicks, all on one article, with and without the guard.

    python bench/floods.py [--hours 2] [--share 0.05] [--aged 0]

Learns the first half of day 3; the flood comes at noon. For each phase (before, during, minutes after) and for people
only: hits and mean reciprocal rank of the lists that they would have got, and the share of their lists of twenty that
hold the target. The same events of people are judged in every run, and as large a share of the bots'.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from everbrook.engine import Core, Judging
from everbrook.engine.building import new_core
from everbrook.events.columns import EventColumns
from everbrook.rank.mixture import Judgement
from everbrook.settings import Settings, load_settings
from everbrook.testing.floods import Flood
from everbrook.types import F64, Bool, Step

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

HOUR_MS = 3_600_000
CHUNK = 4096
TOP = 20
ACTORS = (1, 100, 10_000)
WARM_SHARE = 0.02
"""Of the events before the first phase: they only teach the mixture."""


@dataclass(frozen=True, slots=True)
class Marked(Judging):
    """Judges the events that are marked."""

    marks: Bool | None = None

    def chosen(self, step: Step, offset: int) -> Bool:
        """(B,) whether each event is judged."""
        assert self.marks is not None
        return self.marks[offset : offset + len(step)] & (step.weight > 0) & (step.session_n > 0)


class Lists:
    """What people's lists held, by the time they were made."""

    def __init__(self, people: Bool) -> None:
        self.people, self.base, self.target = people, 0, -1
        self.rows: list[tuple[float, float, float, float]] = []

    def __call__(self, step: Step, b: int, judgement: Judgement) -> None:
        if not self.people[self.base + b]:
            return
        w = judgement.weighed
        best = w.rows[: w.shown][np.argsort(-w.final[: w.shown], kind="stable")[:TOP]]
        hit = 0 < judgement.rank <= TOP
        self.rows.append((float(step.ts_ms[b]), hit, 1 / judgement.rank if hit else 0.0, (best == self.target).any()))

    def tell(self, name: str, phases: dict[str, tuple[int, int]], **more: object) -> None:
        """Print what each phase had."""
        rows = np.array(self.rows)
        for phase, (start, stop) in phases.items():
            inside = rows[(rows[:, 0] >= start) & (rows[:, 0] < stop)]
            for metric, column in (("hit_rate@20", 1), ("mrr@20", 2), ("target in top 20", 3)):
                data.tell(f"floods/{name}/{phase}", inside[:, column].mean(), metric, events=len(inside), **more)


def lived(columns: EventColumns, people: Bool, target: str, settings: Settings, shares: F64) -> tuple[Core, Lists]:
    """A core after the stream, and the lists that people got on the way; `shares` says how many events are judged."""
    marks = np.zeros(len(columns), np.bool_)
    for whose in (people, ~people):  # the same people's events whatever bots come between
        marks[whose] = np.random.default_rng(7).random(int(whose.sum())) < shares[whose]
    core, lists = new_core(settings), Lists(people)
    judging = Marked(exclude_seen=True, marks=marks)
    for a in range(0, len(columns), CHUNK):
        folded = core.fold(columns.slice(a, min(a + CHUNK, len(columns))))
        lists.base, lists.target = a, core.state.items.row(target)
        core.learn(folded.learned, judging, lists, folded.happened)
    return core, lists


def target_of(columns: EventColumns, start_ms: int) -> str:
    """An article with a few readers: ten clicks in the two hours before, or the nearest to it."""
    recent = (columns.ts_ms >= start_ms - 2 * HOUR_MS) & (columns.ts_ms < start_ms)
    counts = np.bincount(columns.item.codes[recent], minlength=len(columns.item.names))
    return columns.item.names[int(np.argmin(np.abs(counts - 10)))]


def guard_us(columns: EventColumns, settings: Settings) -> float:
    """Microseconds of the guard for an event that was just folded."""
    core = new_core(settings)
    guard, spent = core.guard, 0.0
    assert guard is not None
    for a in range(0, len(columns), CHUNK):
        step = core.state.fold(columns.slice(a, min(a + CHUNK, len(columns))))
        began = time.process_time()
        guard.weigh(step)
        spent += time.process_time() - began if a else 0.0
    return 1e6 * spent / max(len(columns) - CHUNK, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="how long the flood lasts")
    parser.add_argument("--share", type=float, default=0.05, help="share of the events that are judged")
    parser.add_argument("--aged", type=int, default=0, help="other articles that a bot reads before each push")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE")
    options = parser.parse_args()
    columns = data.news()
    at = columns.ts_ms[0] + np.array([2.0, 2.5]) * data.DAY_MS
    start_ms, stop_ms = int(at[1]), int(at[1] + options.hours * HOUR_MS)
    last_ms = stop_ms + 2 * HOUR_MS
    columns = columns.slice(*(int(place) for place in np.searchsorted(columns.ts_ms, (at[0], last_ms)))).compact()
    target = target_of(columns, start_ms)
    spans = ((0, 10), (10, 60), (60, 120))
    minutes = {f"{a}-{b} min after": (stop_ms + a * 60_000, stop_ms + b * 60_000) for a, b in spans}
    phases = {"before": (start_ms - 2 * HOUR_MS, start_ms), "first 15 min": (start_ms, start_ms + HOUR_MS // 4)}
    phases |= {"rest of the flood": (start_ms + HOUR_MS // 4, stop_ms), **minutes}
    experts = ",".join(name for name in Settings().mixture.experts if name not in ("sequence", "live"))
    for guarded in ("true", "false"):
        chosen = [f"mixture.experts={experts}", f"guard.enabled={guarded}", *options.assignments]
        settings = load_settings(assignments=chosen).settings
        if guarded == "true":
            data.tell("floods/guard", guard_us(columns, settings), "us/event", events=len(columns))
        for actors in (0, *ACTORS):
            mixed, people = columns, np.ones(len(columns), np.bool_)
            if actors:
                mixed, people = Flood(actors, target, start_ms, stop_ms, aged=options.aged).into(columns)
            shares = np.where(mixed.ts_ms < start_ms - 2 * HOUR_MS, WARM_SHARE, options.share)
            core, lists = lived(mixed, people, target, settings, shares)
            held = core.guard.held_back if core.guard is not None else 0
            lists.tell(f"{actors} actors", phases, guard=guarded, held_back=held, bots=int((~people).sum()))


if __name__ == "__main__":
    main()
