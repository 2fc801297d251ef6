"""While a checkpoint is written, lists and events go on; and a crash at that moment loses no refitted model."""

from __future__ import annotations

import multiprocessing
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everbrook import Recommender
from everbrook.engine import keeping
from everbrook.errors import StorageError
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.models.sequence_registry import new_model
from everbrook.settings import Settings, load_settings
from everbrook.testing.clock import FakeClock
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

SETTINGS: Settings = load_settings(
    environment={},
    assignments=[
        "mixture.experts=popularity,transitions,sequence", "sequence.width=8", "sequence.layers=1", "sequence.heads=1",
        "sequence.history=8", "engine.checkpoint_events=100",
    ],
).settings  # fmt: skip
WORLD = World(preset("markov", items=30, users=20, days=1, events_per_day=400, seed=6))
EVENTS = WORLD.all_events()
RECORDS = EVENTS.records()
TIMEOUT_S = 60.0


def opened(path: Path) -> Recommender:
    return Recommender.open(path, SETTINGS, FakeClock(WORLD.config.end_ms))


class Gate:
    """Stands before the writing of checkpoints, in whatever process: says that one comes, and lets it be when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shared = multiprocessing.get_context("fork")
        self.reached, self.open = shared.Event(), shared.Event()
        self.parts: dict[str, Any] = {}
        self._write = keeping.save_checkpoint
        monkeypatch.setattr(keeping, "save_checkpoint", self._wait)

    def _wait(self, folder: Path, offset: int, parts: Any, *rest: Any) -> Path:
        self.parts = parts
        self.reached.set()
        assert self.open.wait(TIMEOUT_S)
        return self._write(folder, offset, parts, *rest)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Recommender]:
    with opened(tmp_path / "shop") as one:
        one.import_columns(EVENTS.slice(0, 90))
        yield one


def test_lists_and_events_go_on_while_a_published_model_is_written(
    shop: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    model = new_model(SETTINGS.sequence, 30, seed=1).eval()
    host = shop.refitting._host
    refit = threading.Thread(target=lambda: host.take_in(model, 90, {}, 0, "Proven better."), daemon=True)
    refit.start()
    assert gate.reached.wait(TIMEOUT_S)
    done: list[Any] = []

    def visit() -> None:
        done.append(shop.recommend(user=RECORDS[0].user, k=5))
        done.append(shop.ingest(RECORDS[90:95]))

    visitor = threading.Thread(target=visit, daemon=True)
    visitor.start()
    visitor.join(TIMEOUT_S)
    assert len(done) == 2
    assert done[0].model.version == "sequence-90"
    assert not list((shop.path / "checkpoints").glob("[0-9]*"))
    before = {name: part.copy() for name, part in gate.parts["mixture"].items()}
    shop.ingest(RECORDS[95:99])
    assert all(np.array_equal(part, before[name], equal_nan=True) for name, part in gate.parts["mixture"].items())
    crashed = Path(shutil.copytree(shop.path, shop.path.parent / "crashed"))
    gate.open.set()
    refit.join(TIMEOUT_S)
    assert len(list((shop.path / "checkpoints").glob("[0-9]*"))) == 1
    with opened(crashed) as again:
        assert again.status()["version"]["name"] == "counts-0"
        assert again.status()["events"] == 99
    kept = Path(shutil.copytree(shop.path, shop.path.parent / "kept"))
    with opened(kept) as again:
        assert again.status()["version"]["name"] == "sequence-90"
        assert again.status()["events"] == 99
        expert = again._core.family(SequenceExpert)
        assert expert is not None
        assert expert.model is not None


def test_a_checkpoint_that_is_due_is_written_once_and_in_nobodys_way(
    shop: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    sender = threading.Thread(target=lambda: shop.ingest(RECORDS[90:110]), daemon=True)
    sender.start()
    assert gate.reached.wait(TIMEOUT_S)
    other = threading.Thread(target=lambda: shop.ingest(RECORDS[110:120]), daemon=True)
    other.start()
    other.join(TIMEOUT_S)
    assert not other.is_alive()
    assert sender.is_alive()
    gate.open.set()
    sender.join(TIMEOUT_S)
    assert [int(path.name) for path in (shop.path / "checkpoints").glob("[0-9]*")] == [110]


def test_a_disk_that_refuses_a_due_checkpoint_stops_no_event(
    shop: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Path:
        raise StorageError("A checkpoint must be written to 'x'; got No space left on device.")

    monkeypatch.setattr(keeping, "save_checkpoint", refused)
    assert shop.ingest(RECORDS[90:110]).accepted == 20
    assert shop.status()["last_errors"] == ["A checkpoint must be written to 'x'; got No space left on device."]
    monkeypatch.undo()
    shop.ingest(RECORDS[110:220])
    assert len(list((shop.path / "checkpoints").glob("[0-9]*"))) == 1


def test_a_model_that_takes_the_place_of_another_answers_as_one_that_was_published_alone(shop: Recommender) -> None:
    one, two = (new_model(SETTINGS.sequence, 30, seed=seed).eval() for seed in (1, 2))
    shop.publish(one, 80)
    shop.publish(two, 90)
    query = shop._core.state.query(now_ms=WORLD.config.end_ms, user=RECORDS[0].user)
    expert = shop._core.family(SequenceExpert)
    assert expert is not None
    alone = SequenceExpert(SETTINGS.sequence, two)
    np.testing.assert_array_equal(expert.propose(query, 10), alone.propose(query, 10))
    assert [type(one) for one in shop._core.mixture.experts].count(SequenceExpert) == 1
