"""Training throughput of our Transformer against RecTools' SASRec: same made data, size, loss, machine and run.

RecTools 0.19 needs numpy < 2, so it runs in a virtual environment of its own, made in EVERBROOK_BENCH_CACHE (default:
the user's cache folder) at the first run. Both sides learn the last L+1 events of every user but the very last, which
is the validation: both rank it among all items.

    OMP_NUM_THREADS=1 python bench/training.py --length 50 --epochs 4
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

from everbrook.learn.batches import Histories, pack
from everbrook.learn.fit import Hooks, Lesson, Progress, fit
from everbrook.learn.validation import ranks
from everbrook.settings.fit import FitSettings
from everbrook.settings.sequence import SequenceSettings

USERS, ITEMS, EVENTS, GENRES = 6_040, 3_700, 1_000_000, 40
WIDTH, BLOCKS, HEADS, BATCH = 64, 2, 2, 128


def made_world(seed: int = 0) -> list[np.ndarray]:
    """Each user's items in order: a drifting genre, and within it often a successor of the item before."""
    rng = np.random.default_rng(seed)
    share = rng.lognormal(0, 1, USERS)
    sizes = np.maximum(20, (share / share.sum() * EVENTS).astype(int))
    genre_of = rng.integers(0, GENRES, ITEMS)
    by_genre = [np.flatnonzero(genre_of == genre) for genre in range(GENRES)]
    after = [rng.choice(by_genre[genre_of[item]], 8) for item in range(ITEMS)]
    return [_walk(rng, int(size), by_genre, after) for size in sizes]


def _walk(rng: np.random.Generator, size: int, by_genre: list[np.ndarray], after: list[np.ndarray]) -> np.ndarray:
    items = np.empty(size, np.int64)
    follow, turn = rng.random(size), rng.random(size)
    genre = int(rng.integers(GENRES))
    for place in range(size):
        if turn[place] < 0.05:
            genre = int(rng.integers(GENRES))
        if place and turn[place] >= 0.05 and follow[place] < 0.5:
            items[place] = after[items[place - 1]][int(8 * rng.random() ** 2)]
        else:
            pool = by_genre[genre]
            items[place] = pool[int(len(pool) * rng.random() ** 2)]
    return items


def scores(rank: np.ndarray) -> dict[str, float]:
    """HR@20 and NDCG@20 of each user's last item."""
    inside = rank <= 20
    return {"hr@20": round(float(inside.mean()), 4), "ndcg@20": round(float((inside / np.log2(1 + rank)).mean()), 4)}


def ours(walks: list[np.ndarray], wish: argparse.Namespace) -> dict[str, Any]:
    """Fit our Transformer; the validation of every epoch is not part of its time."""
    cut = [walk[-wish.length - 2 :] for walk in walks]
    learned, judged = _histories(cut, last=False), _histories(cut, last=True)
    sequence = SequenceSettings(
        width=WIDTH, layers=BLOCKS, heads=HEADS, history=wish.length, time_buckets=0, dropout=0.2, item_dropout=0.2,
    )  # fmt: skip
    settings = FitSettings(
        loss="softmax", epochs=wish.epochs, batch_events=BATCH * wish.length, patience=0, threads=wish.threads,
        learning_rate=wish.rate, start=wish.start, warmup_steps=20,
    )  # fmt: skip
    marks = [_now()]

    def mark(progress: Progress) -> None:
        if progress.step == progress.steps:
            marks.append(_now())

    model = fit(Lesson(learned, ITEMS), sequence, settings, Hooks(progress=mark)).model
    wall, cpu = ((marks[-1][k] - marks[0][k]) / wish.epochs for k in (0, 1))
    return {"epoch_s": round(wall, 2), "epoch_cpu_s": round(cpu, 2), **scores(ranks(model, judged)[0])}


def _histories(walks: list[np.ndarray], last: bool) -> Histories:
    parts = walks if last else [walk[:-1] for walk in walks]
    sizes = np.array([len(part) for part in parts])
    wanted = np.ones(int(sizes.sum()), bool)
    if last:
        wanted[:] = False
        wanted[np.cumsum(sizes) - 1] = True
    return pack(np.repeat(np.arange(len(parts)), sizes), {"items": np.concatenate(parts), "wanted": wanted})


def theirs(walks: list[np.ndarray], wish: argparse.Namespace) -> dict[str, Any]:
    """Fit RecTools' SASRec in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "walks.npz", items=np.concatenate(walks), sizes=np.array([len(walk) for walk in walks]))
        shape = {
            "length": wish.length, "epochs": wish.epochs, "threads": wish.threads, "width": WIDTH, "blocks": BLOCKS,
            "heads": HEADS, "batch": BATCH,
        }  # fmt: skip
        run = subprocess.run(
            [str(_rectools_python()), "-c", _THEIRS, folder, json.dumps(shape)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if run.returncode:
        raise SystemExit(f"RecTools failed:\n{run.stderr[-2000:]}")
    found = json.loads(run.stdout.splitlines()[-1])
    rank = np.array(found.pop("rank"))
    return {**found, **scores(rank)}


def _rectools_python() -> Path:
    cache = Path(os.environ.get("EVERBROOK_BENCH_CACHE") or Path.home() / ".cache" / "everbrook-bench")
    folder = cache / "rectools-venv"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True)
        for wanted in ("torch==2.13.0", "rectools[torch]==0.19.0"):  # torch first: a resolver alone would bring CUDA
            subprocess.run([str(python), "-m", "pip", "install", "-q", wanted], check=True)
        (folder / "ready").touch()
    return python


_THEIRS = '''
import json, resource, sys, time, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.WARNING)
import numpy as np, pandas as pd, torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
folder, shape = sys.argv[1], json.loads(sys.argv[2])
torch.set_num_threads(shape["threads"]); torch.manual_seed(0)
data = np.load(folder + "/walks.npz"); items, sizes = data["items"], data["sizes"]
user = np.repeat(np.arange(len(sizes)), sizes); place = np.arange(len(items))
last = np.zeros(len(items), bool); last[np.cumsum(sizes) - 1] = True
frame = pd.DataFrame({Columns.User: user, Columns.Item: items, Columns.Weight: 1.0,
                      Columns.Datetime: pd.Timestamp("2020-01-01") + pd.to_timedelta(place, unit="s")})
dataset = Dataset.construct(frame[~last])
model = SASRecModel(n_blocks=shape["blocks"], n_heads=shape["heads"], n_factors=shape["width"], dropout_rate=0.2,
                    session_max_len=shape["length"], loss="softmax", lr=1e-3, batch_size=shape["batch"],
                    epochs=shape["epochs"], recommend_torch_device="cpu")
def now():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), use.ru_utime + use.ru_stime
start = now(); model.fit(dataset); end = now()
known = np.unique(items[~last])
wanted = pd.Series(items[last], index=user[last])
listed = model.recommend(np.arange(len(sizes)), dataset, k=20, filter_viewed=False)
hit = listed[listed[Columns.Item] == listed[Columns.User].map(wanted)].set_index(Columns.User)[Columns.Rank]
rank = hit.reindex(np.arange(len(sizes))).fillna(10**6).astype(int).tolist()
print(json.dumps({"epoch_s": round((end[0] - start[0]) / shape["epochs"], 2),
                  "epoch_cpu_s": round((end[1] - start[1]) / shape["epochs"], 2), "rank": rank}))
'''


def _now() -> tuple[float, float]:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), use.ru_utime + use.ru_stime


def main() -> None:
    """Run both and print one JSON line each, then the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--start", default="spectral")
    parser.add_argument("--only", choices=["ours", "rectools"])
    wish = parser.parse_args()
    walks, found = made_world(), {}
    for name, side in (("ours", ours), ("rectools", theirs)):
        if wish.only in (None, name):
            found[name] = side(walks, wish)
            print(json.dumps({"name": name, "length": wish.length, "epochs": wish.epochs, **found[name]}), flush=True)
    if len(found) == 2:
        ratio = found["rectools"]["epoch_cpu_s"] / found["ours"]["epoch_cpu_s"]
        print(json.dumps({"name": "training_ratio", "value": round(ratio, 2), "unit": "x less CPU an epoch"}))


if __name__ == "__main__":
    sys.exit(main())
