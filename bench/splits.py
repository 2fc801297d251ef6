"""Everbrook beside popularity, item-kNN and ALS of `implicit`, on one split in time of two public data sets.

    python bench/splits.py [movielens] [articles] [--sample 0.2] [--refit 0]

The same seeded test events for all, one by one: rank, then look. Everbrook with its default settings, live (it learns
each event after it was ranked) and frozen at the split; peers frozen at the split and fitted anew at each period, their
settings chosen on an earlier slice. MovieLens: what a user has rated does not compete; articles: repeats count.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from everbrook.engine import Judging
from everbrook.evaluate.options import ReplayOptions
from everbrook.evaluate.replay import run_replay
from everbrook.evaluate.report import ALL
from everbrook.events.columns import EventColumns
from everbrook.metrics import ranking
from everbrook.settings import Settings, load_settings
from everbrook.state import State

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data
from splits_peers import CHOICES, Make, Stream, ranks

SHOWN = {"hit_rate@20": (ranking.hit_rate, 20), "mrr@20": (ranking.mrr, 20), "ndcg@10": (ranking.ndcg, 10)}
TUNED_EVENTS = 1000  # test events of the earlier slice, on which peers' settings are chosen


@dataclass(frozen=True, slots=True)
class Split:
    """A data set and how it is asked about."""

    name: str
    columns: EventColumns
    share: float  # of the events lie before the split
    period_ms: int  # between two fits of the peers
    leave_out_seen: bool
    assignments: tuple[str, ...] = ()

    @property
    def place(self) -> int:
        """Number of the first event after the split."""
        return int(np.searchsorted(self.columns.ts_ms, self.columns.ts_ms[int(self.share * len(self.columns))]))

    @property
    def stream(self) -> Stream:
        """The events as codes."""
        user, item = self.columns.user, self.columns.item
        return Stream(user.codes, item.codes, self.columns.ts_ms, len(user.names), len(item.names))

    def refits(self) -> list[int]:
        """Numbers of the events before which a peer is fitted anew, the split first."""
        ts_ms = self.columns.ts_ms
        moments = np.arange(ts_ms[self.place], ts_ms[-1], self.period_ms)
        return sorted(set(np.searchsorted(ts_ms, moments).tolist()))


def movielens() -> Split:
    """All ratings, and nothing else of the films: peers know nothing else either."""
    columns, _ = data.movielens()
    longer = ("state.history_events=1024",)  # so that all that was rated is left out
    return Split("ml-latest-small", columns, 0.8, 30 * data.DAY_MS, True, longer)


def articles() -> Split:
    """All events of all kinds."""
    return Split("articles-multi-event", data.articles(), 0.5, data.WEEK_MS, False)


SPLITS = {"movielens": movielens, "articles": articles}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="?", choices=SPLITS, help="one of the data sets; both where it is left out")
    parser.add_argument("--sample", type=float, default=0.1, help="share of the later events that are tested")
    parser.add_argument("--warm", type=float, default=0.05, help="share of earlier events that teach the mixture")
    parser.add_argument("--refit", type=int, default=0, help="days between fits of the sequence model; 0 fits never")
    options = parser.parse_args()
    for name in [options.only] if options.only else SPLITS:
        split = SPLITS[name]()
        at = tested(split, options.sample)
        with threadpool_limits(1):
            for frozen in (False, True):
                _everbrook(split, options, frozen, len(at))
            for peer, makes in CHOICES.items():
                _peer(split, peer, makes, at)


def tested(split: Split, sample: float) -> np.ndarray:
    """Numbers of the events that a replay of this sample scores."""
    step = State(Settings().state).fold(split.columns.slice(split.place, len(split.columns)))
    return split.place + np.flatnonzero(Judging(share=sample, seed=1).chosen(step, split.place))


def _everbrook(split: Split, options: argparse.Namespace, frozen: bool, wanted: int) -> None:
    start_ms = int(split.columns.ts_ms[split.place])
    asked = ReplayOptions(
        from_ms=start_ms, sample=options.sample, warm_sample=options.warm, exclude_seen=split.leave_out_seen,
        freeze_ms=start_ms if frozen else None, refit_ms=options.refit * data.DAY_MS or None,
    )  # fmt: skip
    began = time.process_time()
    report = run_replay(split.columns, [], asked, load_settings(assignments=split.assignments).settings)
    spent = time.process_time() - began
    if report.conditions.judged_events != wanted:
        raise SystemExit(f"The same events must be tested; got {report.conditions.judged_events} and {wanted}.")
    name = f"split/{split.name}/everbrook, {'frozen' if frozen else 'live'}"
    found = next(row.metrics for row in report.rows if row.system == "mixture" and row.slice == ALL)
    for measure in SHOWN:
        data.tell(name, found[measure] or 0.0, measure, events=wanted, process_s=round(spent, 1))


def _peer(split: Split, name: str, makes: dict[str, Make], at: np.ndarray) -> None:
    stream, seen = split.stream, split.leave_out_seen
    chosen = max(makes, key=lambda one: _earlier(split, makes[one])) if len(makes) > 1 else next(iter(makes))
    for way, refits in (("frozen", [split.place]), ("refitted", split.refits())):
        began = time.process_time()
        found = ranks(makes[chosen](), stream, at, refits, seen)
        spent = time.process_time() - began
        more = {"events": len(at), "process_s": round(spent, 1), "fits": len(refits), "settings": chosen}
        for measure, (metric, k) in SHOWN.items():
            value = metric(found.astype(np.int32), k).mean()
            data.tell(f"split/{split.name}/{name}, {way}", value, measure, **more)


def _earlier(split: Split, make: Make) -> float:
    """Hit rate on the last eighth before the split, fitted on what came before that."""
    start = int(0.875 * split.place)
    at = np.sort(np.random.default_rng(1).permutation(np.arange(start, split.place))[:TUNED_EVENTS])
    found = ranks(make(), split.stream, at, [start], split.leave_out_seen)
    return float(ranking.hit_rate(found.astype(np.int32), 20).mean())


if __name__ == "__main__":
    main()
