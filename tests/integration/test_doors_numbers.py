"""Numbers that nothing can hold: refused at each door, and harmless in a log of an earlier version that has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.cli.main import main
from everbrook.errors import InputError
from everbrook.events.records import ItemChange, UserChange
from everbrook.http.app import build_app
from everbrook.settings import Settings

LARGE = 10**400
RULE = "Field 'properties' must be an object of texts, numbers, booleans and lists; number out of range."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the data lies."""
    return tmp_path_factory.mktemp("numbers") / "data"


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Recommender]:
    """An engine that knows an item and a user."""
    with Recommender.open(folder) as opened:
        opened.put_items([{"id": "i3", "properties": {"price": 3}}])
        opened.put_users([{"id": "u1"}])
        opened.ingest([{"user": "u1", "item": "i3"}])
        yield opened


@pytest.fixture(scope="module")
def client(engine: Recommender, asgi_client: Any) -> Any:
    """Its HTTP door."""
    return asgi_client(build_app(engine, Settings()))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("post", "/v1/items", {"items": [{"id": "p", "properties": {"price": LARGE}}]}, 422, f"Record 0: {RULE}"),
        ("post", "/v1/users", {"users": [{"id": "v", "properties": {"age": -LARGE}}]}, 422, f"Record 0: {RULE}"),
        ("patch", "/v1/items/i3", {"properties": {"price": LARGE}}, 400, RULE),
        ("patch", "/v1/users/u1", {"properties": {"age": LARGE}}, 400, RULE),
        (
            "post", "/v1/events", {"events": [{"user": "u", "item": "i3", "context": {"n": LARGE}}]}, 422,
            "Record 0: Field 'context' must be an object of texts, numbers and booleans; number out of range.",
        ),
        (
            "post", "/v1/items", {"items": [{"id": "i4"}, {"id": "p", "properties": {"": 1}}]}, 422,
            "Record 1: Field 'properties' must have keys that are text of 1 to 256 bytes; got ''.",
        ),
    ],
)  # fmt: skip
def test_such_a_number_is_refused_and_nothing_is_kept(
    engine: Recommender, client: Any, method: str, path: str, body: dict[str, Any], status: int, told: str
) -> None:
    before = engine.log.end
    answer = client.request(method, path, content=msgspec.json.encode(body))
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, told)
    assert engine.log.end == before


@pytest.mark.parametrize("at", ["%C2%B2", "9" * 5000, "9" * 20])
def test_a_moment_that_is_none_is_told_as_wrong(client: Any, at: str) -> None:
    answer = client.get(f"/v1/explain?item=i3&at={at}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith("'at' must be milliseconds since 1970 or RFC 3339 text; got '")
    assert client.get("/v1/explain?item=i3&at=1767225600000").status_code == 200


@pytest.mark.parametrize("command", [("explain", "i3"), ("recommend",)])
@pytest.mark.parametrize("at", ["²", "9" * 5000])
def test_a_typed_moment_that_is_none_is_told_as_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], at: str
) -> None:
    with Recommender.open(tmp_path / "data") as opened:
        opened.put_items([{"id": "i3"}])
    assert main([*command, "--data", str(tmp_path / "data"), "--at", at]) == InputError.exit_code
    assert "'at' must be milliseconds since 1970 or RFC 3339 text; got '" in capsys.readouterr().err


def test_a_log_that_already_holds_such_numbers_is_taken_in_and_started_from(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    suffered: list[Any] = [
        ItemChange(id="p", properties={"price": LARGE, "old": 5}), UserChange(id="v", properties={"age": LARGE}),
    ]  # fmt: skip
    with Recommender.open(folder) as engine:
        engine.put_items([{"id": "p", "properties": {"price": 7}}, {"id": "q", "properties": {"price": 8}}])
        engine.log.append(suffered)  # as versions did that did not check
        engine.update()
    for _ in range(2):  # from the log and its checkpoint
        with Recommender.open(folder) as engine:
            assert [one.id for one in engine.recommend(filter="price > 1").items] == ["q"]
            assert [one.id for one in engine.recommend(filter="old = 5").items] == ["p"]
    with Recommender.open(folder) as engine:
        engine.put_items([{"id": "p", "properties": {"price": 9}}])
        assert {one.id for one in engine.recommend(filter="price > 1").items} == {"p", "q"}
