"""The OpenAPI 3.1 description, made from the types that decode and encode; nothing is described twice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from everbrook import __version__
from everbrook.events.log_intake import EventBatch, ItemBatch, UserBatch
from everbrook.http.failures import ErrorBody
from everbrook.http.wishes import Nothing, Override, Rollback
from everbrook.rank.requests import Recommend, Recommendation

REFERENCE = "#/components/schemas/{name}"


class Receipt(msgspec.Struct, frozen=True):
    """What became of a batch of events: all are on disk, and the next list sees them."""

    accepted: int
    duplicates: int
    offset: int


class Changed(msgspec.Struct, frozen=True):
    """What became of a batch of changes."""

    accepted: int
    offset: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One route as the description tells it."""

    method: str
    path: str
    summary: str
    takes: Any = None
    gives: Any = None
    errors: tuple[int, ...] = ()
    example: Any = None


OPERATIONS = (
    Operation(
        "post", "/v1/events", "Records of what users did: durable before it is answered, seen by the next list.",
        EventBatch, Receipt, (400, 401, 413, 422, 503),
        {"events": [{"user": "u1", "item": "i9", "kind": "view", "ts": 1767225600000, "id": "e-1"}]},
    ),
    Operation(
        "post", "/v1/items", "Insert or change items: fields left out stay as they are, null removes.",
        ItemBatch, Changed, (400, 401, 413, 422, 503),
        {"items": [{"id": "i9", "title": "A red shoe", "categories": ["shoes"], "properties": {"price": 12.5}}]},
    ),
    Operation(
        "post", "/v1/users", "Insert or change users.", UserBatch, Changed, (400, 401, 413, 422, 503),
        {"users": [{"id": "u1", "properties": {"country": "DE"}}]},
    ),
    Operation(
        "post", "/v1/recommend", "A list for a user, a session, an item's page or a stranger.",
        Recommend, Recommendation, (400, 401, 413, 503), {"user": "u1", "k": 10},
    ),
    Operation("get", "/v1/items/{id}", "What is known of an item.", None, dict[str, Any], (401, 404)),
    Operation("get", "/v1/status", "Where everything stands.", None, dict[str, Any], (401,)),
    Operation(
        "get", "/v1/versions", "What answers, what can be gone back to (newest first), and what was decided lately.",
        None, dict[str, Any], (401,),
    ),
    Operation(
        "post", "/v1/rollback", "Go back to a version: what the live model learned since is undone.",
        Rollback, dict[str, Any], (400, 401, 404, 503), {"to": "anchor"},
    ),
    Operation(
        "post", "/v1/pause", "Let the gate make no moves by itself; learning goes on.",
        Nothing, dict[str, Any], (400, 401, 503),
    ),
    Operation(
        "post", "/v1/resume", "Let the gate make its moves again.", Nothing, dict[str, Any], (400, 401, 503),
    ),
    Operation(
        "post", "/v1/override", "Say by hand whom the live weights serve.",
        Override, dict[str, Any], (400, 401, 503), {"stage": "canary"},
    ),
    Operation(
        "post", "/v1/refit", "Fit the large model anew in the background; the gate lets it in.",
        Nothing, dict[str, Any], (400, 401, 503),
    ),
    Operation("get", "/healthz", "Whether the process lives.", None, dict[str, Any]),
    Operation("get", "/readyz", "Whether lists can be made.", None, dict[str, Any], (503,)),
    Operation("get", "/openapi.json", "This description.", None, dict[str, Any]),
    Operation("get", "/docs", "This description as a page.", None, str),
)
"""Every route, in the order of the page; a test compares them with the routes that exist."""

_MEANINGS = {
    400: "What was sent is wrong; nothing of it is kept.",
    401: "No key, or a wrong one.",
    404: "There is no such thing.",
    413: "The body is too large.",
    422: "A record of the batch is wrong; the message names its position, and nothing of the batch is kept.",
    503: "Not ready, or the disk refuses writes; see Retry-After.",
}


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    types = [kind for one in OPERATIONS for kind in (one.takes, one.gives) if kind is not None]
    schemas, components = msgspec.json.schema_components([*types, ErrorBody], ref_template=REFERENCE)
    by_type = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
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
    media = "text/html" if one.gives is str else "application/json"
    told: dict[str, Any] = {
        "summary": one.summary,
        "operationId": one.method + "".join(part.strip("{}").split(".")[0].title() for part in one.path.split("/")),
        "responses": {"200": {"description": "Done.", "content": {media: {"schema": gives}}}},
    }
    for status in one.errors:
        told["responses"][str(status)] = {
            "description": _MEANINGS[status], "content": {"application/json": {"schema": error}},
        }
    if takes is not None:
        content = {"schema": takes} | ({"example": one.example} if one.example else {})
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    if "{id}" in one.path:
        told["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    return told
