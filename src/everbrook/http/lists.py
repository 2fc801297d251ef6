"""Lists out."""

from __future__ import annotations

import asyncio
from functools import cached_property, partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everbrook.events.log_intake import read_moment
from everbrook.http.direct import Answer, Outcome
from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.portions import Portions
from everbrook.http.room import Room, decoded
from everbrook.rank.requests import Explained, Recommend, Recommendation, Similar, Trending

_recommend_decoder = msgspec.json.Decoder(Recommend)


class AskSimilar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many items like one, and which."""

    k: int = 20
    filter: str | None = None


class AskTrending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the items with which most happens, where, and how far back."""

    k: int = 20
    scenario: str | None = None
    window: str = "1d"


class AskExplain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which item in whose list; the other fields are those of the list."""

    item: str
    user: str | None = None
    session: str | None = None
    scenario: str | None = None
    k: int = 20
    filter: str | None = None
    exclude_seen: bool | None = None
    at: str | None = None


class Lists(Room):
    """What is shown to users, and why."""

    is_computing = True
    operations = (
        Operation(
            "post", "/v1/recommend", "post_recommend", "A list for a user, a session, an item's page or a stranger.",
            "read", takes=Recommend, gives=Recommendation, errors=(400, 413, 503), example={"user": "u1", "k": 10},
            direct="take_wish",
        ),
        Operation(
            "get", "/v1/items/{id}/similar", "get_similar", "Items like one, whoever asks, and where they are like it.",
            "read", asks=AskSimilar, gives=Similar, errors=(400, 404, 503),
        ),
        Operation(
            "get", "/v1/trending", "get_trending", "What happens most lately, everywhere or in a scenario.",
            "read", asks=AskTrending, gives=Trending, errors=(400, 503),
        ),
        Operation(
            "get", "/v1/explain", "get_explain", "Why an item stands where it stands in a list, or what holds it back.",
            "read", asks=AskExplain, gives=Explained, errors=(400, 404, 503),
        ),
    )  # fmt: skip

    @cached_property
    def _portions(self) -> Portions:
        return Portions(lambda wishes: self.engine.recommend_many(wishes))

    async def post_recommend(self, request: Request) -> Response:
        """Make a list."""
        body, found = await self.body(request), asyncio.get_running_loop().create_future()
        self.take_wish(body, lambda outcome: None if found.done() else found.set_result(outcome))
        outcome: Outcome = await found
        if isinstance(outcome, Exception):
            raise outcome
        return Response(outcome, media_type="application/json")

    def take_wish(self, body: bytes, answer: Answer) -> None:
        """The same, without a task."""
        self._portions.add(decoded(_recommend_decoder, body, "A wish for a list"), answer)

    async def get_similar(self, request: Request) -> Response:
        """Items like one."""
        asked = self.questions(request, AskSimilar)
        return json_response(self.engine.similar(self.id_of(request), asked.k, filter=asked.filter))

    async def get_trending(self, request: Request) -> Response:
        """Items with which most happened."""
        asked = self.questions(request, AskTrending)
        return json_response(self.engine.trending(asked.k, scenario=asked.scenario, window=asked.window))

    async def get_explain(self, request: Request) -> Response:
        """Why an item stands where it stands."""
        fields = msgspec.structs.asdict(self.questions(request, AskExplain))
        at = fields.pop("at")
        moment = None if at is None else read_moment(at)
        call = partial(self.engine.explain, fields.pop("item"), at=moment, **fields)
        return json_response(await self.aside(call))
