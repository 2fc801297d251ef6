"""Stopped anywhere and opened again, the engine stands where it stood: from checkpoint and log, or from the log alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from everbrook import Recommender
from everbrook.errors import BusyError
from everbrook.settings import Settings
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.clock import FakeClock
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World
from everbrook.types import Arrays

EXPERTS = ("popularity", "transitions", "repeats", "neighbours", "collaborative", "content", "rules")
SETTINGS = Settings(mixture=MixtureSettings(experts=EXPERTS))
WORLD = World(preset("shop", items=60, users=30, days=3, events_per_day=100, seed=8))
EVENTS = WORLD.all_events().records()
CLOCK = FakeClock(WORLD.config.end_ms)


def open_shop(path: Path) -> Recommender:
    return Recommender.open(path, SETTINGS, CLOCK)


def learned(shop: Recommender) -> dict[str, Arrays]:
    return shop._core.parts()


def as_after_a_crash(shop: Recommender, copy: Path) -> Path:
    """The directory as it lies on disk at this moment, nothing said goodbye to."""
    shutil.copytree(shop.path, copy)
    return copy


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
    for user in ("u1", "u2", "nobody"):
        lists = [shop.recommend(user=user, k=10).items for shop in (one, two)]
        assert [item.id for item in lists[0]] == [item.id for item in lists[1]]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Recommender]:
    """A shop after some events, a checkpoint, and some more events, each of which came alone."""
    with open_shop(tmp_path / "shop") as opened:
        opened.put_items(WORLD.item_changes())
        for event in EVENTS[:150]:
            opened.ingest([event])
        opened.checkpoint()
        for event in EVENTS[150:200]:
            opened.ingest([event])
        yield opened


def test_checkpoint_and_tail_give_what_was_there(shop: Recommender, tmp_path: Path) -> None:
    with open_shop(as_after_a_crash(shop, tmp_path / "copy")) as again:
        same(shop, again)
        for opened in (shop, again):
            for event in EVENTS[200:240]:
                opened.ingest([event])
        same(shop, again)


def test_the_log_alone_gives_what_was_there(shop: Recommender, tmp_path: Path) -> None:
    copy = as_after_a_crash(shop, tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints")
    with open_shop(copy) as again:
        same(shop, again)


def test_closing_and_opening_again_changes_no_list(shop: Recommender) -> None:
    before = [[item.id for item in shop.recommend(user=f"u{n}").items] for n in range(10)]
    status = shop.status()
    shop.close()
    with open_shop(shop.path) as again:
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
def test_a_damaged_checkpoint_is_passed_over(shop: Recommender, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    newest = shop.checkpoint()
    copy = as_after_a_crash(shop, tmp_path / "copy")
    harm(copy / "checkpoints" / newest.name)
    with open_shop(copy) as again:
        same(shop, again)


def test_a_checkpoint_of_other_settings_is_passed_over(shop: Recommender, tmp_path: Path) -> None:
    other = msgspec.structs.replace(SETTINGS, mixture=MixtureSettings(experts=EXPERTS[:3]))
    with Recommender.open(as_after_a_crash(shop, tmp_path / "copy"), other, CLOCK) as again:
        assert again.status()["events"] == 200
        assert not any(name.startswith("content") for name in again.status()["mixture"]["weights"])


def test_only_the_newest_checkpoints_are_kept(shop: Recommender) -> None:
    for event in EVENTS[200:204]:
        shop.ingest([event])
        shop.checkpoint()
    kept = sorted(path.name for path in (shop.path / "checkpoints").iterdir())
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
    def send(shop: Recommender, part: list[Any]) -> int:
        return sum(shop.ingest([event]).accepted for event in part)

    with open_shop(tmp_path) as shop:
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda n: send(shop, EVENTS[n:200:4]), range(4)))
            pool.submit(shop.recommend, user="u1").result()
        assert sum(done) == 200
        assert shop.status()["events"] == 200
        assert shop.status()["lag"] == 0
