"""The wall before every route: gives the request its id, lets it through the gate, and answers what breaks out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everbrook.errors import EverbrookError, UnknownNameError
from everbrook.http.failures import EncodedError, TooLargeError, from_everbrook, from_the_unexpected
from everbrook.http.gate import BODIES, REQUEST_ID, Bodies, Gate, check_address, check_scope, check_warm, request_id_of
from everbrook.http.operation import Operation

Endpoint = Callable[[Request], Awaitable[Response]]


class Guard:
    """Stands before every route.

    Args:
        app: what stands behind.
        gate: the rules.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        scope[BODIES] = self._gate.bodies
        request_id = request_id_of(headers)
        answered, began_s = 0, time.perf_counter()

        async def stamped(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
                self._gate.note(scope, answered, time.perf_counter() - began_s, request_id.decode())
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id)]
            await send(message)

        try:
            self._gate.let_in(scope, headers)
        except EverbrookError as refusal:
            await from_everbrook(Request(scope), refusal)(scope, receive, stamped)
            return
        try:
            await self.app(scope, receive, stamped)
        except ClientDisconnect:  # went away in the middle of its own sentence
            return
        except Exception as error:  # the last wall: no fault may reach a client in another form
            if answered:
                raise
            await from_the_unexpected(Request(scope), error, request_id.decode())(scope, receive, stamped)
        finally:
            self._gate.bodies.let_go(scope)


def locked(operation: Operation, endpoint: Endpoint) -> Endpoint:
    """A route's endpoint, answering only to keys that are for it, and to no questions where it takes none."""
    is_unasked = operation.is_strict and operation.asks is None

    async def behind(request: Request) -> Response:
        check_scope(operation, request.scope)
        if is_unasked and request.scope.get("query_string"):
            for name in request.query_params:
                raise UnknownNameError("field", name, ())
        return await endpoint(request)

    return behind


def once_warm(is_warm: Callable[[], bool], endpoint: Endpoint) -> Endpoint:
    """A route's endpoint, refusing while what it needs is compiled: it would hold up all others behind it."""

    async def behind(request: Request) -> Response:
        check_warm(is_warm)
        return await endpoint(request)

    return behind


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body of a request.

    Raises:
        EncodedError: it is compressed, or encoded otherwise; it is not read.
        TooLargeError: it is longer than the limit; the rest is not read.
        OverloadedError: the bodies of all requests take too much memory.
    """
    encoding = request.headers.get("content-encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        raise EncodedError(
            f"A body must come as it is, without 'Content-Encoding'; got '{encoding[:40]}'.",
            "Send the JSON itself, uncompressed.",
        )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(declared, limit_bytes)
    bodies: Bodies | None = request.scope.get(BODIES)
    body = bytearray()
    async for part in request.stream():
        if bodies is not None:
            bodies.hold(request.scope, len(part))
        body += part
        if len(body) > limit_bytes:
            raise _too_large(f"more than {limit_bytes}", limit_bytes)
    return bytes(body)


def _too_large(got: str, limit_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"A body must be at most {limit_bytes} bytes; got {got}.",
        "Send smaller batches, or raise the setting 'serve.body_limit_bytes'.",
    )


__all__ = ["Bodies", "Endpoint", "Guard", "check_address", "locked", "once_warm", "read_body"]
