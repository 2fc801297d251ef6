"""Prequential quality and cost of the counting experts on early slices of the real streams; prints JSON lines.

    python bench/counting.py [stream …] [--sample 6000] [--set transitions.row_limit=64 …] [--columns]

Never reads the later parts that are kept for judging: news-clicks days 1-4 (scored: day 4), sessions-17-weeks periods
0-8 (scored: 7-8), articles first half (scored: its last 40 %), ml-latest-small first 80 % (scored: 60-80 %). Times are
of this thread's processor, so that they mean something on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numba import njit

from everbrook.models.popularity import Popularity
from everbrook.models.repeats import Repeats
from everbrook.models.transitions import Transitions
from everbrook.settings.popularity import PopularitySettings
from everbrook.settings.repeats import RepeatsSettings
from everbrook.settings.transitions import TransitionsSettings
from everbrook.types import Step

DATA = Path(os.environ.get("EVERBROOK_DATA", Path(__file__).parents[2] / "shared" / "data"))
H = 64
DAY_MS = 86_400_000


@dataclass
class Stream:
    """A stream in row space."""

    name: str
    ts: np.ndarray
    actor: np.ndarray
    session: np.ndarray
    item: np.ndarray
    kind: np.ndarray
    scenario: np.ndarray
    score_from: int
    seen_left_out: bool


def _codes(column) -> np.ndarray:
    return column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int32)


def _by_first_seen(x: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(x, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].astype(np.int32)


def news() -> Stream:
    t = pq.read_table(DATA / "news-clicks" / "first-8-days.parquet")
    ts = t["ts_ms"].to_numpy()
    day = (ts - ts.min()) // DAY_MS
    t = t.filter(day < 4)
    ts, day = ts[day < 4], day[day < 4]
    zero = np.zeros(len(ts), np.int16)
    return Stream(
        "news",
        ts,
        _codes(t["user"]),
        _codes(t["session"]),
        _codes(t["item"]),
        zero,
        t["device"].to_numpy().astype(np.int16),
        int(np.searchsorted(day, 3)),
        True,
    )


def shop() -> Stream:
    t = pq.read_table(DATA / "sessions-17-weeks" / "events.parquet")
    period = t["period"].to_numpy()
    t, period = t.filter(period <= 8), period[period <= 8]
    ts = np.empty(len(period), np.int64)
    for p in range(9):
        w = np.flatnonzero(period == p)
        ts[w] = (p + np.arange(len(w)) / len(w)) * 7 * DAY_MS
    session = _codes(t["session"])
    zero = np.zeros(len(ts), np.int16)
    return Stream(
        "shop", ts, session, session, _codes(t["item"]), zero, zero - 1, int(np.searchsorted(period, 7)), False
    )


def articles() -> Stream:
    t = pq.read_table(DATA / "articles-multi-event" / "events.parquet")
    t = t.slice(0, t.num_rows // 2)
    zero = np.zeros(t.num_rows, np.int16)
    return Stream(
        "articles",
        t["ts_ms"].to_numpy(),
        _codes(t["user"]),
        _codes(t["session"]),
        _codes(t["item"]),
        _codes(t["kind"]).astype(np.int16),
        zero - 1,
        int(t.num_rows * 0.6),
        False,
    )


def movies() -> Stream:
    t = pacsv.read_csv(DATA / "ml-latest-small" / "ratings.csv").sort_by("timestamp")
    t = t.slice(0, int(t.num_rows * 0.8))
    zero = np.zeros(t.num_rows, np.int16)
    actor = _by_first_seen(t["userId"].to_numpy())
    return Stream(
        "movies",
        t["timestamp"].to_numpy() * 1000,
        actor,
        np.full(t.num_rows, -1, np.int32),
        _by_first_seen(t["movieId"].to_numpy()),
        zero,
        zero - 1,
        int(t.num_rows * 0.75),
        True,
    )


STREAMS = {"news": news, "shop": shop, "articles": articles, "movies": movies}


@njit
def _fold(
    ts,
    actor,
    session,
    item,
    kind,
    ring,
    ring_ts,
    ring_kind,
    n,
    session_n,
    last_session,
    out_i,
    out_t,
    out_k,
    out_n,
    out_s,
):
    width = ring.shape[1]
    for b in range(ts.shape[0]):
        a = actor[b]
        m = n[a]
        if m:
            same = last_session[a] == session[b] if session[b] >= 0 else ts[b] - ring_ts[a, m - 1] < 1_800_000
            if not same:
                session_n[a] = 0
        out_i[b], out_t[b], out_k[b] = ring[a], ring_ts[a], ring_kind[a]
        out_n[b], out_s[b] = m, session_n[a]
        if m == width:
            ring[a, :-1], ring_ts[a, :-1], ring_kind[a, :-1] = (
                ring[a, 1:].copy(),
                ring_ts[a, 1:].copy(),
                ring_kind[a, 1:].copy(),
            )
            m -= 1
        ring[a, m], ring_ts[a, m], ring_kind[a, m] = item[b], ts[b], kind[b]
        n[a] = m + 1
        session_n[a] = min(session_n[a] + 1, width)
        last_session[a] = session[b]


class Folder:
    """Makes steps: a plain second computation of what the state folds."""

    def __init__(self, s: Stream) -> None:
        A = int(s.actor.max()) + 1
        self.s = s
        self.held = (
            np.zeros((A, H), np.int32),
            np.zeros((A, H), np.int64),
            np.zeros((A, H), np.int16),
            np.zeros(A, np.int32),
            np.zeros(A, np.int32),
            np.full(A, -1, np.int32),
        )

    def step(self, a: int, b: int) -> Step:
        s, B = self.s, b - a
        items, times, kinds = np.zeros((B, H), np.int32), np.zeros((B, H), np.int64), np.zeros((B, H), np.int16)
        n, session_n = np.zeros(B, np.int32), np.zeros(B, np.int32)
        _fold(
            s.ts[a:b],
            s.actor[a:b],
            s.session[a:b],
            s.item[a:b],
            s.kind[a:b],
            *self.held,
            items,
            times,
            kinds,
            n,
            session_n,
        )
        return Step(
            s.ts[a:b],
            s.actor[a:b],
            s.item[a:b],
            s.kind[a:b],
            s.scenario[a:b],
            np.full(B, np.nan, np.float32),
            np.ones(B, np.float32),
            n,
            session_n,
            items,
            times,
            kinds,
        )


class Pool:
    """A plain linear pool per length of the session (Soft-Bayes), to see what the columns are worth together."""

    def __init__(self, columns: int, rate: float = 0.05) -> None:
        self.weights = np.full((8, columns), 1.0 / columns)
        self.rate = rate

    def learn(self, context: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Mixed probabilities of the events, each before learning from it."""
        return _pool(self.weights, self.rate, context, p)


@njit
def _pool(weights, rate, context, p):
    out = np.empty(p.shape[0])
    for b in range(p.shape[0]):
        w = weights[context[b]]
        mixed = 0.0
        for k in range(w.shape[0]):
            mixed += w[k] * p[b, k]
        out[b] = mixed
        total = 0.0
        for k in range(w.shape[0]):
            w[k] *= 1.0 - rate + rate * p[b, k] / mixed  # Soft-Bayes
            w[k] = max(w[k], 1e-5)
            total += w[k]
        for k in range(w.shape[0]):
            w[k] /= total
    return out


@dataclass
class Tally:
    """Hits, reciprocal ranks and log-losses per column."""

    names: list[str]
    hits: np.ndarray
    rr: np.ndarray
    awake: np.ndarray
    n: int = 0
    loss: np.ndarray | None = None
    loss_n: int = 0


def run(stream: Stream, experts: list, sample: int, seed: int = 0) -> tuple[Tally, dict]:
    """Prequential: bulk until the scored part, then one sampled query after another."""
    N, A, T = int(stream.item.max()) + 1, int(stream.actor.max()) + 1, len(stream.ts)
    for e in experts:
        e.grow(N, A)
    names = [n for e in experts for n in e.names]
    K = len(names)
    cuts = np.cumsum([0] + [len(e.names) for e in experts])
    pops = [i for i, n in enumerate(names) if n.startswith("popularity/")]
    tally = Tally(names, np.zeros(K + 1), np.zeros(K + 1), np.zeros(K), loss=np.zeros(K + 1))
    pool, base_pool = Pool(K), Pool(len(pops), 0.02)
    folder = Folder(stream)
    spent = np.zeros(len(experts))
    warm = stream.score_from
    rng = np.random.default_rng(seed)
    picks = np.sort(rng.choice(np.arange(warm, T), min(sample, T - warm), replace=False))
    picks = np.append(picks, T)
    known = np.zeros(N, bool)
    query_s, queries = 0.0, -5
    ready = 0

    def learn(a: int, b: int) -> None:
        for c in range(a, b, 512):
            step = folder.step(c, min(b, c + 512))
            observe(step, c)

    def observe(step: Step, at: int) -> None:
        mass, rest = np.zeros((len(step), K), np.float32), np.zeros((len(step), K), np.float32)
        for e, expert in enumerate(experts):
            t = time.thread_time()
            expert.observe(step, mass[:, cuts[e] : cuts[e + 1]], rest[:, cuts[e] : cuts[e + 1]])
            spent[e] += time.thread_time() - t
        if at >= warm // 2:
            base = base_pool.learn(np.zeros(len(step), np.int64), mass[:, pops] + 1e-6)[:, None]
            ok = step.session_n > 0 if stream.name != "movies" else step.n > 0
            if stream.seen_left_out:
                ok = ok & ~np.array([step.item[b] in step.items[b, : step.n[b]] for b in range(len(step))])
            p = np.where(np.isnan(rest), base, mass + np.nan_to_num(rest) * base)
            mixed = pool.learn(np.minimum(step.session_n[ok], 7), p[ok])
        if at >= warm:
            tally.loss[:K] += -np.log(p[ok]).sum(0)
            tally.loss[K] += -np.log(mixed).sum()
            tally.loss_n += int(ok.sum())
        known[step.item] = True

    # compile outside of the clock
    learn(0, 64)
    spent[:] = 0
    learn(64, warm)
    learned = warm - 64
    bulk = spent / learned * 1e6
    ready = warm
    for pick in picks:
        learn(ready, pick)
        ready = pick
        if pick == T:
            break
        step = folder.step(pick, pick + 1)
        q, target = step.query(0), int(step.item[0])
        enough = q.session_n > 0 if stream.name != "movies" else len(q.items) > 0
        if enough and known[target] and not (stream.seen_left_out and target in q.items):
            t = time.thread_time()
            rows = np.unique(np.concatenate([e.propose(q, 300) for e in experts] + [np.array([target], np.int32)]))
            mass, rest = np.zeros((len(rows), K), np.float32), np.zeros(K, np.float32)
            for e, expert in enumerate(experts):
                expert.score(q, rows, mass[:, cuts[e] : cuts[e + 1]], rest[cuts[e] : cuts[e + 1]])
            query_s += (time.thread_time() - t) * (queries >= 0)
            queries += 1
            base = (mass[:, pops] + 1e-6) @ base_pool.weights[0]
            asleep = np.isnan(rest)
            p = np.where(asleep, base[:, None], mass + np.where(asleep, 1.0, rest) * base[:, None])
            p = np.concatenate([p, (p @ pool.weights[min(q.session_n, 7)])[:, None]], 1)
            keep = ~np.isin(rows, q.items) if stream.seen_left_out else np.ones(len(rows), bool)
            p, r = p[keep], rows[keep]
            own = p[r == target][0]
            rank = (p >= own).sum(0)
            tally.hits += rank <= 20
            tally.rr += np.where(rank <= 20, 1.0 / rank, 0.0)
            tally.awake += ~asleep
            tally.n += 1
        elif enough and not (stream.seen_left_out and target in q.items):
            tally.n += 1  # a new item cannot be hit
        observe(step, pick)
        ready = pick + 1
    return tally, {
        "bulk_us": dict(zip([type(e).__name__ for e in experts], bulk.round(2).tolist(), strict=True)),
        "query_us": round(query_s / max(queries, 1) * 1e6, 1),
    }


def make(overrides: list[str]) -> list:
    groups: dict[str, dict] = {"popularity": {}, "transitions": {}, "repeats": {}}
    for text in overrides:
        path, value = text.split("=", 1)
        group, key = path.split(".")
        groups[group][key] = json.loads(value)
    return [
        Popularity(msgspec.convert(groups["popularity"], PopularitySettings)),
        Transitions(msgspec.convert(groups["transitions"], TransitionsSettings)),
        Repeats(msgspec.convert(groups["repeats"], RepeatsSettings)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("streams", nargs="*", default=list(STREAMS))
    parser.add_argument("--sample", type=int, default=6000)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--columns", action="store_true")
    args = parser.parse_args()
    for name in args.streams or list(STREAMS):
        t = time.thread_time()
        stream = STREAMS[name]()
        tally, cost = run(stream, make(args.set), args.sample)
        loss = tally.loss / max(tally.loss_n, 1)
        rows = [
            (n, tally.hits[i] / tally.n, tally.rr[i] / tally.n, loss[i], tally.awake[i] / tally.n)
            for i, n in enumerate(tally.names)
        ]
        rows.append(("pool", tally.hits[-1] / tally.n, tally.rr[-1] / tally.n, loss[-1], 1.0))
        print(
            json.dumps(
                {"stream": name, "set": args.set, "scored": tally.n, "s": round(time.thread_time() - t, 1), **cost}
            )
        )
        for row in rows:
            if args.columns or row[0] == "pool":
                print("   {:22s} HR@20 {:.4f}  MRR@20 {:.4f}  loss {:.4f}  awake {:.3f}".format(*row))


if __name__ == "__main__":
    main()
