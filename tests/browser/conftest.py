"""A real browser on a real server: Debian's Chromium, driven by Playwright; one server a module."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, Route, expect, sync_playwright

from everbrook import Recommender
from everbrook.http.page import FILES, INDEX
from everbrook.settings import Settings, load_settings
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

WAIT_MS = 30_000
READY_S = 400.0  # on a crowded machine, with kernels to compile
FAST = (  # few experts: the page is what is tested
    'mixture.experts=["popularity", "transitions", "content", "live"]', "live.width=16",
    "engine.refit_every_s=0", "engine.refit_niceness=0", "engine.live_events=100",
    "engine.judge_core_share=0",  # each event is judged, however crowded the machine is
)
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The driver."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium; where there is none, or the page was not built, nothing can be shown (in CI both must be there)."""
    found = shutil.which("chromium")
    if "CI" not in os.environ and (found is None or INDEX not in FILES):
        pytest.skip("needs Chromium (apt-get install chromium) and the built page (make page)")
    assert found is not None, "apt-get install chromium"
    assert INDEX in FILES, "make page"
    started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
    yield started
    started.close()


@dataclass
class Shop:
    """A server as a process, on a small made world."""

    data: Path
    world: World
    assignments: tuple[str, ...]
    address: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self, port: str = "0") -> None:
        """Serve, and learn the address."""
        given = [part for one in self.assignments for part in ("--set", one)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERBROOK_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", str(self.data), "--port", port, *given],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        assert self.process.stdout is not None
        found = re.search(r"http://[\d.:]+", self.process.stdout.readline())
        assert found, "the server must tell its address"
        self.address = found[0]

    def stop(self) -> None:
        """End, whatever it takes."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


def settings_of(*more: str) -> Settings:
    """The settings that the tests' servers run with."""
    return load_settings(environment={}, assignments=(*FAST, *more)).settings


@pytest.fixture(scope="module")
def open_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Shop]]:
    """Starts servers, and ends them with the module."""
    shops: list[Shop] = []

    def opened(*more: str, empty: bool = False) -> Shop:
        data = tmp_path_factory.mktemp("page") / "data"
        world = World(preset("shop", items=120, users=60, days=1.0, events_per_day=900.0))
        if not empty:
            with Recommender.open(data, settings_of(*more)) as engine:
                engine.put_items(world.item_changes())
                engine.import_columns(world.all_events())
        shop = Shop(data, world, (*FAST, *more))
        shops.append(shop)
        shop.start()
        if not (more or empty):
            _await_learner(shop.address)
        return shop

    yield opened
    for shop in shops:
        shop.stop()


def _await_learner(address: str) -> None:
    """Wait until weights come: what the page shows of them is tested, not how a learner starts."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        with urllib.request.urlopen(f"{address}/v1/learned?offset=0&wait_ms=5000", timeout=30) as answer:
            if b'"reached":true' in answer.read():
                return
    raise TimeoutError(f"no live weights after {READY_S} s")


@dataclass
class Seen:
    """What a browser's page did besides showing itself."""

    errors: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)  # requests to other hosts


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., tuple[Page, Seen]]]:
    """Opens pages; whatever a test does there, no page may complain or ask another host."""
    visits: list[tuple[Page, Seen]] = []

    def opened(address: str, section: str = "now", **options: Any) -> tuple[Page, Seen]:
        context = browser.new_context(viewport=options.pop("viewport", {"width": 1280, "height": 900}), **options)
        page, seen = context.new_page(), Seen()
        page.set_default_timeout(WAIT_MS)

        def asked(route: Route) -> None:
            if route.request.url.startswith((address, "data:", "blob:")):
                route.continue_()
            else:
                seen.strange.append(route.request.url)
                route.abort()

        page.route("**/*", asked)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("console", lambda told: seen.errors.append(told.text) if told.type in ("error", "warning") else None)
        page.goto(f"{address}/#/{section}")
        visits.append((page, seen))
        return page, seen

    yield opened
    for page, seen in visits:
        page.context.close()
        assert not seen.errors
        assert not seen.strange
