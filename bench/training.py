"""Training of our Transformer against RecTools' SASRec until the same quality: same made data, size, loss and machine.

RecTools 0.19 needs numpy < 2, so it runs in a virtual environment of its own, made in EVERBROOK_BENCH_CACHE (default:
the user's cache folder) at the first run. Both sides learn the last L+1 events of every user but the very last, which
is the validation: both rank it among all items after every epoch, outside the clock. RecTools goes first, for a number
of epochs; then we learn until its best hit rate is reached: from a random start at its rate and at ours (both held),
and from our own start.

    OMP_NUM_THREADS=1 python bench/training.py --length 50 --epochs 12
    OMP_NUM_THREADS=1 python bench/training.py --length 200 --epochs 7 --users 400 --events 100000 --batch 8
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from everbrook.learn.batches import Histories, pack
from everbrook.learn.fit import Hooks, Lesson, fit
from everbrook.learn.validation import ranks
from everbrook.models.sequence import SequenceModel
from everbrook.settings.fit import FitSettings
from everbrook.settings.sequence import SequenceSettings

ITEMS, GENRES = 3_700, 40
WIDTH, BLOCKS, HEADS = 64, 2, 2


@dataclass(frozen=True)
class Terms:
    """What we begin from and how we step."""

    start: str
    rate: float
    final_rate: float  # share of the rate that is left in the last epoch
    warmup_steps: int


def made_world(users: int, events: int, seed: int = 0) -> list[np.ndarray]:
    """Each user's items in order: a drifting genre, and within it often a successor of the item before."""
    rng = np.random.default_rng(seed)
    share = rng.lognormal(0, 1, users)
    sizes = np.maximum(20, (share / share.sum() * events).astype(int))
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


def ours(
    walks: list[np.ndarray], wish: argparse.Namespace, terms: Terms, level: float, name: str
) -> list[dict[str, float]]:
    """Fit our Transformer until a hit rate is reached: CPU and wall seconds and quality at the end of each epoch."""
    cut = [walk[-wish.length - 2 :] for walk in walks]
    learned, judged = _histories(cut, last=False), _histories(cut, last=True)
    sequence = SequenceSettings(
        width=WIDTH, layers=BLOCKS, heads=HEADS, history=wish.length, time_buckets=0, dropout=0.2, item_dropout=0.2,
    )  # fmt: skip
    settings = FitSettings(
        loss="softmax", epochs=3 * wish.epochs if terms.start == "random" else wish.epochs,
        batch_events=wish.batch * wish.length, patience=0, threads=wish.threads, learning_rate=terms.rate,
        start=terms.start, warmup_steps=terms.warmup_steps, final_rate=terms.final_rate, seed=wish.seed,
    )  # fmt: skip
    curve: list[dict[str, float]] = []
    spent = np.array(_now())  # moves on by what judging takes

    def judge(model: SequenceModel) -> dict[str, float]:
        reached = np.array(_now())
        curve.append(_point(len(curve) + 1, reached - spent, scores(ranks(model, judged)[0])))
        _tell(name, wish, curve[-1:])
        spent[:] += np.array(_now()) - reached
        return {}

    def stop() -> bool:
        return bool(curve) and curve[-1]["hr@20"] >= level

    fit(Lesson(learned, ITEMS), sequence, settings, Hooks(judge=judge, stop=stop))
    return curve


def _point(epoch: int, spent: np.ndarray, quality: dict[str, float]) -> dict[str, float]:
    return {"epoch": epoch, "wall_s": round(float(spent[0]), 1), "cpu_s": round(float(spent[1]), 1), **quality}


def _histories(walks: list[np.ndarray], last: bool) -> Histories:
    parts = walks if last else [walk[:-1] for walk in walks]
    sizes = np.array([len(part) for part in parts])
    wanted = np.ones(int(sizes.sum()), bool)
    if last:
        wanted[:] = False
        wanted[np.cumsum(sizes) - 1] = True
    return pack(np.repeat(np.arange(len(parts)), sizes), {"items": np.concatenate(parts), "wanted": wanted})


def theirs(walks: list[np.ndarray], wish: argparse.Namespace) -> list[dict[str, float]]:
    """Fit RecTools' SASRec in its own environment: the same curve."""
    cut = [walk[-wish.length - 2 :] for walk in walks]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "walks.npz", items=np.concatenate(cut), sizes=np.array([len(walk) for walk in cut]))
        shape = {
            "length": wish.length, "epochs": wish.epochs, "threads": wish.threads, "width": WIDTH, "blocks": BLOCKS,
            "heads": HEADS, "batch": wish.batch, "rate": wish.their_rate, "seed": wish.seed,
        }  # fmt: skip
        run = subprocess.run(
            [str(_rectools_python()), "-c", _THEIRS, folder, json.dumps(shape)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if run.returncode:
        raise SystemExit(f"RecTools failed:\n{run.stderr[-2000:]}")
    found = json.loads(run.stdout.splitlines()[-1])
    return [
        _point(epoch + 1, np.array(spent), scores(np.array(rank)))
        for epoch, (spent, rank) in enumerate(zip(found["spent"], found["ranks"], strict=True))
    ]


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
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
folder, shape = sys.argv[1], json.loads(sys.argv[2])
torch.set_num_threads(shape["threads"]); torch.manual_seed(shape["seed"])
data = np.load(folder + "/walks.npz"); items, sizes = data["items"], data["sizes"]
user = np.repeat(np.arange(len(sizes)), sizes); place = np.arange(len(items))
last = np.zeros(len(items), bool); last[np.cumsum(sizes) - 1] = True
frame = pd.DataFrame({Columns.User: user, Columns.Item: items, Columns.Weight: 1.0,
                      Columns.Datetime: pd.Timestamp("2020-01-01") + pd.to_timedelta(place, unit="s")})
dataset = Dataset.construct(frame[~last])
spent, kept = [], []
def now():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), use.ru_utime + use.ru_stime
class Keep(Callback):
    def on_train_epoch_end(self, trainer, module):
        spent.append([b - a for a, b in zip(start, now())])
        kept.append({name: tensor.clone() for name, tensor in module.torch_model.state_dict().items()})
def trainer():
    return Trainer(max_epochs=shape["epochs"], min_epochs=shape["epochs"], enable_progress_bar=False,
                   enable_model_summary=False, logger=False, enable_checkpointing=False, devices=1,
                   accelerator="cpu", callbacks=[Keep()])
model = SASRecModel(n_blocks=shape["blocks"], n_heads=shape["heads"], n_factors=shape["width"], dropout_rate=0.2,
                    session_max_len=shape["length"], loss="softmax", lr=shape["rate"], batch_size=shape["batch"],
                    epochs=shape["epochs"], recommend_torch_device="cpu", get_trainer_func=trainer)
start = now(); model.fit(dataset)
wanted, ranks = pd.Series(items[last], index=user[last]), []
for state in kept:
    model.torch_model.load_state_dict(state)
    listed = model.recommend(np.arange(len(sizes)), dataset, k=20, filter_viewed=False)
    hit = listed[listed[Columns.Item] == listed[Columns.User].map(wanted)].set_index(Columns.User)[Columns.Rank]
    ranks.append(hit.reindex(np.arange(len(sizes))).fillna(10**6).astype(int).tolist())
print(json.dumps({"spent": spent, "ranks": ranks}))
'''


def _now() -> tuple[float, float]:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), use.ru_utime + use.ru_stime


def main() -> None:
    """Run both, print a JSON line for each epoch, then what each needed for the best hit rate of RecTools."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=12, help="epochs of RecTools")
    parser.add_argument("--users", type=int, default=6_040)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=128, help="histories of a batch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=4e-3, help="our own rate")
    parser.add_argument("--their-rate", type=float, default=1e-3, help="the rate of RecTools; its own default is 1e-3")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", type=float, help="hit rate to reach, in place of a run of RecTools")
    wish = parser.parse_args()
    walks = made_world(wish.users, wish.events)
    curves = {} if wish.level else {"rectools": theirs(walks, wish)}
    level = wish.level or max(point["hr@20"] for point in curves["rectools"])
    for name, curve in curves.items():
        _tell(name, wish, curve)
    ours(made_world(40, 2_000), wish, Terms("spectral", wish.rate, 0.1, 0), 0.0, "warming")  # imports and compiles
    arms = {
        "same terms": Terms("random", wish.their_rate, 1.0, 0), "own rate": Terms("random", wish.rate, 1.0, 0),
        "own terms": Terms("spectral", wish.rate, 0.1, 20),
    }  # fmt: skip
    for name, terms in arms.items():
        curves[name] = ours(walks, wish, terms, level, name)
    for name, curve in curves.items():
        reached = next((point for point in curve if point["hr@20"] >= level), None)
        print(json.dumps({"name": f"training/{name}", "length": wish.length, "level": level, "reached": reached}))


def _tell(name: str, wish: argparse.Namespace, curve: list[dict[str, float]]) -> None:
    for point in curve:
        print(json.dumps({"name": name, "length": wish.length, **point}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
