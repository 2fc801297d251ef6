"""A refitted model on trial over restarts: what was proven of it so far is there again, and is about it alone."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors.numpy import load_file

from everbrook import Recommender
from everbrook.engine import candidate_files
from everbrook.engine.candidate_files import TRIAL
from everbrook.engine.keeping import learned_digest
from everbrook.engine.refit_process import FOLDER, Order, Outcome, run
from everbrook.settings import Settings, load_settings
from everbrook.testing.clock import FakeClock
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

SETTINGS: Settings = load_settings(
    environment={},
    assignments=[
        "mixture.experts=popularity,transitions,sequence", "sequence.width=8", "sequence.layers=1", "sequence.heads=1",
        "sequence.history=8", "fit.epochs=1", "fit.refit_epochs=1", "fit.device=cpu", "fit.warmup_steps=2",
        "fit.threads=1", "engine.least_fit_events=100", "engine.trust_events=50", "engine.refit_every_s=0",
        "mixture.judge_share=1", "gate.block_events=1", "gate.promotions_per_month=0.001",
    ],
).settings  # fmt: skip
WORLD = World(preset("markov", items=30, users=20, days=2, events_per_day=400, seed=6))
EVENTS = WORLD.all_events()
RECORDS = EVENTS.records()
HALF = len(RECORDS) // 2


def opened(path: Path) -> Recommender:
    shop = Recommender.open(path, SETTINGS, FakeClock(WORLD.config.end_ms))
    shop.start_refits()
    return shop


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def candidate(shop: Recommender) -> dict[str, Any]:
    found: dict[str, Any] = shop.status()["refit"].get("candidate", {})
    return found


def visit(shop: Recommender, start: int, stop: int) -> None:
    """Let events happen, and wait until they are compared."""
    judged = candidate(shop)["judged"]
    for event in RECORDS[start:stop]:
        shop.ingest([event])
    until(lambda: not candidate(shop)["waiting"] and candidate(shop)["judged"] > judged)


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a published model, and a refitted one that has learned more and was compared with nothing."""
    path = tmp_path_factory.mktemp("refitted") / "shop"
    with Recommender.open(path, SETTINGS, FakeClock(WORLD.config.end_ms)) as shop:
        shop.import_columns(EVENTS.slice(0, HALF - 100))
        shop.fit()
        shop.import_columns(EVENTS.slice(HALF - 100, HALF))
        order = Order(str(path), SETTINGS, learned_digest(SETTINGS), earns=False)
        assert run(order, lambda _: None) is not None
    return path


@pytest.fixture
def path(refitted: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(refitted, tmp_path / "shop"))


def test_a_trial_goes_on_over_a_restart(path: Path) -> None:
    with opened(path) as shop:
        until(lambda: candidate(shop))
        assert candidate(shop)["judged"] == 0
        visit(shop, HALF, HALF + 60)
        before, version = candidate(shop), shop.status()["version"]["name"]
        assert before["judged"] > 20
    with opened(path) as shop:
        until(lambda: candidate(shop))
        assert candidate(shop) == before
        assert shop.status()["version"]["name"] == version
        visit(shop, HALF + 60, HALF + 100)
        assert candidate(shop)["judged"] > before["judged"]
        assert shop.errors == []


def test_a_trial_goes_on_after_a_crash_from_what_was_kept_last(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_files, "KEEP_S", 0.0)
    with opened(path) as shop:
        until(lambda: candidate(shop))
        visit(shop, HALF, HALF + 60)
        before, file = candidate(shop), path / FOLDER / TRIAL
        until(lambda: file.exists() and load_file(file)["counts"][0] == before["judged"])
        crashed = Path(shutil.copytree(path, path.parent / "crashed", ignore=shutil.ignore_patterns("lock")))
    with opened(crashed) as shop:
        until(lambda: candidate(shop))
        assert candidate(shop) == before


def test_evidence_against_a_model_that_is_published_no_more_counts_for_nothing(path: Path) -> None:
    with opened(path) as shop:
        until(lambda: candidate(shop))
        visit(shop, HALF, HALF + 60)
        shop.publish(copy.deepcopy(shop._published.model), HALF - 50)
        until(lambda: candidate(shop).get("judged") == 0)
    with opened(path) as shop:
        until(lambda: candidate(shop))
        assert candidate(shop)["judged"] == 0


def test_evidence_that_is_damaged_is_named_and_the_trial_begins_anew(path: Path) -> None:
    with opened(path) as shop:
        until(lambda: candidate(shop))
        visit(shop, HALF, HALF + 60)
    file = path / FOLDER / TRIAL
    body = bytearray(file.read_bytes())
    body[-1] ^= 1
    file.write_bytes(body)
    with opened(path) as shop:
        until(lambda: candidate(shop))
        assert candidate(shop)["judged"] == 0
        assert shop.errors == [
            f"The trial of the refitted model begins anew: The evidence of a trial must be as it was written, "
            f"of format 1; '{file}' is not."
        ]


def test_each_fit_has_an_id_of_its_own(path: Path) -> None:
    order = Order(str(path), SETTINGS, learned_digest(SETTINGS), earns=False)
    one, two = run(order, lambda _: None), run(order, lambda _: None)
    assert isinstance(one, Outcome)
    assert isinstance(two, Outcome)
    assert one.id != two.id
    assert msgspec.structs.replace(one, id="", took_s=0.0) == msgspec.structs.replace(two, id="", took_s=0.0)
