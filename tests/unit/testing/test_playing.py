"""Made traffic goes the ordinary way, is marked throughout, and ends when told to or when the log's day is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everbrook import Recommender
from everbrook.errors import BusyError, InputError, NotReadyError
from everbrook.settings import load_settings
from everbrook.testing.playing import MARK, Playing

SETTINGS = load_settings(environment={}, assignments=['mixture.experts=["popularity"]']).settings
LIMIT_S = 30.0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Recommender]:
    """An empty one."""
    with Recommender.open(tmp_path / "data", SETTINGS) as opened:
        yield opened


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < until, "it must come about"
        time.sleep(0.01)


def test_a_world_is_played_marked_and_hidden_at_the_end(engine: Recommender) -> None:
    playing, took = Playing(engine), []
    playing.took = took.append
    assert playing.start("flip", 2_000.0)["state"] == "playing"
    _until(lambda: playing.status()["sent"] > 100)
    with pytest.raises(BusyError, match="'flip' must be stopped"):
        playing.start("shop", 1.0)
    assert playing.start("flip", 500.0)["per_s"] == 500.0
    assert playing.stop(hide=True)["state"] == "stopped"
    columns = engine.log.read_events()
    assert len(columns) == playing.status()["sent"]
    assert len(took) > 0
    for names in (columns.user.names, columns.session.names, columns.item.names):
        assert all(name.startswith(MARK) for name in names)
    assert columns.context is not None
    assert columns.context.names == ['{"made":true}']
    assert abs(int(columns.ts_ms.max()) - engine.clock.now_ms()) < 1000 * LIMIT_S
    assert engine.catalogue(shown="visible")["items"] == []
    assert engine.catalogue(shown="hidden")["items"]


def test_the_logs_last_day_is_played_once_by_others(engine: Recommender) -> None:
    engine.ingest([{"user": f"u{n % 3}", "item": f"i{n % 5}", "kind": "view", "ts": 1_000 * n} for n in range(40)])
    playing = Playing(engine)
    playing.start("log", 2_000.0)
    _until(lambda: playing.status()["state"] == "stopped")
    assert (playing.status()["sent"], playing.status()["error"]) == (40, None)
    assert sorted(one["id"] for one in engine.people(MARK)["people"]) == [f"{MARK}u{n}" for n in range(3)]
    playing.start("log", 2_000.0)  # what was made is not played again
    _until(lambda: playing.status()["state"] == "stopped")
    assert playing.status()["sent"] == 40


def test_what_cannot_be_played_is_told(engine: Recommender) -> None:
    playing = Playing(engine)
    with pytest.raises(NotReadyError, match="it has none"):
        playing.start("log", 1.0)
    for source, per_s in (("nothing", 1.0), ("shop", 0.0), ("shop", 1e9)):
        with pytest.raises(InputError):
            playing.start(source, per_s)
    assert playing.stop()["state"] == "stopped"


def test_a_failure_is_told_and_nothing_else_ends(engine: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise InputError("The disk is full.")

    monkeypatch.setattr(engine, "ingest", full)
    playing = Playing(engine)
    playing.start("flip", 1_000.0)
    _until(lambda: playing.status()["state"] == "stopped")
    assert playing.status()["error"] == "The disk is full."
