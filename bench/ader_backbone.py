"""The ADER protocol on 17 weeks of shop sessions with the sequence model alone: learn weeks 0..t, test week t+1.

Source: ADER (Mi, Lin & Faltings, RecSys 2020). Weights are frozen within a test week; items that training has not
seen are taken out of the test; each next click is ranked among all items seen so far, ties against the model.

    python bench/ader_backbone.py                                      # every week from nothing, default settings
    python bench/ader_backbone.py --last 8 --set sequence.width=96 fit.learning_rate=0.01
    python bench/ader_backbone.py --refit                              # go on from the week before, with replay
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq

from everbrook.learn.batches import Histories, join, pack
from everbrook.learn.fit import Hooks, Lesson, Progress, fit
from everbrook.learn.validation import quality
from everbrook.models.sequence import SequenceModel
from everbrook.settings.fit import FitSettings
from everbrook.settings.sequence import SequenceSettings


@dataclass(frozen=True)
class Plan:
    """What is run."""

    sequence: SequenceSettings
    fit: FitSettings
    retrain: bool
    first: int  # first week tested
    last: int  # last week tested
    verbose: bool


def data_folder() -> Path:
    """Where the real data lies."""
    return Path(os.environ.get("EVERBROOK_DATA") or Path(__file__).parents[2] / "shared" / "data")


def read_weeks() -> list[Histories]:
    """The sessions of each week; item rows count up in the order of first appearance."""
    path = data_folder() / "sessions-17-weeks" / "events.parquet"
    if not path.exists():
        raise SystemExit(f"Skipped: '{path}' is not there. Set EVERBROOK_DATA to the folder of the real data.")
    table = pq.read_table(path)
    week = table["period"].to_numpy()
    session = np.unique(table["session"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    _, first, code = np.unique(table["item"].to_numpy(zero_copy_only=False), return_index=True, return_inverse=True)
    row = np.argsort(np.argsort(first))[code]
    return [pack(session[week == w], {"items": row[week == w]}) for w in range(int(week.max()) + 1)]


def run(weeks: list[Histories], plan: Plan) -> Iterator[dict[str, float]]:
    """Quality and cost of each test week."""
    model: SequenceModel | None = None
    for week in range(plan.first, plan.last + 1):
        started = time.process_time()
        items = 1 + max(int(past.items.max()) for past in weeks[:week])
        lesson = _lesson(weeks, week, items, None if plan.retrain else model, plan)
        model = fit(lesson, plan.sequence, plan.fit, Hooks(progress=_tell if plan.verbose else None)).model
        fitted_s = time.process_time() - started
        test = weeks[week].only(weeks[week].items < items)
        yield {"week": week, **quality(model, test), "targets": test.targets(), "cpu_s": round(fitted_s, 1)}


def _lesson(weeks: list[Histories], week: int, items: int, model: SequenceModel | None, plan: Plan) -> Lesson:
    """The weeks before; where earlier weights go on, the last one and a draw of the older."""
    if model is None:
        return Lesson(reduce(join, weeks[:week]), items)
    fresh, replayed = weeks[week - 1], None
    if plan.fit.replay and week > 1:
        older = reduce(join, weeks[: week - 1])
        count = min(len(older), int(plan.fit.replay * len(fresh)))
        rng = np.random.default_rng((plan.fit.seed, week))
        replayed = older.take(np.sort(rng.choice(len(older), count, replace=False)))
    return Lesson(fresh, items, replayed=replayed, earlier=model)


def _tell(progress: Progress) -> None:
    if progress.step == progress.steps:
        print(f"#   epoch {progress.epoch} loss {progress.loss:.3f}", flush=True)


def _changed(settings: msgspec.Struct, group: str, pairs: list[str]) -> msgspec.Struct:
    wished = dict(pair.removeprefix(f"{group}.").split("=", 1) for pair in pairs if pair.startswith(f"{group}."))
    return msgspec.convert(msgspec.to_builtins(settings) | wished, type(settings), strict=False)


def main() -> None:
    """Run the protocol and print one JSON line a week, then the mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=16)
    parser.add_argument("--refit", action="store_true", help="go on from the week before instead of from nothing")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], help="sequence.NAME=VALUE or fit.NAME=VALUE")
    wish = parser.parse_args()
    own = ["fit.threads=1", "fit.patience=0", "sequence.time_buckets=0"]  # the data has no times
    plan = Plan(
        sequence=_changed(SequenceSettings(), "sequence", own + wish.set),
        fit=_changed(FitSettings(), "fit", own + wish.set),
        retrain=not wish.refit, first=wish.first, last=wish.last, verbose=wish.verbose,
    )  # fmt: skip
    found = []
    for line in run(read_weeks(), plan):
        found.append(line)
        print(json.dumps({name: round(value, 4) for name, value in line.items()}), flush=True)
    names = ("recall@20", "mrr@20", "log_loss")
    mean = {name: round(float(np.mean([line[name] for line in found])), 4) for name in names}
    total = {"cpu_s": round(sum(line["cpu_s"] for line in found), 1), "weeks": len(found)}
    print(json.dumps({"name": "ader_backbone", **mean, **total}), flush=True)


if __name__ == "__main__":
    main()
