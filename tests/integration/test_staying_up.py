"""What a server does when its disk is full or slow, a segment is damaged, or memory is short: words, and it goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.errors import DataError
from everbrook.events.columns import EventColumns
from everbrook.events.log_writer import Job
from everbrook.events.records import Event
from everbrook.events.sqlite_log import SqliteLog
from everbrook.http.app import build_app
from everbrook.http.guard import Bodies
from everbrook.settings import load_settings

SETTINGS = load_settings(
    environment={}, assignments=["learner.mode=off", "engine.log_impressions=false", "log.waiting_mb=1"]
).settings


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Recommender]:
    """An engine on an empty directory, as a server opens it."""
    with Recommender.open(tmp_path / "data", SETTINGS, beside=True) as opened:
        yield opened


@pytest.fixture
def client(engine: Recommender, asgi_client: Any) -> Any:
    """Its HTTP door."""
    return asgi_client(build_app(engine, SETTINGS))


def _events(first: int, count: int) -> dict[str, Any]:
    return {"events": [{"user": f"u{n}", "item": "i" * 200, "id": f"e{n}"} for n in range(first, first + count)]}


def _metric(client: Any, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(name + " ")))


def test_on_a_full_disk_what_was_acknowledged_stays_and_new_events_may_be_sent_again(
    engine: Recommender, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.post("/v1/events", json=_events(0, 20)).status_code == 200
    database = engine.log._writer._database  # type: ignore[attr-defined]
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite then says what it says of a full disk
    refused = client.post("/v1/events", json=_events(100, 500))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["type"] == "storage"
    assert "database or disk is full" in refused.json()["error"]["message"]
    assert client.post("/v1/events", json=_events(100, 500)).status_code == 503
    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/recommend", json={"user": "new"}).json()["items"][0]["id"] == "i" * 200
    assert _metric(client, "everbrook_log_refusing") == 1.0
    assert _metric(client, "everbrook_log_refused_commits_total") == 2.0
    database.execute("PRAGMA max_page_count = 1000000")  # somebody made room
    assert client.post("/v1/events", json=_events(100, 500)).json() == {
        "accepted": 500, "duplicates": 0, "offset": 520,
    }  # fmt: skip
    assert _metric(client, "everbrook_log_refusing") == 0.0
    lines = [record.getMessage().partition(",")[0] for record in caplog.records if record.name == "everbrook.log"]
    assert lines == ["New records are refused", "New records are taken again"]


def test_a_log_that_stands_still_turns_events_away_before_memory_grows(
    engine: Recommender, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    writer = engine.log._writer  # type: ignore[attr-defined]
    begun, go_on = threading.Event(), threading.Event()

    def stand_still(*_: object) -> None:
        begun.set()
        go_on.wait(60)

    writer.put(Job(stand_still, lambda _: None, Future()))
    begun.wait(60)
    waiting = [engine.log.submit([Event(user="u", item="i" * 200, ts=1, id=f"w{n}")] * 50) for n in range(200)]
    turned_away = [future for future in waiting if future.done()]
    assert 0 < len(turned_away) < 200
    assert all(future.exception().type == "overloaded" for future in turned_away)  # type: ignore[union-attr]
    assert writer.health.waiting_bytes <= 1 << 20
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.post, "/v1/events", json=_events(0, 100)).result(60)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["type"] == "overloaded"
    go_on.set()
    kept = [future.result(60) for future in waiting if future not in turned_away]
    assert client.post("/v1/events", json=_events(0, 100)).json()["accepted"] == 100
    assert engine.log.end == kept[-1].stop + 100
    assert writer.health.waiting_bytes == 0
    assert _metric(client, "everbrook_log_shed_total") == len(turned_away) + 1
    lines = [record.getMessage().partition(":")[0] for record in caplog.records if record.name == "everbrook.log"]
    assert lines == ["New records are turned away", "New records are taken again"]


def test_bodies_of_all_requests_together_are_bounded() -> None:
    bodies = Bodies(1000)
    one: dict[str, Any] = {}
    two: dict[str, Any] = {}
    bodies.hold(one, 1500)  # a single one always may
    with pytest.raises(Exception, match="Bodies of requests may take 1000 bytes"):
        bodies.hold(two, 1)
    bodies.let_go(one)
    bodies.hold(two, 600)
    bodies.hold(two, 900)
    bodies.let_go(two)
    assert bodies.held_bytes == 0


def test_answered_requests_hold_no_bytes(engine: Recommender, asgi_client: Any) -> None:
    app = build_app(engine, SETTINGS)
    client = asgi_client(app)
    for size in (1, 50, 200):
        client.post("/v1/events", json=_events(1000 * size, size))
    client.post("/v1/events", content=b"{")
    assert app.state.gate.bodies.held_bytes == 0


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A data directory of three segments; a bit of the second one has flipped."""
    with SqliteLog.open(tmp_path / "data") as log:
        for part in range(3):
            events = [Event(user=f"u{part}", item=f"i{part}", ts=1000 + n) for n in range(50)]
            log.append_columns(EventColumns.from_records(events))
    file = tmp_path / "data" / "segments" / "00000002.arrow"
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 4
    file.write_bytes(body)
    return tmp_path / "data"


def test_a_damaged_segment_is_named_and_the_rest_is_served(
    damaged: Path, asgi_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Recommender.open(damaged, SETTINGS, beside=True) as engine:
        client = asgi_client(build_app(engine, SETTINGS))
        assert client.get("/readyz").status_code == 200
        shown = client.post("/v1/recommend", json={"user": "new", "k": 10}).json()["items"]
        assert {one["id"] for one in shown} == {"i0", "i2"}
        told = client.get("/v1/status").json()
        assert (told["events"], told["offset"], list(told["log"]["damaged_segments"])) == (100, 150, ["00000002.arrow"])
        assert _metric(client, "everbrook_log_damaged_segments") == 1.0
        assert client.post("/v1/events", json=_events(0, 5)).json()["offset"] == 155
        lines = [record.getMessage() for record in caplog.records if record.name == "everbrook.log"]
        assert len(lines) == 1
        assert "00000002.arrow" in lines[0]
        assert "checksum" in lines[0]


def test_without_a_server_a_damaged_segment_is_an_error(damaged: Path) -> None:
    with pytest.raises(DataError, match=r"00000002\.arrow' must be as it was written"):
        Recommender.open(damaged, SETTINGS)


def test_a_segment_that_nobody_had_to_read_is_looked_at_all_the_same(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", SETTINGS) as engine:  # the checkpoint at the end holds all of it
        engine.import_columns(EventColumns.from_records([Event(user="u", item="i", ts=n) for n in range(50)]))
    file = tmp_path / "data" / "segments" / "00000001.arrow"
    body = bytearray(file.read_bytes())
    body[-100] ^= 1
    file.write_bytes(body)
    with Recommender.open(tmp_path / "data", SETTINGS, beside=True) as engine:
        log = engine.log
        assert isinstance(log, SqliteLog)
        for thread in threading.enumerate():
            if thread.name == "everbrook-log-checker":
                thread.join(60)
        assert list(log.health.told()["damaged_segments"]) == ["00000001.arrow"]
        assert engine.status()["events"] == 50
