"""What a page shows: people, histories, the catalogue, counts, quality over time, when weights have learned."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everbrook.errors import InputError
from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room

LOOK_S = 0.004  # between two looks at the weights
MOST_WAIT_MS = 10_000


class AskHistory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose history, and how much of it."""

    user: str | None = None
    session: str | None = None
    k: int = 50


class AskPeople(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which users."""

    search: str = ""
    k: int = 20


class AskCatalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which items: those whose title or id holds a piece of text; all, visible or hidden ones."""

    search: str = ""
    shown: str = "all"
    k: int = 20
    start: int = 0


class AskLearning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which span ('hour' or 'days'), of which scenario's events, since when in milliseconds since 1970."""

    span: str = "hour"
    scenario: str | None = None
    since: int = 0


class AskLearned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to which offset of the log weights shall have learned, and how long to wait for that."""

    offset: int
    wait_ms: int = 5_000


class Learned(msgspec.Struct, frozen=True):
    """Where the live weights in the lists stand."""

    reached: bool
    offset: int | None
    version: str | None
    waited_ms: float


class Catalogue(Room):
    """Looking at what is known; nothing here changes anything."""

    operations = (
        Operation(
            "get", "/v1/history", "get_history",
            "What a user or a guest did, newest first, with titles; nothing for a stranger.", "read",
            asks=AskHistory, errors=(400,),
        ),
        Operation(
            "get", "/v1/people", "get_people", "Ids of users, the latest come first; search looks into the ids.",
            "read", asks=AskPeople, errors=(400,),
        ),
        Operation(
            "get", "/v1/catalogue", "get_catalogue", "Items, those with which most happened first.", "read",
            asks=AskCatalogue, errors=(400,),
        ),
        Operation(
            "get", "/v1/items/{id}/look", "get_look", "All about an item: its record, its trend, who takes it.", "read",
            errors=(400, 404),
        ),
        Operation("get", "/v1/counts", "get_counts", "How many events there were, by kind and scenario.", "read"),
        Operation(
            "get", "/v1/learning", "get_learning",
            "How right lists were lately, test-then-train, by system and bin of time; and what was decided meanwhile.",
            "read", asks=AskLearning, errors=(400,),
        ),
        Operation(
            "get", "/v1/learned", "get_learned", "Waits until the live weights have learned up to an offset.", "read",
            asks=AskLearned, gives=Learned, errors=(400,),
        ),
    )  # fmt: skip

    async def get_history(self, request: Request) -> Response:
        """What somebody did."""
        asked = self.questions(request, AskHistory)
        return json_response(self.engine.history(asked.user, asked.session, asked.k))

    async def get_people(self, request: Request) -> Response:
        """Ids of users."""
        asked = self.questions(request, AskPeople)
        return json_response(await self.aside(self.engine.people, asked.search, asked.k))

    async def get_catalogue(self, request: Request) -> Response:
        """Items."""
        asked = self.questions(request, AskCatalogue)
        call: Any = partial(self.engine.catalogue, asked.search, asked.shown, asked.k, asked.start)  # type: ignore[arg-type]
        return json_response(await self.aside(call))

    async def get_look(self, request: Request) -> Response:
        """All about an item."""
        return json_response(await self.aside(self.engine.look, self.id_of(request)))

    async def get_counts(self, request: Request) -> Response:
        """How many events there were."""
        return json_response(await self.aside(self.engine.counts))

    async def get_learning(self, request: Request) -> Response:
        """Quality over time."""
        asked = self.questions(request, AskLearning)
        return json_response(await self.aside(self.engine.learning, asked.span, asked.scenario, asked.since))

    async def get_learned(self, request: Request) -> Response:
        """Whether the weights have learned, as soon as they have."""
        asked = self.questions(request, AskLearned)
        if not 0 <= asked.wait_ms <= MOST_WAIT_MS:
            raise InputError(f"'wait_ms' must be between 0 and {MOST_WAIT_MS}; got {asked.wait_ms}.")
        began_s = time.monotonic()
        while True:
            at = self.engine.weights_at()
            reached = at["offset"] is not None and at["offset"] >= asked.offset
            waited_s = time.monotonic() - began_s
            if reached or not self.engine.live.learns or waited_s >= asked.wait_ms / 1000.0:
                return json_response(Learned(reached, at["offset"], at["version"], round(1000.0 * waited_s, 1)))
            await asyncio.sleep(LOOK_S)
