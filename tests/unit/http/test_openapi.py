"""The description of the interface is made from the types, is whole, and its page needs no network."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import msgspec

from everbrook import __version__
from everbrook.events.records import Event
from everbrook.http.app import build_app
from everbrook.http.openapi import document
from everbrook.http.rooms import operations
from everbrook.rank.requests import Recommend
from everbrook.settings import Settings


def _references(node: Any) -> set[str]:
    return set(re.findall(r"#/components/schemas/(\w+)", json.dumps(node)))


def test_every_route_is_described_and_every_description_has_its_route() -> None:
    app = build_app(None, Settings())  # type: ignore[arg-type]  # no route is called
    routes = {
        (method.lower(), route.path.replace(":text", "")) for route in app.routes for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    assert routes == {(one.method, one.path) for one in operations()}


AGREED = """
post /v1/events, post /v1/items, post /v1/users, get /v1/items/{id}, patch /v1/items/{id}, delete /v1/items/{id},
get /v1/users/{id}, patch /v1/users/{id}, delete /v1/users/{id}, post /v1/recommend, get /v1/items/{id}/similar,
get /v1/trending, get /v1/explain, get /v1/status, get /v1/versions, post /v1/rollback, post /v1/pause, post /v1/resume,
get /v1/experiments, post /v1/experiments, get /v1/stream, get /healthz, get /readyz, get /metrics, get /openapi.json,
get /docs, get /
"""


def test_every_route_that_was_agreed_on_is_described() -> None:
    agreed = {tuple(one.split()) for one in AGREED.split(",")}
    assert len(agreed) == 27
    assert agreed <= {(method, path) for path, methods in document()["paths"].items() for method in methods}


def test_the_description_names_its_version_and_dialect() -> None:
    assert document()["openapi"] == "3.1.0"
    assert document()["info"]["version"] == __version__


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    told = document()
    schemas = told["components"]["schemas"]
    reached, waiting = set(), _references(told["paths"])
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= _references(schemas[name]) - reached
    assert reached == set(schemas)


def test_fields_are_those_of_the_types() -> None:
    schemas = document()["components"]["schemas"]
    assert list(schemas["Event"]["properties"]) == list(Event.__struct_fields__)
    assert list(schemas["Recommend"]["properties"]) == list(Recommend.__struct_fields__)
    assert schemas["Event"]["additionalProperties"] is False


def test_every_example_is_taken_by_the_type_it_stands_for() -> None:
    examples = [one for one in operations() if one.example is not None]
    assert len(examples) >= 8
    for one in examples:
        msgspec.convert(one.example, one.takes)


def test_every_refusal_is_described_in_the_one_form() -> None:
    for one in operations():
        responses = document()["paths"][one.path][one.method]["responses"]
        locked = set() if one.scope == "open" else {"401", "403", "429"}
        encoded = {"415"} if one.takes is not None else set()
        strict = {"400"} if one.method == "get" and one.path.startswith("/v1/") else set()
        assert set(responses) == {"200", "default"} | locked | encoded | strict | {str(status) for status in one.errors}
        forms = [told["content"]["application/json"]["schema"] for status, told in responses.items() if status != "200"]
        assert all(form == {"$ref": "#/components/schemas/ErrorBody"} for form in forms)
        assert all(("Retry-After" in told.get("headers", {})) == (status in ("429", "503"))
                   for status, told in responses.items())  # fmt: skip


def test_operation_ids_are_distinct() -> None:
    names = [told["operationId"] for methods in document()["paths"].values() for told in methods.values()]
    assert len(set(names)) == len(names) == len(operations())


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = resources.files("everbrook.http").joinpath("static/docs.html").read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!openapi\.json)[^"']+|https?://|@import|url\(""", page) == []
