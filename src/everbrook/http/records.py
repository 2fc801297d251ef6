"""Records in: events, items, users."""

from __future__ import annotations

import asyncio
from functools import cached_property, partial
from typing import Annotated, Any, get_type_hints
from weakref import WeakKeyDictionary

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everbrook.engine.spans import span
from everbrook.engine.turns import Receipt as EngineReceipt
from everbrook.events.log_intake import EventBatch, ItemBatch, UserBatch, decode_events, decode_items, decode_users
from everbrook.events.records import Event, IdText, ItemChange, UserChange
from everbrook.http.direct import Answer
from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room


class Receipt(msgspec.Struct, frozen=True):
    """What became of a batch: all are on disk, and the next list sees them."""

    accepted: int
    duplicates: int
    offset: int


def _fields_of(record: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The fields of a record whose id stands in the path; it may stand in the body too."""
    types = get_type_hints(record, include_extras=True)
    fields = [(field.name, types[field.name], msgspec.UNSET) for field in msgspec.structs.fields(record)]
    own: Any = Annotated[IdText | msgspec.UnsetType, msgspec.Meta(description="As in the path.")]
    name = f"{record.__name__.removesuffix('Change')}Fields"
    return msgspec.defstruct(
        name, [(name, own if name == "id" else kind, unset) for name, kind, unset in fields], module=__name__,
        namespace={"__doc__": f"What changes of {record.__name__.removesuffix('Change').lower()}s that are known."},
        frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
    )  # fmt: skip


def _tell(answer: Answer, found: EngineReceipt | Exception) -> None:
    answer(found if isinstance(found, Exception) else _encode(found))


_encode = msgspec.json.Encoder().encode
ItemFields, UserFields = _fields_of(ItemChange), _fields_of(UserChange)


class Removed(msgspec.Struct, frozen=True):
    """What was removed, by place."""

    removed: dict[str, int]


class Records(Room):
    """What callers tell, and what is known from it."""

    is_computing = True
    operations = (
        Operation(
            "post", "/v1/events", "post_events",
            "Records of what users did: durable before it is answered, seen by the next list.", "write",
            takes=EventBatch, gives=Receipt, errors=(400, 413, 422, 503),
            example={"events": [{"user": "u1", "item": "i9", "kind": "view", "ts": 1767225600000, "id": "e-1"}]},
            direct="take_events", together=True,
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
            errors=(400, 404, 503),
        ),
        Operation(
            "patch", "/v1/items/{id}", "patch_item", "Change an item that is known.", "write", takes=ItemFields,
            errors=(400, 404, 413, 503), example={"hidden": True},
        ),
        Operation(
            "delete", "/v1/items/{id}", "delete_item",
            "Forget an item: it is in no list from now on. Events about it still count; only POST /v1/items brings it "
            "back, and until then it is not known (404).", "write", gives=Removed,
            errors=(400, 404, 503),
        ),
        Operation(
            "get", "/v1/users/{id}", "get_user", "What is known of a user: properties, sessions and the last events.",
            "read", errors=(400, 404, 503),
        ),
        Operation(
            "patch", "/v1/users/{id}", "patch_user", "Change a user who is known.", "write", takes=UserFields,
            errors=(400, 404, 413, 503), example={"properties": {"country": "DE"}},
        ),
        Operation(
            "delete", "/v1/users/{id}", "delete_user",
            "Remove a person everywhere: log, state, caches, learned rows, checkpoints; tells how much, by place.",
            "write", gives=Removed, errors=(400, 503),
        ),
    )  # fmt: skip

    async def post_events(self, request: Request) -> Response:
        """Keep a batch of events, durably, before answering."""
        events = self._events(await self.body(request))
        with span("ingest", events=len(events)):
            receipt = await self.engine.ingest_soon(events)
        return json_response(receipt)

    def take_events(self, body: bytes, answer: Answer) -> None:
        """The same, without a task."""
        self.engine.ingest_then(self._events(body), partial(_tell, answer))

    def _events(self, body: bytes) -> list[Event]:
        events = decode_events(body, self.engine.clock.now_ms(), self._tolerance_ms)
        if len(events) > 1:
            self.check_count(len(events))
        return events

    @cached_property
    def _tolerance_ms(self) -> int:
        return int(self.settings.log.future_tolerance_s * 1000)

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

    async def patch_item(self, request: Request) -> Response:
        """Change an item."""
        fields = msgspec.structs.asdict(await self.asked(request, ItemFields, "A change"))
        given = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
        return json_response(await self.aside(self.engine.change_item, self.id_of(request), given))

    async def delete_item(self, request: Request) -> Response:
        """Forget an item."""
        return json_response(await self.aside(self.engine.delete_item, self.id_of(request)))

    async def get_user(self, request: Request) -> Response:
        """What is known of a user."""
        return json_response(self.engine.user(self.id_of(request)))

    async def patch_user(self, request: Request) -> Response:
        """Change a user."""
        fields = msgspec.structs.asdict(await self.asked(request, UserFields, "A change"))
        given = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
        return json_response(await self.aside(self.engine.change_user, self.id_of(request), given))

    async def delete_user(self, request: Request) -> Response:
        """Remove a person."""
        turns = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with turns:  # it takes seconds, and turns in any case: before it takes a thread nobody waits for that
            return json_response(await self.aside(self.engine.delete_user, self.id_of(request)))

    @cached_property
    def _turns(self) -> WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]:
        """Whose turn it is to forget somebody, by event loop."""
        return WeakKeyDictionary()
