"""Made traffic: so that an empty installation can be watched learning. Marked, and for administrators alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room
from everbrook.testing.playing import Playing

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Settings


class Play(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is played, and how fast."""

    source: Annotated[str, Meta(description="A made world ('shop', 'news', 'flip'), or 'log': the log's last day.")]
    per_s: Annotated[float, Meta(description="Events a second.")] = 50.0


class StopPlaying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Play no more."""

    hide: Annotated[bool, Meta(description="Whether the made items are hidden from lists.")] = False


class MadeTraffic(Room):
    """Plays events that nobody did."""

    operations = (
        Operation("get", "/v1/made-traffic", "get_made_traffic", "Whether made events are played, and which.", "read"),
        Operation(
            "post", "/v1/made-traffic", "post_made_traffic",
            "Play a made world, or the log's last day, as if it happened now; every event is marked as made.", "admin",
            takes=Play, errors=(400, 413, 503), example={"source": "shop", "per_s": 50},
        ),
        Operation(
            "post", "/v1/made-traffic/stop", "post_stop", "Play no more.", "admin", takes=StopPlaying,
            errors=(400, 413, 503),
        ),
    )  # fmt: skip

    def __init__(self, engine: Recommender, settings: Settings) -> None:
        super().__init__(engine, settings)
        self.playing = Playing(engine)

    def close(self) -> None:
        """Play no more."""
        self.playing.stop()

    async def get_made_traffic(self, request: Request) -> Response:
        """How it stands."""
        return json_response(self.playing.status())

    async def post_made_traffic(self, request: Request) -> Response:
        """Begin."""
        asked = await self.asked(request, Play, "A wish for made traffic")
        return json_response(await self.aside(self.playing.start, asked.source, asked.per_s))

    async def post_stop(self, request: Request) -> Response:
        """End."""
        asked = await self.asked(request, StopPlaying, "A wish for the end of made traffic")
        return json_response(await self.aside(self.playing.stop, asked.hide))
