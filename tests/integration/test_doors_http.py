"""HTTP on a real engine: what is acknowledged is in the next list; what is wrong is refused in one form."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from everbrook import Recommender
from everbrook.http.app import build_app
from everbrook.settings import Settings, load_settings

SETTINGS = load_settings(environment={}, assignments=["serve.body_limit_bytes=4096", "serve.batch_limit=50"]).settings


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Recommender]:
    """An engine on an empty directory."""
    with Recommender.open(tmp_path / "data", SETTINGS) as opened:
        yield opened


@pytest.fixture
def client(engine: Recommender, asgi_client: Any) -> Any:
    """Its HTTP door."""
    return asgi_client(build_app(engine, SETTINGS))


def _refused(answer: Any, status: int, kind: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"type", "message", "hint"}
    assert answer.json()["error"]["type"] == kind
    return str(answer.json()["error"]["message"])


def _view(user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"user": user, "item": item, "kind": "view", **more}


def test_an_event_that_was_acknowledged_is_in_the_next_list(client: Any) -> None:
    assert client.post("/v1/recommend", json={"user": "u1"}).json()["items"] == []
    receipt = client.post("/v1/events", json={"events": [_view("u2", "i1"), _view("u2", "i2")]}).json()
    assert receipt == {"accepted": 2, "duplicates": 0, "offset": 2}
    shown = client.post("/v1/recommend", json={"user": "u1"}).json()
    assert {one["id"] for one in shown["items"]} == {"i1", "i2"}
    assert shown["model"]["offset"] == 2
    assert shown["took_ms"] >= 0


def test_the_same_event_id_counts_once(client: Any) -> None:
    body = {"events": [_view("u1", "i1", id="e1")]}
    assert client.post("/v1/events", json=body).json() == {"accepted": 1, "duplicates": 0, "offset": 1}
    assert client.post("/v1/events", json=body).json() == {"accepted": 0, "duplicates": 1, "offset": 1}
    assert client.get("/v1/status").json()["events"] == 1


def test_a_guest_needs_only_a_session(client: Any) -> None:
    assert client.post("/v1/events", json={"events": [{"session": "s1", "item": "i1"}]}).status_code == 200
    assert client.post("/v1/recommend", json={"session": "s1"}).status_code == 200


def test_a_wrong_record_is_named_by_its_position_and_nothing_is_kept(client: Any) -> None:
    wrong = {"events": [_view("u1", "i1"), _view("u1", ""), _view("u1", "i3")]}
    assert _refused(client.post("/v1/events", json=wrong), 422, "bad_record").startswith("Record 1: Field 'item'")
    ahead = {"events": [_view("u1", "i1", ts=99_999_999_999_999)]}
    assert "Field 'ts' must be" in _refused(client.post("/v1/events", json=ahead), 422, "bad_record")
    nobody = {"events": [{"item": "i1"}]}
    assert "must have a 'user' or a 'session'" in _refused(client.post("/v1/events", json=nobody), 422, "bad_record")
    assert client.get("/v1/status").json()["events"] == 0


def test_an_unknown_field_gets_the_nearest_right_one(client: Any) -> None:
    record = client.post("/v1/events", json={"events": [_view("u1", "i1", knd="x")]})
    assert "Did you mean 'kind'?" in record.json()["error"]["message"]
    wish = client.post("/v1/recommend", json={"usr": "u1"})
    assert _refused(wish, 400, "unknown_field").startswith("Unknown field 'usr'. Did you mean 'user'?")


def test_an_unknown_scenario_gets_the_nearest_right_one(client: Any) -> None:
    client.post("/v1/events", json={"events": [_view("u1", "i1", scenario="home")]})
    answer = client.post("/v1/recommend", json={"user": "u1", "scenario": "hom"})
    assert _refused(answer, 400, "unknown_scenario").startswith("Unknown scenario 'hom'. Did you mean 'home'?")


UNREADABLE = [b"", b"{", b"[]", b'{"k": "many"}', b'{"k": 0}', b'{"user": "\xff"}', b'{"at": "noon"}']


@pytest.mark.parametrize("body", UNREADABLE)
def test_a_wish_that_cannot_be_read_is_refused(client: Any, body: bytes) -> None:
    answer = client.post("/v1/recommend", content=body)
    _refused(answer, 400, "bad_input")


def test_a_body_over_the_limit_is_413(client: Any) -> None:
    _refused(client.post("/v1/events", content=b"x" * 5000), 413, "too_large")


def test_a_batch_over_the_limit_is_refused_whole(client: Any) -> None:
    body = msgspec.json.encode({"events": [{"user": "u", "item": "i"}] * 51})
    assert _refused(client.post("/v1/events", content=body), 400, "bad_input") == (
        "A batch must hold at most 50 records; got 51."
    )
    assert client.get("/v1/status").json()["events"] == 0


def test_routes_that_do_not_exist_and_methods_that_do_not_fit(client: Any) -> None:
    assert _refused(client.get("/v1/recommends"), 404, "not_found").startswith("No route '/v1/recommends'.")
    answer = client.get("/v1/recommend")
    assert _refused(answer, 405, "method_not_allowed") == "Route '/v1/recommend' does not take GET."
    assert answer.json()["error"]["hint"] == "It takes POST."


def test_items_are_changed_field_by_field_and_can_be_read(client: Any) -> None:
    whole = {"items": [{"id": "a/b ü", "title": "One", "tags": ["x"], "properties": {"price": 1}}]}
    assert client.post("/v1/items", json=whole).status_code == 200
    assert client.post("/v1/items", json={"items": [{"id": "a/b ü", "title": None, "hidden": True}]}).status_code == 200
    got = client.get("/v1/items/a%2Fb%20%C3%BC").json()
    assert got == {"id": "a/b ü", "tags": ["x"], "properties": {"price": 1}, "hidden": True}
    _refused(client.get("/v1/items/nothing"), 404, "not_found")


def test_ids_that_end_as_routes_do_are_ids(client: Any) -> None:
    ids = ["a/similar", "a/look", "a/similar/similar"]
    assert client.post("/v1/items", json={"items": [{"id": one} for one in ids]}).status_code == 200
    for one in ids:
        assert client.get(f"/v1/items/{quote(one, safe='')}").json() == {"id": one}
        assert "items" in client.get(f"/v1/items/{quote(one, safe='')}/similar").json()


def test_a_method_that_a_route_does_not_take_is_told_with_all_that_it_takes(client: Any) -> None:
    for path, wanted in {
        "/v1/items/x": {"GET", "HEAD", "PATCH", "DELETE"}, "/v1/experiments": {"GET", "HEAD", "POST"},
        "/v1/recommend": {"POST"},
    }.items():  # fmt: skip
        answer = client.request("PUT", path)
        _refused(answer, 405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) == wanted
        assert answer.json()["error"]["hint"] == f"It takes {answer.headers['allow']}."


def test_deletions_that_take_long_keep_nobody_else_waiting(
    client: Any, engine: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, began = threading.Event(), threading.Event()

    def delete(_: str) -> dict[str, Any]:
        began.set()
        assert ended.wait(60)
        return {"removed": {}}

    monkeypatch.setattr(engine, "delete_user", delete)

    async def asked() -> list[int]:
        transport = httpx.ASGITransport(app=build_app(engine, SETTINGS))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as shop:
            count = min(32, (os.cpu_count() or 1) + 4) + 2  # more than the loop has threads
            waiting = [asyncio.create_task(shop.delete(f"/v1/users/u{n}")) for n in range(count)]
            await asyncio.to_thread(began.wait, 60)
            others = [shop.get("/readyz"), shop.get("/metrics"), shop.get("/v1/status")]
            others.append(shop.post("/v1/items", json={"items": [{"id": "i"}]}))
            told = await asyncio.wait_for(asyncio.gather(*others), 30)
            ended.set()
            return [one.status_code for one in [*told, *await asyncio.gather(*waiting)]]

    assert set(asyncio.run(asked())) == {200}


def test_users_can_be_changed(client: Any) -> None:
    assert client.post("/v1/users", json={"users": [{"id": "u1", "properties": {"country": "DE"}}]}).status_code == 200
    _refused(client.post("/v1/users", json={"users": [{"properties": {}}]}), 422, "bad_record")


def test_a_read_adds_nobody_and_nothing(client: Any) -> None:
    client.post("/v1/events", json={"events": [_view("u1", "i1")]})
    before = client.get("/v1/status").json()
    for n in range(30):
        client.post("/v1/recommend", json={"user": f"stranger {n}", "item": f"unknown {n}"})
    after = client.get("/v1/status").json()
    assert (before["actors"], before["items"], before["events"]) == (after["actors"], after["items"], after["events"])


def test_it_lives_and_is_ready(client: Any) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json() == {"ready": True}
    assert client.get("/docs").headers["content-type"].startswith("text/html")
    assert client.get("/openapi.json").json()["openapi"] == "3.1.0"


def test_a_stopped_disk_is_told_as_503(tmp_path: Path, asgi_client: Any) -> None:
    engine = Recommender.open(tmp_path / "data", Settings())
    client = asgi_client(build_app(engine, Settings()))
    engine.close()
    answer = client.post("/v1/events", json={"events": [_view("u1", "i1")]})
    assert answer.status_code in (500, 503)
    assert set(answer.json()["error"]) == {"type", "message", "hint"}


def test_vectors_that_nothing_could_be_made_of_are_refused(client: Any, engine: Recommender) -> None:
    def put(*vectors: dict[str, Any]) -> Any:
        return client.post("/v1/items", json={"items": [{"id": f"i{n}", "vectors": v} for n, v in enumerate(vectors)]})

    assert put({"image": [1.0, 0.0, 2.0]}, {"text": [3.0, 4.0]}, {"image": None}).status_code == 200
    end = engine.log.end
    told = _refused(put({"text": [1.0, 1.0]}, {"image": [1.0, 2.0]}), 422, "bad_record")
    assert told.startswith("Record 1: Vector 'image' must have 3 numbers, as the first of that name; got 2.")
    assert _refused(put({"other": [1.0]}, {"other": [1.0, 2.0]}), 422, "bad_record").startswith("Record 1: Vector 'oth")
    assert "must have a direction" in _refused(put({"text": [0.0, 0.0]}), 422, "bad_record")
    assert "must have a direction" in _refused(put({"text": [1e-200, 0.0]}), 422, "bad_record")
    changed = client.request("PATCH", "/v1/items/i0", json={"vectors": {"text": [1.0]}})
    assert _refused(changed, 400, "bad_input").startswith("Vector 'text' must have 2 numbers")
    assert engine.log.end == end
    assert client.request("PATCH", "/v1/items/i0", json={"vectors": {"text": [1.0, -1.0]}}).status_code == 200
