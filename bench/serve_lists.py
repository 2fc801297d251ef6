"""What a list costs: processor time of plain lists by size of the catalogue and with each wish, and lists over HTTP
beside learning, next to the floor of the web framework.

    OMP_NUM_THREADS=1 python bench/serve_lists.py [--only plain portions wishes http] [--sizes 10000] [--lists 200]

Prints JSON lines. Not a test: nothing passes or fails by time. All but `http` run on one engine and one thread;
the live model has made weights there, and with learning on a delta of 2,000 rows comes every 20 lists, so that its cost
is in them. `http` starts `everbrook serve` with its learner and lets wrk, a Debian package, ask; server, learner, wrk
and who sends the events share the machine. The floor is the same framework on the same server loop with a constant.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from everbrook import Recommender
from everbrook.engine.publishing import apply
from everbrook.events.columns import Coded, EventColumns
from everbrook.learn.deltas import ANCHOR_NETWORK, NETWORK, Delta
from everbrook.models.live_expert import LiveExpert
from everbrook.models.live_network import LiveNetwork
from everbrook.rank.requests import Recommend
from everbrook.settings import Settings, load_settings
from everbrook.settings.live import LiveSettings
from everbrook.testing.clock import FakeClock
from everbrook.types import Arrays

sys.path.insert(0, str(Path(__file__).parent))
import control
import serve_ingest
import wrk

USERS, K, LEARNED = 5_000, 20, 20_000  # users; places of a list; items whose rows learning has moved
DELTA_ROWS, DELTA_LISTS = 2_000, 20
QUIET = ("engine.log_impressions=false", "engine.refit_every_s=0", "engine.refit_drift_s=0")
PORTIONS = (1, 4, 8, 16, 32)  # wishes that wait at the same time
PARTS = ("plain", "portions", "wishes", "http")
ASK = """
function request()
  return wrk.format(nil, "/v1/recommend", nil, '{"user":"u' .. math.random(0, 4999) .. '","k":20,"explain":false}')
end
"""


def views(count: int, items: int, now_ms: int) -> EventColumns:
    """Views by `control`, after one of every item, so that all are known."""
    made = control.events(count, items, now_ms)
    rows = np.concatenate((np.random.default_rng(2).permutation(items).astype(np.int32), made.item.codes))
    n = len(rows)
    users = np.concatenate((np.random.default_rng(3).integers(0, USERS, items, dtype=np.int32), made.user.codes))
    return EventColumns(
        now_ms - 500 * np.arange(n, 0, -1, dtype=np.int64), Coded(users, made.user.names), Coded.missing(n),
        Coded(rows, made.item.names), Coded(np.zeros(n, np.int32), ["view"]), Coded.missing(n),
        np.full(n, np.nan, np.float32),
    )  # fmt: skip


@cache
def _network(settings: LiveSettings) -> Arrays:
    return LiveNetwork(settings).arrays()


def delta(expert: LiveExpert, rows: np.ndarray, rng: np.random.Generator, stage: str, first: bool) -> Delta:
    """Made weights as a learner sends them."""
    made = _network(expert.settings)
    network = {NETWORK + name: array for name, array in made.items()}
    anchor = {ANCHOR_NETWORK + name: array for name, array in made.items()}
    assert expert.prior is not None
    values = rng.normal(0.0, 0.1, (len(rows), expert.settings.width)).astype(np.float32)
    kept = expert.rows.table[rows].copy()
    dense = network | anchor | {"prior": expert.prior.weights, "anchor_rows": rows, "anchor_values": kept}
    notes = {"items": expert.items, "anchor": "whole" if first else "more", "stage": stage, "canary_share": 0.0}
    return Delta("live-1", 1, 1, "made", rows, values, dense, notes)


@contextmanager
def shop(
    items: int, experts: str | None = None, records: bool = False
) -> Iterator[tuple[Recommender, LiveExpert | None]]:
    """An engine on a made shop, its live model with made weights that answer."""
    clock = FakeClock()
    more = ("learner.mode=off", "engine.catch_up_judge_share=0", *((f"mixture.experts={experts}",) if experts else ()))
    settings = load_settings(assignments=(*QUIET, *more)).settings
    with tempfile.TemporaryDirectory() as folder, Recommender.open(folder, settings, clock) as engine:
        if records:
            made = control.records(items, clock.now_ms())
            for start in range(0, items, 500):
                engine.put_items(made[start : start + 500])
        engine.import_columns(views(30_000, items, clock.now_ms()))
        expert = engine._core.family(LiveExpert)
        if expert is not None:
            rng = np.random.default_rng(4)
            rows = rng.permutation(items)[: min(LEARNED, items)].astype(np.int32)
            expert.grow(items, 0)
            apply(delta(expert, rows, rng, "live", first=True), expert)
        yield engine, expert


def lists_us(engine: Recommender, expert: LiveExpert | None, lists: int, stage: str | None) -> list[float]:
    """Processor microseconds of plain lists, what deltas cost between them included."""
    rng, took, spent = np.random.default_rng(5), [], 0.0
    for n in range(lists + 20):
        began = time.process_time()
        if expert is not None and stage is not None and n % DELTA_LISTS == 0:
            rows = rng.integers(0, expert.items, DELTA_ROWS).astype(np.int32)
            made = delta(expert, np.unique(rows), rng, stage, first=False)
            began = time.process_time()
            apply(made, expert)
            spent += time.process_time() - began
        began = time.process_time()
        engine.recommend(user=f"u{n * 7 % USERS}", k=K, explain=False)
        took.append(1e6 * (time.process_time() - began) + 1e6 * spent / (n + 1))
    return took[20:]


def plain(options: argparse.Namespace) -> None:
    """Plain lists by size, with the live model as it serves, in shadow, and without it."""
    for items in options.sizes:
        with shop(items) as (engine, expert):
            for learning, stage in (("on", "live"), ("on, in shadow", "shadow"), ("off", None)):
                took = lists_us(engine, expert, options.lists, stage)
                tell(took, items, learning)
            engine._core.mixture.experts.remove(expert)
        others = ",".join(name for name in Settings().mixture.experts if name != "live")
        with shop(items, others) as (engine, _):
            took = lists_us(engine, None, options.lists, None)
            tell(took, items, "no live model")


def portions(options: argparse.Namespace) -> None:
    """Lists that are made together, by how many, with the live model as it serves; portions take turns."""
    for items in options.sizes:
        with shop(items) as (engine, _):
            taken: dict[int, list[float]] = {count: [] for count in PORTIONS}
            for n in range(options.lists // 8 + 2):
                for count, took in taken.items():
                    asked = [
                        Recommend(user=f"u{(n * 61 + 7 * place + count) % USERS}", k=K, explain=False)
                        for place in range(count)
                    ]
                    began = time.process_time()
                    engine.recommend_many(asked)
                    took.append(1e6 * (time.process_time() - began) / count)
            for count, took in taken.items():
                tell(took[2:], items, "off", f"portions of {count}")


def tell(took: list[float], items: int, learning: str, name: str = "plain") -> None:
    """Print the middle; the tenth of the lists that others disturbed least stands beside it."""
    p10, p90 = (round(float(np.quantile(took, share))) for share in (0.1, 0.9))
    more: dict[str, Any] = {"items": items, "learning": learning, "p10": p10, "p90": p90}
    serve_ingest.tell(f"lists/{name}", float(np.median(took)), "us CPU", **more)


def wishes(options: argparse.Namespace) -> None:
    """What each wish adds, all in turns on one engine."""
    with shop(options.wished, records=True) as (engine, _):
        taken: dict[str, list[float]] = {name: [] for name in control.WISHES}
        for n in range(options.lists // 2 + 5):
            for turn, (name, wish) in enumerate(control.WISHES.items()):
                user = f"u{(n * len(taken) + turn) % USERS}"
                began = time.process_time()
                engine.recommend(user=user, k=K, **({"explain": False} | wish))
                taken[name].append(1e6 * (time.process_time() - began))
        base = float(np.median(taken["plain"][5:]))
        for name, took in taken.items():
            middle = float(np.median(took[5:]))
            serve_ingest.tell(f"lists/{name}", middle, "us CPU", items=options.wished, over_plain=round(middle - base))


@contextmanager
def sending(port: int, rate: int, items: int) -> Iterator[list[int]]:
    """Send events at a rate, ten batches a second, until the end; the list holds how many were taken."""
    sent, stop = [0], threading.Event()

    def send() -> None:
        rng, due = np.random.default_rng(6), time.perf_counter()
        while rate and not stop.is_set():
            rows = np.minimum(50.0 * rng.pareto(1.0, rate // 10), items - 1).astype(int)
            users = rng.integers(0, USERS, rate // 10)
            events = [{"user": f"u{users[n]}", "item": f"i{rows[n]}", "kind": "view"} for n in range(len(rows))]
            body = msgspec.json.encode({"events": events})
            address, kind = f"http://127.0.0.1:{port}/v1/events", {"Content-Type": "application/json"}
            urllib.request.urlopen(urllib.request.Request(address, body, kind), timeout=60).read()
            sent[0] += len(events)
            due += 0.1
            stop.wait(max(0.0, due - time.perf_counter()))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def http(options: argparse.Namespace) -> None:
    """Lists over HTTP at one size, with and without learning beside them, and the floor."""
    if not shutil.which("wrk"):
        print("wrk must be installed to ask over HTTP: apt-get install wrk.", file=sys.stderr)
        return
    floor = serve_ingest.FLOOR.replace("/v1/events", "/v1/recommend")
    with serve_ingest.served([sys.executable, "-c", floor]) as server:
        report(server, "floor", 0, options)
    items = options.wished
    with tempfile.TemporaryDirectory() as folder:
        given = (*QUIET, "engine.catch_up_judge_share=0", "gate.start=live")
        with Recommender.open(folder, load_settings(assignments=given).settings) as engine:
            engine.import_columns(views(30_000, items, int(1000 * time.time())))
        for rate in (0, options.rate):
            with serve_ingest.served(serve_ingest.serving(Path(folder), *given)) as server:
                serve_ingest.wait_ready(server)
                wait_learned(server)
                report(server, "with learning" if rate else "without learning", rate, options)


def wait_learned(server: serve_ingest.Served) -> None:
    """Wait until the learner runs and has caught up with what was imported."""
    while True:
        told = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v1/status", timeout=60).read()
        process = msgspec.json.decode(told)["live"].get("process", {})
        if (process.get("state"), process.get("behind")) == ("learning", 0):
            return
        time.sleep(0.5)


def alone(server: serve_ingest.Served, name: str, sent: list[int], options: argparse.Namespace) -> float:
    """Processor seconds of the server for an event while nobody asks; they are taken from the lists' later."""
    before, sent_before, began_s = server.cpu_s()[0], sent[0], time.perf_counter()
    time.sleep(options.seconds)
    events, passed_s = max(sent[0] - sent_before, 1), time.perf_counter() - began_s
    event_s = (server.cpu_s()[0] - before) / events
    serve_ingest.tell(f"lists/http/{name}/event", 1e6 * event_s, "us CPU", events_s=round(events / passed_s))
    return event_s


def waits(server: serve_ingest.Served) -> tuple[float, float]:
    """How many portions waited for what is known so far, and for how many seconds together."""
    told = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60).read().decode()
    found = dict(line.rsplit(" ", 1) for line in told.splitlines() if line.startswith("everbrook_list_wait_seconds_"))
    return float(found["everbrook_list_wait_seconds_count"]), float(found["everbrook_list_wait_seconds_sum"])


def report(server: serve_ingest.Served, name: str, rate: int, options: argparse.Namespace) -> None:
    """Ask, and print what both sides needed."""
    with sending(server.port, rate, options.wished) as sent:
        wrk.ask(server.port, "/v1/recommend", ASK, 2, 3.0)
        event_s = alone(server, name, sent, options) if rate else 0.0
        before, learner_before, sent_before = *server.cpu_s(), sent[0]
        for connections in options.connections:
            waited = waits(server) if name != "floor" else (0.0, 0.0)
            began_s = time.perf_counter()
            told = wrk.ask(server.port, "/v1/recommend", ASK, connections, options.seconds)
            after, learner_after, now_sent = *server.cpu_s(), sent[0]
            more: dict[str, Any] = {
                "connections": connections, "not_200": told.refused, "p50_ms": round(told.p50_us / 1e3, 2),
                "p90_ms": round(told.p90_us / 1e3, 2), "p99_ms": round(told.p99_us / 1e3, 2),
                "server_us_a_list": round(
                    1e6 * (after - before - event_s * (now_sent - sent_before)) / max(told.requests, 1)
                ),
                "learner_cpu_share": round((learner_after - learner_before) / (time.perf_counter() - began_s), 3),
                "wrk_us_a_list": round(1e6 * told.cpu_s / max(told.requests, 1)),
                "events_s": round((now_sent - sent_before) / (time.perf_counter() - began_s)),
            }  # fmt: skip
            if name != "floor":
                portions, seconds = (now - then for now, then in zip(waits(server), waited, strict=True))
                more |= {"portions": int(portions), "mean_wait_us": round(1e6 * seconds / max(portions, 1.0))}
            serve_ingest.tell(f"lists/http/{name}", told.requests / (told.duration_us / 1e6), "lists/s", **more)
            before, learner_before, sent_before = after, learner_after, now_sent


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--wished", type=int, default=100_000, help="items of the shop of wishes and of HTTP")
    parser.add_argument("--lists", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rate", type=int, default=1000, help="events/s beside the lists")
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 4])
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for part in options.only:
        {"plain": plain, "portions": portions, "wishes": wishes, "http": http}[part](options)


if __name__ == "__main__":
    main()
