"""Shortcuts: a path without variables goes to its endpoint by one look into a table, past the router's patterns."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from everbrook.errors import EverbrookError
from everbrook.http.failures import from_everbrook
from everbrook.http.guard import Endpoint

Key = tuple[str, str]
"""Method in capitals, and path."""


class Shortcuts:
    """Stands before the router; what it does not know goes on to it.

    Args:
        app: the router.
        endpoints: by method and path.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[Key, Endpoint]) -> None:
        self._app, self._endpoints = app, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        endpoint = self._endpoints.get((scope.get("method", ""), scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except EverbrookError as error:
            response = from_everbrook(request, error)
        await response(scope, receive, send)
