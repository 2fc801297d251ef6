"""A span for each request, where traces are wanted; the engine's own spans hang below it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everbrook.engine.spans import server_span
from everbrook.http.failures import OPERATION

UNFOUND = "no route"


class Traces:
    """Stands before everything else.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with server_span(UNFOUND, headers) as current:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    operation = scope.get(OPERATION)
                    route = UNFOUND if operation is None else operation.path
                    current.update_name(route if operation is None else f"{operation.method.upper()} {route}")
                    answered = {name: value for name, value in message["headers"] if name == b"x-request-id"}
                    current.set_attributes({
                        "http.route": route, "http.response.status_code": message["status"],
                        "everbrook.request": answered.get(b"x-request-id", b"").decode("latin-1"),
                    })  # fmt: skip
                await send(message)

            await self._app(scope, receive, noted)
