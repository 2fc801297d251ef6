"""The OpenAPI 3.1 description, made from the types that decode and encode; nothing is described twice."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from everbrook import __version__
from everbrook.events.records import MAX_ID_BYTES
from everbrook.http.failures import ErrorBody
from everbrook.http.operation import Operation
from everbrook.http.rooms import operations

REFERENCE = "#/components/schemas/{name}"


_MEANINGS = {
    400: "What was sent is wrong; nothing of it is kept.",
    401: "No key, or a wrong one.",
    403: "The key is for something else, or a page of another site asks.",
    404: "There is no such thing.",
    413: "The body is too large.",
    415: "The body is compressed, or encoded otherwise; it must come as it is.",
    422: "A record of the batch is wrong; the message names its position, and nothing of the batch is kept.",
    429: "More requests than the key may send; see Retry-After.",
    503: "Not ready, or the disk refuses writes; see Retry-After.",
}
_EVERYWHERE = (401, 403, 429)  # of routes that need a key
_RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
_OTHER = "Any other refusal has the same form: 404, 405, 408 too slow, 431 a head too long, 500 a fault inside."


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    types = [kind for one in operations() for kind in (one.takes, one.gives) if kind is not None]
    schemas, components = msgspec.json.schema_components([*types, ErrorBody], ref_template=REFERENCE)
    by_type = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for one in operations():
        takes = next(by_type) if one.takes is not None else None
        gives = next(by_type) if one.gives is not None else {}
        paths.setdefault(one.path, {})[one.method] = _operation(one, takes, gives, schemas[-1])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Everbrook",
            "version": __version__,
            "summary": "A recommender that learns while it serves.",
            "description": "Times are RFC 3339 text or integer milliseconds since 1970 (UTC); ids are any non-empty "
                           "text up to 256 bytes. Unknown fields are an error that names the nearest right one.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(one: Operation, takes: Any, gives: Any, error: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": one.summary,
        "operationId": operation_id(one),
        "responses": {"200": {"description": "Done.", "content": {one.media: {"schema": gives}}}},
    }
    locked = () if one.scope == "open" else _EVERYWHERE
    failed = {"content": {"application/json": {"schema": error}}}
    encoded = (415,) if 413 in one.errors else ()  # whoever reads a body
    strict = (400,) if one.is_strict else ()
    for status in sorted({*one.errors, *encoded, *locked, *strict}):
        headers = {"headers": _RETRY} if status in (429, 503) else {}
        told["responses"][str(status)] = {"description": _MEANINGS[status]} | headers | failed
    told["responses"]["default"] = {"description": _OTHER} | failed
    if takes is not None:
        content = {"schema": takes} | ({"example": one.example} if one.example else {})
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    if parameters := [*_in_path(one), *_in_query(one)]:
        told["parameters"] = parameters
    if one.scope == "open":
        told["security"] = []
    return told


def operation_id(one: Operation) -> str:
    """The operation's name for generated clients."""
    return one.method + "".join(part.strip("{}").split(".")[0].title() for part in one.path.split("/"))


def _in_path(one: Operation) -> list[dict[str, Any]]:
    if "{id}" not in one.path:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES}
    return [{"name": "id", "in": "path", "required": True, "schema": schema}]


def _in_query(one: Operation) -> list[dict[str, Any]]:
    if one.asks is None:
        return []
    (_,), parts = msgspec.json.schema_components([one.asks], ref_template=REFERENCE)
    whole = parts[one.asks.__name__]
    required = whole.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in whole["properties"].items()
    ]
