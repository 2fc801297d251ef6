"""Seeing how it stands: status, whether it lives and is ready, the description of the interface."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from everbrook.errors import NotReadyError
from everbrook.http.failures import json_response
from everbrook.http.gate import KEY
from everbrook.http.lately import Lately
from everbrook.http.meter import MEDIA, Meter
from everbrook.http.operation import Operation
from everbrook.http.room import Room
from everbrook.http.stream import Stream

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Settings


class Watching(Room):
    """What people and machines look at."""

    operations = (
        Operation(
            "get", "/v1/status", "get_status", "Where everything stands, and how fresh lists and weights are.", "read"
        ),
        Operation(
            "get", "/v1/stream", "get_stream", "A digest of the status twice a second, as server-sent events.", "read",
            gives=str, errors=(503,), media="text/event-stream",
        ),
        Operation(
            "get", "/metrics", "get_metrics", "Measurements as Prometheus reads them.", "read", gives=str,
            media="text/plain",
        ),
        Operation("get", "/healthz", "get_health", "Whether the process lives.", "open"),
        Operation("get", "/readyz", "get_ready", "Whether lists can be made.", "open", errors=(503,)),
        Operation("get", "/openapi.json", "get_openapi", "This description.", "open"),
        Operation("get", "/docs", "get_docs", "This description as a page.", "open", gives=str, media="text/html"),
    )  # fmt: skip

    def __init__(self, engine: Recommender, settings: Settings) -> None:
        super().__init__(engine, settings)
        self.meter, self.lately = Meter(engine), Lately()
        self.stream = Stream(engine.glance if engine is not None else dict, {"took": self.lately.told})

    def close(self) -> None:
        """Let those go who look at the stream."""
        self.stream.close()

    async def get_stream(self, request: Request) -> Response:
        """Digests for whoever looks."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":  # whose answer has no body, and therefore ends
            return Response(headers=headers, media_type="text/event-stream")
        digests = self.stream.join(request.scope.get(KEY))
        return StreamingResponse(digests, headers=headers, media_type="text/event-stream")

    async def get_metrics(self, request: Request) -> Response:
        """Measurements."""
        return Response(await self.aside(self.meter.text), media_type=MEDIA)

    async def get_status(self, request: Request) -> Response:
        """Where everything stands."""
        return json_response(await self.aside(self._status))

    def _status(self) -> dict[str, Any]:
        status = self.engine.status()
        told = status["live"].get("process", {}).get("freshness", {})
        to_weights = {name: told.get(name) for name in ("p50_ms", "p99_ms")} | {"measured": told.get("measured", 0)}
        return status | {"freshness": {"event_to_list": self.meter.to_list(), "event_to_weights": to_weights}}

    async def get_health(self, request: Request) -> Response:
        """Whether the process lives."""
        return json_response({"status": "ok"})

    async def get_ready(self, request: Request) -> Response:
        """Whether lists can be made."""
        if not await self.aside(self.engine.is_ready):
            raise NotReadyError("The engine is still catching up with its log, or compiles code for this machine.")
        return json_response({"ready": True})

    async def get_openapi(self, request: Request) -> Response:
        """The description of every route."""
        from everbrook.http.openapi import document  # it describes this room too

        return json_response(document())

    async def get_docs(self, request: Request) -> Response:
        """The page that shows the description; it loads nothing from elsewhere."""
        return HTMLResponse(resources.files("everbrook.http").joinpath("static/docs.html").read_text(encoding="utf-8"))
