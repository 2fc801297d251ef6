"""A server that is started again answers at once and as before, without PyTorch; the rest begins beside its lists."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.engine.beginning import Beginning, warm_up
from everbrook.engine.compiling import Compiling
from everbrook.engine.keeping import FOLDER, MODEL_FILE
from everbrook.models.sequence_registry import new_model
from everbrook.settings import Settings, load_settings
from everbrook.testing.clock import FakeClock

ASSIGNMENTS = (
    "mixture.experts=popularity,transitions,sequence,live", "live.width=8", "live.negatives=16", "gate.start=live",
    "sequence.width=8", "sequence.heads=2", "engine.refit_every_s=0", "engine.log_impressions=false",
    "learner.core_share=1",
)  # fmt: skip
SETTINGS: Settings = load_settings(environment={}, assignments=list(ASSIGNMENTS)).settings
OFF: Settings = load_settings(environment={}, assignments=[*ASSIGNMENTS, "learner.mode=off"]).settings
NOW_MS = 1_750_000_500_000
ASKED = ("u1", "u4", "nobody")
FORGOTTEN = "whoever-shall-be-forgotten"
SCRIPT = f"""
import json, sys
from everbrook import Recommender
from everbrook.settings import load_settings
from everbrook.testing.clock import FakeClock
settings = load_settings(environment={{}}, assignments={list(ASSIGNMENTS)!r}).settings
with Recommender.open(sys.argv[1], settings, FakeClock({NOW_MS}), beside=True) as shop:
    lists = [[[item.id, item.score] for item in shop.recommend(user=user, k=5).items] for user in {ASKED!r}]
    told = {{"lists": lists, "torch": "torch" in sys.modules, "live": shop.status()["live"]}}
print(json.dumps(told))
"""

LOADED = """
import sys
from numba.core.dispatcher import Dispatcher
from everbrook import Recommender
from everbrook.engine.beginning import warm_up
from everbrook.settings import load_settings
from everbrook.testing.clock import FakeClock

def loaded():
    parts = "everbrook.models.", "everbrook.rank."
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(parts)]
    kernels = [one for module in modules for one in vars(module).values() if isinstance(one, Dispatcher)]
    return {(one.__module__, one.__name__, str(types)) for one in kernels for types in one.signatures}
"""

LOOK = f"""{LOADED}
settings = load_settings(environment={{}}, assignments={list(ASSIGNMENTS)!r}).settings
warm_up(settings)
before = loaded()
with Recommender.open(sys.argv[1], settings, FakeClock({NOW_MS}), beside=True) as shop:
    assert shop.status()["live"]["stage"] == "live"
    for user in {ASKED!r}:
        shop.recommend(user=user, k=5)
    shop.forgo_checkpoint()
print(sorted(loaded() - before))
"""

USE = f"""{LOADED}
settings = load_settings(environment={{}}, assignments=["learner.mode=off"]).settings
warm_up(settings)
before = loaded()
with Recommender.open(sys.argv[1], settings, FakeClock({NOW_MS})) as shop:
    for n in range(8):
        shop.put_items([{{"id": f"i{{n}}", "title": f"A {{n}}", "categories": ["a"], "properties": {{"year": n}}}}])
    for n in range(40):
        shop.ingest([{{"user": f"u{{(n + k) % 7}}", "item": f"i{{(n * k) % 7}}"}} for k in range(1 + n % 9)])
    for wish in ({{}}, {{"item": "i7"}}, {{"k": 5}}, {{"diversity": 0.5}}, {{"candidates": ["i7"]}}):
        for user in ("u1", "u2", "stranger"):
            shop.recommend(user=user, **wish)
    shop.similar("i7", k=3)
    shop.explain(user="u1", item="i2")
    shop.trending(k=3)
    shop.forgo_checkpoint()
print(sorted(loaded() - before))
"""


def until(what: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def lists_of(shop: Recommender) -> list[list[list[Any]]]:
    return [[[item.id, item.score] for item in shop.recommend(user=user, k=5).items] for user in ASKED]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A directory whose live model learned in the process that made it, and the lists that it made at the end."""
    path = tmp_path_factory.mktemp("beginning") / "data"
    clock = FakeClock(NOW_MS - 400_000)
    with Recommender.open(path, SETTINGS, clock) as shop:
        shop.ingest([{"user": FORGOTTEN, "item": "i0", "kind": "view"}])
        for n in range(59):
            clock.advance(3.0)
            shop.ingest([{"user": f"u{n % 6}", "item": f"i{(3 * n + n // 7) % 12}", "kind": "view"}])
        clock.set_ms(NOW_MS)
        return path, lists_of(shop)


def copy_of(made: tuple[Path, list[Any]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "data"))


def with_model(made: tuple[Path, list[Any]], tmp_path: Path) -> Path:
    """A copy in which a large model is published and nothing learns live."""
    path = copy_of(made, tmp_path)
    with Recommender.open(path, OFF, FakeClock(NOW_MS)) as shop:
        shop.publish(new_model(OFF.sequence, 12, seed=3, features=OFF.features))
        shop.checkpoint()
    return path


def test_a_restart_needs_no_pytorch_and_its_lists_are_those_of_before(
    made: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    path = copy_of(made, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    told = json.loads(done.stdout)
    assert told["torch"] is False
    assert (told["live"]["published"]["offset"], told["live"]["stage"]) == (60, "live")
    assert told["live"]["process"]["state"] == "starting"
    assert len(told["lists"]) == len(made[1])
    for found, wanted in zip(told["lists"], made[1], strict=True):
        assert [item for item, _ in found] == [item for item, _ in wanted]
        assert [score for _, score in found] == pytest.approx([score for _, score in wanted], rel=1e-4)


def test_a_server_answers_lists_of_the_live_model_without_pytorch_and_its_learner_joins(
    made: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    path = copy_of(made, tmp_path)
    sets = [word for one in ASSIGNMENTS for word in ("--set", one)]
    command = [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", str(path), "--port", "0", *sets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = "http" + server.stdout.readline().split("http")[1].split()[0]

            def ask(where: str, body: dict[str, Any] | None = None) -> Any:
                sent = None if body is None else json.dumps(body).encode()
                request = urllib.request.Request(address + where, sent, {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read())

            assert ask("/readyz")["ready"] is True
            first = ask("/v1/recommend", {"user": "u1", "k": 5})
            assert first["model"]["version"] == "live-60"
            until(lambda: ask("/v1/status")["live"]["process"]["state"] == "learning")
            ask("/v1/events", {"events": [{"user": "u1", "item": "i3"}, {"user": "u2", "item": "i5"}]})
            until(lambda: ask("/v1/status")["live"]["published"]["offset"] > 60)
            assert ask("/v1/recommend", {"user": "u1", "k": 5})["model"]["version"] != "live-60"
            assert "libtorch" not in Path(f"/proc/{server.pid}/maps").read_text()
            assert ask("/v1/status")["last_errors"] == []
        finally:
            server.terminate()
        assert server.wait(60) == 0


def test_a_large_model_joins_after_the_start_and_is_kept_meanwhile(
    made: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    path = with_model(made, tmp_path)
    with Recommender.open(path, OFF, FakeClock(NOW_MS)) as shop:
        wanted, version = lists_of(shop), shop.status()["version"]["name"]
    with Recommender.open(path, OFF, FakeClock(NOW_MS), beside=True) as shop:
        before = shop.status()["version"]
        assert (before["name"], before["loading"]) == (version, True)
        assert lists_of(shop) != wanted  # they go on without it
        kept = shop.checkpoint()
        assert (kept / MODEL_FILE).exists()
        with Beginning(shop) as beginning:
            beginning.start()
            assert beginning.wait(60)
        assert "loading" not in shop.status()["version"]
        assert shop.errors == []
        assert lists_of(shop) == wanted


def test_a_large_model_that_cannot_be_loaded_is_told_and_lists_go_on(
    made: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    path = with_model(made, tmp_path)
    kept = max((path / FOLDER).iterdir())
    with Recommender.open(path, OFF, FakeClock(NOW_MS), beside=True) as shop:
        (kept / MODEL_FILE).write_bytes(b"damaged")
        shop.load_model()
        assert len(shop.errors) == 1
        assert shop.errors[0].startswith("The large model could not be loaded: Model file must be a safetensors file;")
        assert "loading" not in shop.status()["version"]
        assert [len(one) for one in lists_of(shop)] == [5, 5, 5]


def test_who_is_forgotten_before_the_learner_has_begun_is_in_no_file(
    made: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    path = copy_of(made, tmp_path)
    assert files_with(path)
    with Recommender.open(path, SETTINGS, FakeClock(NOW_MS), beside=True) as shop:
        shop.delete_user(FORGOTTEN)
        assert shop.start_learner()  # which has begun for the sake of it, once
        until(lambda: shop.live.status()["process"]["state"] == "learning")
        assert shop.live.status()["process"]["starts"] in (1, 2)  # the first may have gone before it was there
        assert lists_of(shop)[0]
    assert files_with(path) == []


def files_with(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and FORGOTTEN.encode() in file.read_bytes()]


def test_an_end_before_everything_has_begun_begins_nothing_more(tmp_path: Path) -> None:
    begun, go_on, told = threading.Event(), threading.Event(), []
    with Recommender.open(tmp_path / "data", SETTINGS, beside=True) as shop:

        def start_learner() -> bool:
            begun.set()
            return go_on.wait(60)

        shop.start_learner = start_learner  # type: ignore[method-assign]
        shop.start_refits = lambda: told.append("refits")  # type: ignore[method-assign]
        with Beginning(shop) as beginning:
            beginning.start()
            assert begun.wait(60)
            threading.Timer(0.05, go_on.set).start()
        assert told == []
        assert beginning.wait(0.0)


def test_warming_up_leaves_no_trace_and_no_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    closed = load_settings(environment={}, assignments=[*ASSIGNMENTS, "state.closed=true"]).settings
    warm_up(closed)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compiled", [0, 1])
def test_a_server_is_ready_at_once_only_where_its_first_list_needed_nothing_compiled(
    made: tuple[Path, list[Any]], tmp_path: Path, compiled: int
) -> None:
    shutil.copytree(made[0], tmp_path / "data")
    compiling = Compiling()
    with Recommender.open(tmp_path / "data", OFF, FakeClock(NOW_MS), beside=True) as shop:
        compiling.count = compiled  # whether this machine's cache had all of it is not the test's to say
        with Beginning(shop, compiling) as beginning:
            assert shop.is_ready() is (not compiled)
            told: list[bool] = []
            beginning.start(lambda: told.append(shop.is_ready()))
            assert (told == []) is bool(compiled)
            assert beginning.wait(300.0)
            assert (told, shop.is_ready()) == ([True], True)


def test_a_server_that_is_ready_stays_so_while_more_is_compiled(made: tuple[Path, list[Any]], tmp_path: Path) -> None:
    shutil.copytree(made[0], tmp_path / "data")
    compiling = Compiling()
    with Recommender.open(tmp_path / "data", OFF, FakeClock(NOW_MS), beside=True) as shop:
        compiling.count = 0
        with Beginning(shop, compiling):
            compiling.count = 1
            assert shop.is_ready()


def test_an_engine_that_learned_and_made_no_list_is_not_ready_by_that(
    made: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    shutil.copytree(made[0], tmp_path / "data")
    compiling = Compiling()
    with Recommender.open(tmp_path / "data", OFF, FakeClock(NOW_MS), beside=True) as shop:
        compiling.count = 0
        with Beginning(shop, compiling, has_made_list=False):
            assert not shop.is_ready()


def test_an_empty_server_is_ready_when_an_event_will_be_answered_soon(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", OFF, beside=True) as shop, Beginning(shop) as beginning:
        assert not shop.is_ready()
        beginning.start()
        assert beginning.wait(300.0)
        assert shop.is_ready()
        compiling = Compiling()
        shop.ingest([{"user": "u1", "item": "i1"}])
        shop.recommend(user="u1")
        compiling.close()
        assert compiling.count == 0


def test_nothing_is_left_to_be_loaded_for_what_a_small_shop_asks_for(tmp_path: Path) -> None:
    """On a machine where nothing was ever compiled each of them would stop everybody for seconds."""
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "data")], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stderr, done.stdout) == ("", "[]\n")


@pytest.mark.parametrize("items", [12, 9_000])
def test_nothing_is_left_to_be_loaded_for_lists_from_what_a_learner_learned(tmp_path: Path, items: int) -> None:
    """What is loaded from the cache for the first of them, or compiled, would hold up all the others behind it."""
    path, clock = tmp_path / "data", FakeClock(NOW_MS - 400_000)
    with Recommender.open(path, SETTINGS, clock) as shop:
        for start in range(0, items, 100):
            shop.put_items([{"id": f"i{n}"} for n in range(start, min(start + 100, items))])
        for n in range(59):
            clock.advance(3.0)
            shop.ingest([{"user": f"u{n % 6}", "item": f"i{(3 * n + n // 7) % 12}", "kind": "view"}])
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stderr, done.stdout) == ("", "[]\n")
