"""Lists out."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room, decoded
from everbrook.rank.requests import Recommend, Recommendation

_recommend_decoder = msgspec.json.Decoder(Recommend)


class Lists(Room):
    """What is shown to users, and why."""

    operations = (
        Operation(
            "post", "/v1/recommend", "post_recommend", "A list for a user, a session, an item's page or a stranger.",
            "read", takes=Recommend, gives=Recommendation, errors=(400, 413, 503), example={"user": "u1", "k": 10},
        ),
    )  # fmt: skip

    async def post_recommend(self, request: Request) -> Response:
        """Make a list."""
        wish = decoded(_recommend_decoder, await self.body(request), "A wish for a list")
        return json_response(self.engine.recommend(wish))
