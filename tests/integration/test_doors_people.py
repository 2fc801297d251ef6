"""People over HTTP: what is known of them, changes, guests who become users, and being forgotten in every file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from everbrook import Recommender
from everbrook.events.erasing import Intents
from everbrook.http.app import build_app
from everbrook.settings import Settings, load_settings

PERSON, GUEST = "person-2718281828", "guest-3141592653"
ASSIGNMENTS = [
    'mixture.experts=["popularity", "transitions", "neighbours", "collaborative", "live"]', "learner.mode=inside",
    "log.seal_events=0",
]
OFF = "learner.mode=off"
SETTINGS: Settings = load_settings(environment={}, assignments=ASSIGNMENTS).settings


def _left(folder: Path, *needles: str) -> list[str]:
    """Which files still have the bytes of an id."""
    return [
        f"{path.relative_to(folder)}: {needle}" for path in sorted(folder.rglob("*")) if path.is_file()
        for needle in needles if needle.encode() in path.read_bytes()
    ]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """An engine with what many did and one person among them."""
    with Recommender.open(tmp_path_factory.mktemp("people") / "data", SETTINGS) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(engine: Recommender, asgi_client: Any) -> Any:
    """Its HTTP door."""
    return asgi_client(build_app(engine, SETTINGS))


def _live(client: Any) -> None:
    """A few days of a small shop: a guest looks around, becomes the person, and buys."""
    others = [{"user": f"u{n % 9}", "item": f"i{n * 7 % 11}", "id": f"e{n}", "ts": 1000 * n} for n in range(90)]
    assert client.post("/v1/events", json={"events": others}).status_code == 200
    guest = [{"session": GUEST, "item": f"i{n}", "ts": 200_000 + n} for n in range(3)]
    assert client.post("/v1/events", json={"events": guest}).status_code == 200
    theirs = [
        {"user": PERSON, "session": GUEST, "item": f"i{n}", "ts": 300_000 + n, "id": f"{PERSON}-{n}"} for n in (5, 6)
    ]
    assert client.post("/v1/events", json={"events": theirs}).status_code == 200
    whole = {"id": PERSON, "properties": {"mail": f"{PERSON}@example.org"}}
    assert client.post("/v1/users", json={"users": [whole]}).status_code == 200
    for _ in range(3):
        assert client.post("/v1/recommend", json={"user": PERSON, "session": GUEST, "k": 3}).json()["items"]


def test_a_guest_who_becomes_a_user_keeps_both_histories(client: Any) -> None:
    _live(client)
    known = client.get(f"/v1/users/{PERSON}").json()
    assert [one["item"] for one in known["events"]] == ["i6", "i5", "i2", "i1", "i0"]
    assert known["sessions"] == [GUEST]
    assert known["properties"] == {"mail": f"{PERSON}@example.org"}
    assert known["events"][0] == {"item": "i6", "kind": "view", "ts": 300_006}


def test_items_and_users_are_changed_one_by_one(client: Any) -> None:
    changed = client.request("PATCH", "/v1/items/i1", json={"title": "One", "properties": {"price": 2}})
    assert changed.json() == {"id": "i1", "title": "One", "properties": {"price": 2}}
    without = client.request("PATCH", "/v1/items/i1", json={"title": None})
    assert without.json() == {"id": "i1", "properties": {"price": 2}}
    user = client.request("PATCH", "/v1/users/u1", json={"id": "u1", "properties": {"country": "DE"}})
    assert user.json() == {"id": "u1", "properties": {"country": "DE"}}
    for path in ("/v1/items/nothing", "/v1/users/nobody"):
        assert client.request("PATCH", path, json={"properties": {}}).status_code == 404
        assert client.get(path).status_code == 404
    assert client.request("DELETE", "/v1/items/nothing").status_code == 404
    wrong = client.request("PATCH", "/v1/items/i1", json={"titlex": "x"})
    assert wrong.json()["error"]["message"].startswith("Unknown field 'titlex'. Did you mean 'title'?")
    assert client.request("PATCH", "/v1/items/i1", json={"id": "i2"}).status_code == 400


WRONG = [
    ("items/i1", {"tags": [3]}, "'tags[0]'"), ("items/i1", {"ts": "soon"}, "Field 'ts' must be milliseconds"),
    ("items/i1", {"expires": "2026-13-01T00:00:00Z"}, "Field 'expires' must be milliseconds"),
    ("items/i1", {"hidden": "yes"}, "'hidden'"), ("items/i1", {"titlex": "x"}, "Unknown field 'titlex'."),
    ("users/u1", {"properties": 3}, "'properties'"), ("users/u1", {"id": "u2"}, "The field 'id' must be"),
]


@pytest.mark.parametrize(("path", "fields", "words"), WRONG)
def test_a_refused_change_of_one_thing_has_no_place_in_a_batch(
    client: Any, path: str, fields: dict[str, Any], words: str
) -> None:
    before = client.get(f"/v1/{path}").json()
    answer = client.request("PATCH", f"/v1/{path}", json=fields)
    assert answer.status_code == 400, answer.json()
    assert words in answer.json()["error"]["message"]
    assert "Record" not in answer.json()["error"]["message"]
    assert client.get(f"/v1/{path}").json() == before


def test_a_deleted_item_is_in_no_list(client: Any) -> None:
    assert client.request("DELETE", "/v1/items/i3").json() == {"removed": {"items": 1}}
    shown = client.post("/v1/recommend", json={"user": "u1", "k": 50}).json()["items"]
    assert shown
    assert "i3" not in {one["id"] for one in shown}
    assert client.get("/v1/items/i3").status_code == 404


def test_events_do_not_bring_a_deleted_item_back_and_being_told_of_it_does(client: Any, engine: Recommender) -> None:
    client.post("/v1/items", json={"items": [{"id": "shoe", "title": "Red shoe"}, {"id": "boot", "title": "Red boot"}]})
    together = [{"user": f"w{n}", "item": item} for n in range(20) for item in ("boot", "shoe")]
    client.post("/v1/events", json={"events": together})
    shown = [
        lambda: client.post("/v1/recommend", json={"user": "u1", "k": 60}),
        lambda: client.post("/v1/recommend", json={"user": "u1", "candidates": ["shoe", "boot"]}),
        lambda: client.get("/v1/items/boot/similar?k=60"),
        lambda: client.get("/v1/trending?k=60"),
    ]

    def in_lists() -> list[bool]:
        answers = [ask().json() for ask in shown]
        assert all("items" in one for one in answers), [sorted(one) for one in answers]
        return ["shoe" in {one["id"] for one in answer["items"]} for answer in answers]

    assert all(in_lists())
    assert client.request("DELETE", "/v1/items/shoe").status_code == 200
    for n in range(3):  # clicks in flight
        assert client.post("/v1/events", json={"events": [{"user": f"x{n}", "item": "shoe"}]}).status_code == 200
    assert not any(in_lists())
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("GET", "/similar"), ("GET", "/look")):
        more = {"json": {"title": "Red shoe"}} if method == "PATCH" else {}
        assert client.request(method, f"/v1/items/shoe{path}", **more).status_code == 404, (method, path)
    assert not any(in_lists())
    assert client.post("/v1/items", json={"items": [{"id": "shoe", "title": "Red shoe"}]}).status_code == 200
    assert all(in_lists())
    assert client.get("/v1/items/shoe/look").json()["events"] == 23
    assert client.request("DELETE", "/v1/items/shoe").status_code == 200


@pytest.mark.parametrize("kept", [True, False], ids=["checkpoint", "log"])
def test_a_deleted_item_stays_so_over_a_restart(tmp_path: Path, kept: bool) -> None:
    event, other = {"user": "u", "item": "shoe"}, {"user": "v", "item": "boot"}
    asked = ['mixture.experts=["popularity", "content"]', "learner.mode=off"]
    found = load_settings(environment={}, assignments=asked).settings
    with Recommender.open(tmp_path / "data", found) as shop:
        shop.put_items([{"id": "shoe", "title": "Red shoe"}, {"id": "boot", "title": "Red boot"}])
        shop.ingest([event, other])
        shop.delete_item("shoe")
        if kept:
            shop.checkpoint()
        shop.ingest([event])
        if kept:
            shop.checkpoint()
        before = shop._core.state.arrays()
    for checkpoint in (tmp_path / "data" / "checkpoints").glob("*" if not kept else "-"):
        shutil.rmtree(checkpoint)
    with Recommender.open(tmp_path / "data", found) as shop:
        shop.ingest([event])
        assert [one.id for one in shop.recommend(user="w", k=5).items] == ["boot"]
        assert [one.id for one in shop.recommend(user="w", query="red", k=5).items] == ["boot"]
        shop.put_items([{"id": "shoe", "title": "Red shoe"}])
        assert {one.id for one in shop.recommend(user="w", k=5).items} == {"boot", "shoe"}
        assert {one.id for one in shop.recommend(user="w", query="red", k=5).items} == {"boot", "shoe"}
        after = shop._core.state.arrays()
    assert before["items/bytes"].tolist() == after["items/bytes"].tolist()


def test_a_deleted_person_is_in_no_file(client: Any, engine: Recommender) -> None:
    engine.log.seal()
    engine.checkpoint()
    assert _left(engine.path, PERSON, GUEST)
    before = client.get("/v1/status").json()
    removed = client.request("DELETE", f"/v1/users/{PERSON}").json()["removed"]
    assert (removed["events"], removed["history"], removed["sessions"], removed["event_ids"]) == (5, 5, 1, 2)
    assert (removed["records"], removed["properties"], removed["impressions"]) == (1, 1, 3)
    assert removed["learned_rows"] >= 2
    assert _left(engine.path, PERSON, GUEST) == []
    assert client.get(f"/v1/users/{PERSON}").status_code == 404
    after = client.get("/v1/status").json()
    assert (after["items"], after["last_errors"]) == (before["items"], [])
    assert client.request("DELETE", f"/v1/users/{PERSON}").json()["removed"]["events"] == 0
    stranger = client.post("/v1/recommend", json={"user": PERSON, "session": GUEST, "k": 3, "explain": True})
    assert all(reason["kind"] != "because" for one in stranger.json()["items"] for reason in one.get("reasons", ()))


def test_what_was_forgotten_stays_so_when_everything_is_built_anew(engine: Recommender) -> None:
    engine.delete_user(PERSON)  # the list above named the stranger again
    engine.close()
    with Recommender.open(engine.path, SETTINGS) as again:
        assert again._core.state.users.row(PERSON) == -1
        assert again._core.state.users.row("u1") >= 0
    assert _left(engine.path, PERSON, GUEST) == []


KILLED = textwrap.dedent("""
    import os, signal, sys
    from everbrook import Recommender
    from everbrook.engine import people, starting_over
    from everbrook.events import log_bulk
    from everbrook.settings import load_settings
    path, place, *assignments = sys.argv[1:]
    die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    if place == "before": people.start_over = die
    if place == "within": log_bulk.erase_rows = die
    if place == "vacuum": log_bulk.write_anew = die
    if place == "after": Recommender.checkpoint = die
    with Recommender.open(path, load_settings(environment={}, assignments=assignments).settings) as shop:
        shop.delete_user("%s")
""") % PERSON


@pytest.mark.parametrize("place", ["before", "within", "vacuum", "after"])
def test_a_deletion_that_is_killed_is_ended_at_the_next_start(place: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Recommender.open(data, SETTINGS) as shop:
        shop.ingest([{"session": GUEST, "item": "i1"}, {"user": PERSON, "session": GUEST, "item": "i2", "id": PERSON}])
        shop.ingest([{"user": "u1", "item": "i1"}])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERBROOK_")}
    command = [sys.executable, "-c", KILLED, str(data), place, *ASSIGNMENTS]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert Intents(data).pending() == [PERSON]
    with Recommender.open(data, SETTINGS) as shop:
        assert _left(data, PERSON, GUEST) == []
        assert shop.status()["actors"] >= 1
        assert shop.recommend(user="u1", k=5).items
    assert Intents(data).pending() == []
    assert _left(data, PERSON, GUEST) == []


def _learned(client: httpx.Client) -> None:
    """Wait until a new event was learned."""
    offset = client.post("/v1/events", json={"events": [{"user": "u1", "item": "i1"}]}).json()["offset"]
    until = time.monotonic() + 120.0
    while not client.get(f"/v1/learned?offset={offset}&wait_ms=5000").json()["reached"]:
        assert time.monotonic() < until


def _process(client: httpx.Client) -> dict[str, Any]:
    told: dict[str, Any] = client.get("/v1/status").json()["live"]["process"]
    return told


def _many_are_forgotten_at_once(url: str, data: Path) -> None:
    """Each by a client of its own: all are, and nothing of any is left."""
    names = [f"u{n}" for n in range(2, 8)]
    with ThreadPoolExecutor(len(names)) as clients:
        answers = list(clients.map(lambda name: httpx.delete(f"{url}/v1/users/{name}", timeout=120), names))
    assert [answer.status_code for answer in answers] == [200] * len(names)
    assert all(answer.json()["removed"]["events"] == 10 for answer in answers)
    assert Intents(data).pending() == []


@pytest.mark.parametrize("ready", [False, True], ids=["that starts", "that learns"])
def test_a_server_with_a_learner_beside_it_forgets_too(ready: bool, tmp_path: Path, asgi_client: Any) -> None:
    data = tmp_path / "data"
    if not ready:  # a server that has a log answers while its learner starts
        with Recommender.open(data, load_settings(environment={}, assignments=[*ASSIGNMENTS, OFF]).settings) as shop:
            _live(asgi_client(build_app(shop, SETTINGS)))
    assignments = [*ASSIGNMENTS[:1], "learner.mode=process", "learner.core_share=1", "learner.niceness=0"]
    command = [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", str(data), "--port", "0"]
    command += [part for one in assignments for part in ("--set", one)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERBROOK_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split(" on ")[1].split()[0]
            with httpx.Client(base_url=url, timeout=120) as client:
                if ready:
                    _live(client)
                    _learned(client)
                else:
                    assert client.post("/v1/pause").json()["pending"]
                removed = client.delete(f"/v1/users/{PERSON}").json()["removed"]
                assert removed["events"] == 5
                assert _left(data, PERSON, GUEST) == []
                assert client.post("/v1/recommend", json={"user": "u1"}).json()["items"]
                if ready:
                    assert "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text()  # the learner did it
                    assert client.get("/v1/status").json()["live"]["stage"] != "off"
                    _many_are_forgotten_at_once(url, data)
                    _learned(client)
                else:
                    _learned(client)
                    assert client.get("/v1/versions").json()["gate"]["paused"]  # by the process after the next
                process_of = _process(client)
                assert process_of["starts"] >= 2
                client.delete("/v1/users/never-heard-of").raise_for_status()
                assert _process(client)["pid"] == process_of["pid"]  # it has nothing of a stranger
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert _left(data, PERSON, GUEST) == []
