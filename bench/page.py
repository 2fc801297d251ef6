"""What the page costs: bytes sent, time to the first content on loopback, and the server's CPU for open pages.

    python bench/page.py [--rate 1000] [--seconds 20] [--pages 5] [--rounds 3] [--skip-load]

A made catalogue is served by `everbrook serve`; events come in batches of 10 at an even pace. Rounds with and without
open pages take turns, and the difference of the server's and learner's CPU time is told, so that what else the machine
does falls out. The digest's own cost is also measured alone, by this process's CPU time on an engine of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
import freshness
import streams_data as data

from everbrook import Recommender
from everbrook.http.page import FILES, INDEX
from everbrook.http.stream import EVERY_S, digested
from everbrook.settings import load_settings

OPENED = 7  # times that the page is opened


def main() -> None:
    """Measure one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a round")
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--skip-load", action="store_true", help="only bytes, first content and the digest alone")
    options = parser.parse_args()
    shipped()
    digest_alone(options)
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", folder, "--port", str(options.port),
             "--set", "mixture.judge_share=0.02", "--set", "engine.refit_every_s=0"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            client = freshness.ready(options.port)
            first_content(options)
            if not options.skip_load:
                under_load(server.pid, client, options)
        finally:
            server.terminate()
            server.wait(60)


def shipped() -> None:
    """Bytes that a browser is sent."""
    assert INDEX in FILES, "make page"
    shown = {name: kept for name, kept in FILES.items() if not name.endswith(".txt")}
    for coding in ("br", "gzip"):
        data.tell(f"page/bytes_{coding}", sum(len(kept.coded[coding]) for kept in shown.values()), "bytes")
    data.tell("page/bytes_plain", sum(len(kept.plain) for kept in shown.values()), "bytes")


def digest_alone(options: argparse.Namespace) -> None:
    """CPU time of one digest, over an engine with as many items, learning inside."""
    settings = load_settings(environment={}, assignments=["engine.live_events=100"]).settings
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, Recommender.open(Path(folder) / "data", settings) as engine:
        for _ in range(10):
            engine.ingest(freshness.events(rng, options.items, 500))
        before, sizes = None, []
        began = time.process_time()
        for _ in range(100):
            before = digested(engine.glance(), before)
            sizes.append(len(msgspec.json.encode(before)))
        spent_s = (time.process_time() - began) / 100
    data.tell("page/digest_cpu", 1000 * spent_s, "ms", items=options.items)
    data.tell("page/digest_share", spent_s / EVERY_S, "cores", items=options.items)
    data.tell("page/digest_bytes", statistics.median(sizes), "bytes")


def first_content(options: argparse.Namespace) -> None:
    """From asking for the page to its first content, in a browser that has nothing of it; the machine decides too."""
    found = shutil.which("chromium")
    assert found is not None, "apt-get install chromium"
    script = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    painted: list[float] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(OPENED):
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{options.port}/", wait_until="load")
            page.wait_for_function(script)
            painted.append(float(page.evaluate(script)))
            context.close()
        browser.close()
    data.tell("page/first_content_p50", statistics.median(painted), "ms", opened=OPENED)
    data.tell("page/first_content_least", min(painted), "ms", opened=OPENED)


def under_load(pid: int, client: freshness.Client, options: argparse.Namespace) -> None:
    """The server's and the learner's CPU with and without open pages, in turns."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        client.call("POST", "/v1/events", {"events": freshness.events(rng, options.items, 500)})
    freshness.caught_up(client)
    learner = freshness.learner(client)["pid"]
    shares: dict[int, list[tuple[float, float]]] = {0: [], options.pages: []}
    rates, digests = [], 0
    for turn in range(2 * options.rounds):
        pages = options.pages if turn % 2 else 0
        close = look(options.port, pages)
        before, begun = [freshness.cpu_s(one) for one in (pid, learner)], time.perf_counter()
        freshness.load(options.port, options, [])
        spent_s = time.perf_counter() - begun
        server_s, learner_s = (freshness.cpu_s(one) - was for one, was in zip((pid, learner), before, strict=True))
        shares[pages].append((server_s / spent_s, learner_s / spent_s))
        digests += close()
        rates.append(options.seconds * options.rate / spent_s)
    load_1m = os.getloadavg()[0]
    for place, name in enumerate(("server", "learner")):
        without, with_them = (statistics.mean(one[place] for one in shares[pages]) for pages in (0, options.pages))
        more = {
            "rate": round(statistics.mean(rates)), "digests": digests, "pages": options.pages,
            "rounds": options.rounds, "load_1m": round(load_1m, 1),
        }  # fmt: skip
        data.tell(f"page/{name}_cpu_without", without, "cores", **more)
        data.tell(f"page/{name}_cpu_with", with_them, "cores", **more)
        data.tell(f"page/{name}_cpu_of_pages", with_them - without, "cores", **more)


def look(port: int, pages: int) -> Callable[[], int]:
    """Open so many streams and read them, as pages do; what is returned closes them and tells how much was read."""
    answers = [urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/stream", timeout=60) for _ in range(pages)]
    ended = threading.Event()
    read_lines: list[int] = []

    def read(answer: object) -> None:
        try:
            while not ended.is_set() and (line := answer.readline()):  # type: ignore[attr-defined]
                read_lines.append(line.startswith(b"data: "))
        except (OSError, ValueError, AttributeError):  # it was closed meanwhile
            return

    threads = [threading.Thread(target=read, args=(answer,), daemon=True) for answer in answers]
    for thread in threads:
        thread.start()

    def close() -> int:
        ended.set()
        for thread in threads:
            thread.join(5.0)
        for answer in answers:
            answer.close()
        return sum(read_lines)

    return close


if __name__ == "__main__":
    main()
