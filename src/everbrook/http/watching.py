"""Seeing how it stands: status, whether it lives and is ready, the description of the interface."""

from __future__ import annotations

from importlib import resources

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from everbrook.errors import NotReadyError
from everbrook.http.failures import json_response
from everbrook.http.operation import Operation
from everbrook.http.room import Room


class Watching(Room):
    """What people and machines look at."""

    operations = (
        Operation("get", "/v1/status", "get_status", "Where everything stands.", "read"),
        Operation("get", "/healthz", "get_health", "Whether the process lives.", "open"),
        Operation("get", "/readyz", "get_ready", "Whether lists can be made.", "open", errors=(503,)),
        Operation("get", "/openapi.json", "get_openapi", "This description.", "open"),
        Operation("get", "/docs", "get_docs", "This description as a page.", "open", gives=str, media="text/html"),
    )  # fmt: skip

    async def get_status(self, request: Request) -> Response:
        """Where everything stands."""
        return json_response(await self.aside(self.engine.status))

    async def get_health(self, request: Request) -> Response:
        """Whether the process lives."""
        return json_response({"status": "ok"})

    async def get_ready(self, request: Request) -> Response:
        """Whether lists can be made."""
        if not await self.aside(self.engine.is_ready):
            raise NotReadyError("The engine is still catching up with its log.")
        return json_response({"ready": True})

    async def get_openapi(self, request: Request) -> Response:
        """The description of every route."""
        from everbrook.http.openapi import document  # it describes this room too

        return json_response(document())

    async def get_docs(self, request: Request) -> Response:
        """The page that shows the description; it loads nothing from elsewhere."""
        return HTMLResponse(resources.files("everbrook.http").joinpath("static/docs.html").read_text(encoding="utf-8"))
