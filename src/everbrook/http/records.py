"""Records in: events, items, users."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everbrook.events.log_intake import EventBatch, ItemBatch, UserBatch, decode_events, decode_items, decode_users
from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room


class Receipt(msgspec.Struct, frozen=True):
    """What became of a batch: all are on disk, and the next list sees them."""

    accepted: int
    duplicates: int
    offset: int


class Records(Room):
    """What callers tell, and what is known from it."""

    operations = (
        Operation(
            "post", "/v1/events", "post_events",
            "Records of what users did: durable before it is answered, seen by the next list.", "write",
            takes=EventBatch, gives=Receipt, errors=(400, 413, 422, 503),
            example={"events": [{"user": "u1", "item": "i9", "kind": "view", "ts": 1767225600000, "id": "e-1"}]},
        ),
        Operation(
            "post", "/v1/items", "post_items",
            "Insert or change items: fields left out stay as they are, null removes.", "write", takes=ItemBatch,
            gives=Receipt, errors=(400, 413, 422, 503),
            example={
                "items": [{"id": "i9", "title": "A red shoe", "categories": ["shoes"], "properties": {"price": 12.5}}]
            },
        ),
        Operation(
            "post", "/v1/users", "post_users", "Insert or change users.", "write", takes=UserBatch, gives=Receipt,
            errors=(400, 413, 422, 503), example={"users": [{"id": "u1", "properties": {"country": "DE"}}]},
        ),
        Operation(
            "get", "/v1/items/{id}", "get_item", "What is known of an item.", "read", gives=dict[str, Any],
            errors=(400, 404),
        ),
    )  # fmt: skip

    async def post_events(self, request: Request) -> Response:
        """Keep a batch of events, durably, before answering."""
        body = await self.body(request)
        tolerance_ms = int(self.settings.log.future_tolerance_s * 1000)
        events = decode_events(body, self.engine.clock.now_ms(), tolerance_ms)
        self.check_count(len(events))
        return json_response(await self.aside(self.engine.ingest, events))

    async def post_items(self, request: Request) -> Response:
        """Insert or change items."""
        items = decode_items(await self.body(request))
        self.check_count(len(items))
        return json_response(await self.aside(self.engine.put_items, items))

    async def post_users(self, request: Request) -> Response:
        """Insert or change users."""
        users = decode_users(await self.body(request))
        self.check_count(len(users))
        return json_response(await self.aside(self.engine.put_users, users))

    async def get_item(self, request: Request) -> Response:
        """What is known of an item."""
        return json_response(self.engine.item(self.id_of(request)))
