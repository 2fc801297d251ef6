"""Backtests: the reports in the data directory, and replays and checks that run beside the server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from everbrook.evaluate.jobs import FOLDER, Jobs, Order
from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room
from everbrook.http.wishes import Nothing

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Settings


class Backtest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A replay of the server's own log."""

    name: Annotated[str, Meta(description="Of the report; one of the time is made where it is missing.")] = ""
    kind: Annotated[
        Literal["replay", "curve"], Meta(description="'curve' replays once for each delay: quality against staleness.")
    ] = "replay"
    days: Annotated[float, Meta(description="Days at the log's end that are scored; 0: its last tenth.")] = 0.0
    sample: Annotated[float, Meta(description="Share of the events that are scored.")] = 1.0
    control: Annotated[bool, Meta(description="Also with the order shuffled, where adapting must not gain.")] = False
    delays: Annotated[str, Meta(description="Of a curve, between an event and its effect.")] = "0s,10m,1d,never"


class Backtests(Room):
    """What a past log says of the lists that it would have got."""

    operations = (
        Operation("get", "/v1/backtests", "get_backtests", "The reports, newest first, and the job that runs.", "read"),
        Operation(
            "post", "/v1/backtests", "post_backtest", "Replay the log in a process of its own; lists go on.", "admin",
            takes=Backtest, errors=(400, 413, 503), example={"kind": "replay", "sample": 0.2},
        ),
        Operation(
            "post", "/v1/backtests/stop", "post_stop", "Stop the backtest or check that runs.", "admin", takes=Nothing,
            errors=(400, 413),
        ),
        Operation("get", "/v1/backtests/{id}", "get_backtest", "One report, all of it.", "read", errors=(400, 404)),
        Operation("get", "/v1/check", "get_check", "What the last check of the log found.", "read"),
        Operation(
            "post", "/v1/check", "post_check", "Check what is in the log, in a process of its own.", "admin",
            takes=Nothing, errors=(400, 413, 503),
        ),
    )  # fmt: skip

    def __init__(self, engine: Recommender, settings: Settings) -> None:
        super().__init__(engine, settings)
        self.jobs = Jobs(engine.path, engine.clock.now_ms) if engine is not None else None

    def close(self) -> None:
        """Stop what runs."""
        self._jobs.stop()

    @property
    def _jobs(self) -> Jobs:
        assert self.jobs is not None  # only a room without an engine has none, and nobody asks it
        return self.jobs

    async def get_backtests(self, request: Request) -> Response:
        """What there is."""
        found = await self.aside(self._jobs.reports)
        return json_response({"reports": found, "job": self._jobs.status()})

    async def get_backtest(self, request: Request) -> Response:
        """One report."""
        return json_response(await self.aside(self._jobs.read, self.id_of(request)))

    async def post_backtest(self, request: Request) -> Response:
        """Start one."""
        asked = await self.asked(request, Backtest, "A wish for a backtest")
        name = asked.name or f"{asked.kind}-{self._now_text()}"
        order = Order(
            path=str(self.engine.path), out=str(self._jobs.place(name)), settings=self.settings, name=name,
            kind=asked.kind, days=asked.days, sample=asked.sample, control=asked.control, delays=asked.delays,
        )  # fmt: skip
        return json_response(await self.aside(self._jobs.start, order))

    async def post_stop(self, request: Request) -> Response:
        """Stop it."""
        await self.asked(request, Nothing, "The body of this request")
        await self.aside(self._jobs.stop)
        return json_response({"job": self._jobs.status()})

    async def get_check(self, request: Request) -> Response:
        """What was found."""
        return json_response({"check": await self.aside(self._jobs.check), "job": self._jobs.status()})

    async def post_check(self, request: Request) -> Response:
        """Look now."""
        await self.asked(request, Nothing, "The body of this request")
        order = Order(
            path=str(self.engine.path), out=str(self.engine.path / FOLDER), settings=self.settings, name="check",
            kind="check", now_ms=self.engine.clock.now_ms(),
        )  # fmt: skip
        return json_response(await self.aside(self._jobs.start, order))

    def _now_text(self) -> str:
        from everbrook.evaluate.options import moment_text

        return re.sub(r"[^0-9T]", "", moment_text(self.engine.clock.now_ms()))
