"""A field that nothing has is refused wherever it stands: behind the '?' of every route, and deep inside a body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.engine.wishes import wish_of
from everbrook.errors import UnknownNameError
from everbrook.http.app import build_app
from everbrook.http.openapi import document
from everbrook.http.rooms import operations
from everbrook.rank.unknown_fields import unknown_field
from everbrook.settings import load_settings

GETS = [path for path, methods in document()["paths"].items() if "get" in methods]
ROUTES = [path for path in GETS if path.startswith("/v1/")]
KNOWN = {one.path: one.asks.__struct_fields__ for one in operations() if one.method == "get" and one.asks is not None}


@pytest.fixture(scope="module")
def client(asgi_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A door with an empty engine behind it: what is refused gets no further."""
    settings = load_settings(environment={}, assignments=["learner.mode=off"]).settings
    with Recommender.open(tmp_path_factory.mktemp("door") / "data", settings) as engine:
        yield asgi_client(build_app(engine, settings))


def _refused(answer: Any) -> str:
    told = answer.json()["error"]
    assert (answer.status_code, told["type"], told["hint"]) == (400, "unknown_field", None)
    return str(told["message"])


def test_all_routes_that_are_read_were_found() -> None:
    assert len(ROUTES) >= 20
    assert {"/v1/experiments", "/v1/status", "/v1/items/{id}/look", "/v1/stream", "/v1/explain"} <= set(ROUTES)
    assert KNOWN.keys() < set(ROUTES)


def test_a_field_behind_the_question_mark_of_a_body_s_route_is_refused(client: Any) -> None:
    assert _refused(client.post("/v1/events?usr=u1", json={"events": []})).startswith("Unknown field 'usr'.")


@pytest.mark.parametrize("path", ROUTES)
def test_a_field_that_a_route_does_not_know_is_refused_behind_the_question_mark(client: Any, path: str) -> None:
    known = ", ".join(sorted(KNOWN.get(path, ()))) or "none"
    for asked in ("zzzzzz=1", "zzzzzz", "zzzzzz=1&zzzzzz=2"):
        told = _refused(client.request("GET", f"{path.replace('{id}', 'x')}?{asked}"))
        assert told == f"Unknown field 'zzzzzz'. Known: {known}."
    assert "400" in document()["paths"][path]["get"]["responses"]


def test_the_nearest_field_is_named_behind_the_question_mark(client: Any) -> None:
    told = _refused(client.request("GET", "/v1/trending?windowx=1d"))
    assert told == "Unknown field 'windowx'. Did you mean 'window'? Known: k, scenario, window."


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json"])
def test_probes_and_pages_take_any_field(client: Any, path: str) -> None:
    assert client.request("GET", f"{path}?zzzzzz=1").status_code == 200


DEEP = [
    ("recommend", {"boost": [{"filter": "price<3", "bye": 2}]},
     "Unknown field 'bye'. Did you mean 'by'? Known: by, filter. It stands at 'boost[0]'."),
    ("recommend", {"pin": [{"item": "i2", "position": 1}, {"itm": "i3", "position": 0}]},
     "Unknown field 'itm'. Did you mean 'item'? Known: item, position. It stands at 'pin[1]'."),
    ("experiments", {"name": "a", "variants": [{"name": "a", "share": 1, "wishes": {"boost": [{"filtr": "x"}]}}]},
     "Unknown field 'filtr'. Did you mean 'filter'? Known: by, filter. It stands at 'variants[0].wishes.boost[0]'."),
    ("experiments", {"name": "a", "variants": [{"name": "a", "shre": 1}]},
     "Unknown field 'shre'. Did you mean 'share'? Known: name, share, wishes. It stands at 'variants[0]'."),
]  # fmt: skip


@pytest.mark.parametrize(("route", "body", "told"), DEEP)
def test_a_field_deep_in_a_body_gets_the_nearest_right_one_and_its_place(
    client: Any, route: str, body: dict[str, Any], told: str
) -> None:
    assert _refused(client.request("POST", f"/v1/{route}", content=msgspec.json.encode(body))) == told


@pytest.mark.parametrize(("body", "told"), [(body, told) for route, body, told in DEEP if route == "recommend"])
def test_the_library_says_the_same(body: dict[str, Any], told: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        wish_of(body)
    assert (error.value.message, error.value.type) == (told, "unknown_field")


class _Leaf(msgspec.Struct, forbid_unknown_fields=True):
    colour: int = 0


class _Tree(msgspec.Struct, forbid_unknown_fields=True):
    tables: dict[str, list[_Leaf] | None] = {}
    name: str = ""


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"namex": ""}, "Unknown field 'namex'. Did you mean 'name'? Known: name, tables."),
        ({"a`b": ""}, "Unknown field 'a`b'. Known: name, tables."),
        ({"tables": {"x": [{}, {"color": 1}]}},
         "Unknown field 'color'. Did you mean 'colour'? Known: colour. It stands at 'tables[...][1]'."),
    ],
)  # fmt: skip
def test_the_place_is_followed_through_tables_and_lists(value: Any, told: str) -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(value, _Tree)
    found = unknown_field(error.value, _Tree)
    assert found is not None
    assert found.message == told


def test_other_faults_are_left_to_others() -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert({"name": 3}, _Tree)
    assert unknown_field(error.value, _Tree) is None
