"""Stopped anywhere and opened again, the engine stands where it stood: from a checkpoint and the log, or the log."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from everbrook import Recommender
from everbrook.errors import BusyError
from everbrook.events.records import Event
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.clock import FakeClock
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World
from everbrook.types import Arrays

EXPERTS = ("popularity", "transitions", "repeats", "neighbours", "collaborative", "content", "rules")
EVERY_EVENT_IS_JUDGED = EngineSettings(judge_core_share=0.0)  # else the load says which are
SETTINGS = Settings(mixture=MixtureSettings(experts=EXPERTS), engine=EVERY_EVENT_IS_JUDGED)
WORLD = World(preset("shop", items=60, users=30, days=3, events_per_day=100, seed=8))
EVENTS = WORLD.all_events().records()
CLOCK = FakeClock(WORLD.config.end_ms)


def open_shop(path: Path) -> Recommender:
    return Recommender.open(path, SETTINGS, CLOCK)


def learned(shop: Recommender) -> dict[str, Arrays]:
    return shop._core.parts()


def same(one: Recommender, two: Recommender) -> None:
    """Everything learned, up to the last digits of sums that a checkpoint adds in another order; and the lists."""
    for part, arrays in learned(one).items():
        others = learned(two)[part]
        assert arrays.keys() == others.keys()
        for name, array in arrays.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(others[name], array, rtol=1e-6, atol=1e-9, err_msg=f"{part}/{name}")
            else:
                np.testing.assert_array_equal(others[name], array, err_msg=f"{part}/{name}")
    same_lists(one, two)


def same_lists(one: Recommender, two: Recommender) -> None:
    for n in range(10):
        lists = [shop.recommend(user=f"u{n}", k=10).items for shop in (one, two)]
        assert [item.id for item in lists[0]] == [item.id for item in lists[1]]
        assert [item.score for item in lists[1]] == pytest.approx([item.score for item in lists[0]], rel=1e-4)


def send(shop: Recommender, start: int, stop: int) -> None:
    """Events by themselves, as they come in life."""
    for event in EVENTS[start:stop]:
        shop.ingest([event])


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Recommender, Path]]:
    """A shop that was never stopped, and its directory as a crash had left it forty events before."""
    folder = tmp_path_factory.mktemp("lived")
    with open_shop(folder / "shop") as shop:
        shop.put_items(WORLD.item_changes())
        for start, stop in ((0, 100), (100, 150)):
            send(shop, start, stop)
            shop.checkpoint()
        send(shop, 150, 200)
        shutil.copytree(shop.path, folder / "crashed")
        send(shop, 200, 240)
        yield shop, folder / "crashed"


@pytest.fixture
def crashed(lived: tuple[Recommender, Path], tmp_path: Path) -> Path:
    """A copy of that directory."""
    return Path(shutil.copytree(lived[1], tmp_path / "crashed"))


def test_checkpoint_and_tail_give_what_was_there(lived: tuple[Recommender, Path], crashed: Path) -> None:
    with open_shop(crashed) as again:
        send(again, 200, 240)
        same(lived[0], again)


def test_the_log_alone_gives_what_was_there(lived: tuple[Recommender, Path], crashed: Path) -> None:
    shutil.rmtree(crashed / "checkpoints")
    with open_shop(crashed) as again:
        send(again, 200, 240)
        same_lists(lived[0], again)
        np.testing.assert_allclose(again._core.mixture.top, lived[0]._core.mixture.top, rtol=1e-4)


def test_closing_and_opening_again_changes_no_list(crashed: Path) -> None:
    with open_shop(crashed) as shop:
        before = [[item.id for item in shop.recommend(user=f"u{n}").items] for n in range(10)]
        status = shop.status()
    with open_shop(crashed) as again:
        assert [[item.id for item in again.recommend(user=f"u{n}").items] for n in range(10)] == before
        after = again.status()
        for name in ("events", "items", "actors", "kinds", "scenarios"):
            assert after[name] == status[name]


def _flip_a_byte(path: Path) -> None:
    part = path / "mixture.safetensors"
    content = bytearray(part.read_bytes())
    content[-5] ^= 0xFF
    part.write_bytes(content)


def _cut_short(path: Path) -> None:
    part = path / "state.safetensors"
    part.write_bytes(part.read_bytes()[:100])


def _lose_the_index(path: Path) -> None:
    (path / "checkpoint.json").unlink()


def _garble_the_index(path: Path) -> None:
    (path / "checkpoint.json").write_bytes(b"{")


@pytest.mark.parametrize("harm", [_flip_a_byte, _cut_short, _lose_the_index, _garble_the_index])
def test_a_damaged_checkpoint_is_passed_over(
    lived: tuple[Recommender, Path], crashed: Path, harm: Callable[[Path], None]
) -> None:
    harm(max((crashed / "checkpoints").iterdir()))
    with open_shop(crashed) as again:
        assert again._kept_events == 100
        send(again, 200, 240)
        same(lived[0], again)


def test_a_checkpoint_of_other_settings_is_passed_over(crashed: Path) -> None:
    other = msgspec.structs.replace(SETTINGS, mixture=MixtureSettings(experts=EXPERTS[:3]))
    with Recommender.open(crashed, other, CLOCK) as again:
        assert again.status()["events"] == 200
        assert not any(name.startswith("content") for name in again.status()["mixture"]["weights"])


def test_only_the_newest_checkpoints_are_kept(crashed: Path) -> None:
    with open_shop(crashed) as shop:
        for n in range(200, 204):
            send(shop, n, n + 1)
            shop.checkpoint()
        kept = sorted(path.name for path in (crashed / "checkpoints").iterdir())
        assert len(kept) == SETTINGS.engine.checkpoints
        assert int(kept[-1]) == shop._core.offset


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from everbrook.events.sqlite_log import SqliteLog; "
        "from everbrook.settings.log import LogSettings; "
        f"log = SqliteLog.open(Path({str(tmp_path)!r}), LogSettings()); print('held', flush=True); sys.stdin.readline()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold], text=True, **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError):
            open_shop(tmp_path)
        other.communicate("\n", timeout=30)
    open_shop(tmp_path).close()


def test_events_sent_at_once_from_several_threads_are_all_learned(tmp_path: Path) -> None:
    def sent(shop: Recommender, part: list[Event]) -> int:
        return sum(shop.ingest([event]).accepted for event in part)

    with open_shop(tmp_path) as shop:
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda n: sent(shop, EVENTS[n:100:4]), range(4)))
            pool.submit(shop.recommend, user="u1").result()
        assert sum(done) == 100
        assert shop.status()["events"] == 100
        assert shop.status()["lag"] == 0
