"""Sequence networks, losses and widths side by side: one week of shop sessions, and MovieLens split in time.

Sessions: weeks 0-4 learned (a seeded share of the sessions), week 5 tested, as in `ader_backbone`; no times. MovieLens:
the first 80 % of the events learned, each later event tested after those before it, weights frozen; with times. Items
that training has not seen are taken out. Default settings but for what a row names; one thread. A row whose fit costs
another CPU time than the first row's by a quarter or more is run again with as many epochs as make it equal, at least
one; rates are not tuned row by row.

    OMP_NUM_THREADS=1 python bench/backbones.py [sessions] [movielens] [--share 0.4] [--rows gbce bce]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import msgspec
import numpy as np

from everbrook.learn.batches import Histories, join, pack
from everbrook.learn.fit import Lesson, fit
from everbrook.learn.validation import quality
from everbrook.settings.fit import FitSettings
from everbrook.settings.sequence import SequenceSettings

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data
from ader_backbone import read_weeks

NEAR = 1.25  # times the first row's CPU time that count as equal


@dataclass(frozen=True, slots=True)
class Trial:
    """What is learned and what is asked."""

    learned: Histories
    items: int
    tested: Histories
    timed: bool  # whether times mean anything


def sessions(share: float) -> Trial:
    """Weeks 0-4 of shop sessions, or a share of them, and week 5."""
    weeks = read_weeks()[:6]
    past = reduce(join, weeks[:5])
    rng = np.random.default_rng(0)
    kept = past.take(np.sort(rng.choice(len(past), int(share * len(past)), replace=False)))
    return _trial(kept, weeks[5], timed=False)


def movielens(share: float) -> Trial:
    """Ratings as events: the first 80 % and the rest; `share` is not used."""
    columns, _ = data.movielens()
    ts_ms, user, item = columns.ts_ms, columns.user.codes, columns.item.codes
    cut = ts_ms[int(0.8 * len(ts_ms))]
    early = ts_ms < cut
    learned = pack(user[early], {"items": item[early], "ts_ms": ts_ms[early]})
    return _trial(learned, pack(user, {"items": item, "ts_ms": ts_ms, "wanted": ~early}), timed=True)


def _trial(learned: Histories, tested: Histories, timed: bool) -> Trial:
    """With items numbered by what was learned, and the others out of the test."""
    rows = np.full(1 + max(int(learned.items.max()), int(tested.items.max())), -1, np.int32)
    known = np.unique(learned.items)
    rows[known] = np.arange(len(known))
    tested = tested.only(rows[tested.items] >= 0)
    learned, tested = (replace(one, items=rows[one.items]) for one in (learned, tested))
    return Trial(learned, len(known), tested, timed)


TRIALS: dict[str, Callable[[float], Trial]] = {"sessions": sessions, "movielens": movielens}
ROWS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "transformer, sampled softmax": ({}, {}),
    "pointwise attention (HSTU)": ({"attention": "pointwise"}, {}),
    "recurrent": ({"kind": "recurrent"}, {}),
    "width 128": ({"width": 128}, {}),
    "pointwise, width 128": ({"attention": "pointwise", "width": 128}, {}),
    "bce": ({}, {"loss": "bce"}),
    "gbce": ({}, {"loss": "gbce"}),
    "full softmax": ({}, {"loss": "softmax"}),
}
"""What differs from the defaults: settings of the sequence model and of the fit."""


def run(trial: Trial, name: str, epochs: int) -> tuple[dict[str, float], float]:
    """Fit and judge one row: its quality and the CPU seconds of the fit."""
    shape, fitting = ROWS[name]
    if not trial.timed:
        shape = shape | {"time_buckets": 0}
    sequence = msgspec.structs.replace(SequenceSettings(), **shape)
    settings = msgspec.structs.replace(FitSettings(threads=1, patience=0, epochs=epochs), **fitting)
    begun = time.process_time()
    model = fit(Lesson(trial.learned, trial.items), sequence, settings).model
    spent = time.process_time() - begun
    return quality(model, trial.tested), spent


def main() -> None:
    """Run the trials that are named, or both, and print a JSON line for each measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=", ".join(TRIALS))
    parser.add_argument("--share", type=float, default=0.4, help="share of the sessions that is learned")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), help="which of them")
    wish = parser.parse_args()
    for name in wish.trials or TRIALS:
        trial = TRIALS[name](wish.share)
        size = {"events": len(trial.learned.items), "items": trial.items, "targets": trial.tested.targets()}
        run(trial, next(iter(ROWS)), 1)  # imports and compiles
        first_s = 0.0
        for row in wish.rows:
            epochs = FitSettings().epochs
            found, spent = run(trial, row, epochs)
            _tell(name, row, found, epochs=epochs, cpu_s=round(spent, 1), **size)
            first_s = first_s or spent
            equal = max(1, round(epochs * first_s / spent))
            if not 1 / NEAR < spent / first_s < NEAR and equal != epochs:
                found, spent = run(trial, row, equal)
                _tell(name, f"{row}, equal cost", found, epochs=equal, cpu_s=round(spent, 1), **size)


def _tell(trial: str, row: str, found: dict[str, float], **more: object) -> None:
    for measure, value in found.items():
        data.tell(f"backbones/{trial}/{row}", value, measure, **more)


if __name__ == "__main__":
    main()
