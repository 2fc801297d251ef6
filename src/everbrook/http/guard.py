"""Who may come in and how much they may bring: keys, loopback, body sizes, request ids."""

from __future__ import annotations

import hmac
import ipaddress
import uuid
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everbrook.errors import SettingError
from everbrook.http.failures import KeyRefusedError, TooLargeError, from_everbrook, from_the_unexpected
from everbrook.settings.serve import ServeSettings

OPEN_PATHS = frozenset({"/docs", "/healthz", "/openapi.json", "/readyz"})
"""What may be asked without a key: whether the server lives, and how it is spoken to."""
REQUEST_ID = b"x-request-id"
MAX_REQUEST_ID_BYTES = 128


def check_address(settings: ServeSettings) -> None:
    """Refuse to listen beyond loopback without keys.

    Raises:
        SettingError: the address is not loopback and there are no keys.
    """
    if settings.keys or _is_loopback(settings.host):
        return
    raise SettingError(
        f"Setting 'serve.host' must be a loopback address where 'serve.keys' is empty; got '{settings.host}'.",
        "Give keys: EVERBROOK_SERVE_KEYS=a-long-secret",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Stands before every route: gives the request its id, checks its key, and answers what breaks out."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self.app = app
        self.keys = tuple(key.encode() for key in settings.keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        answered = False

        async def stamped(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id)]
            await send(message)

        if self.keys and scope["path"] not in OPEN_PATHS and not self._knows(headers.get(b"authorization", b"")):
            refusal = KeyRefusedError(
                "A key must be sent as 'Authorization: Bearer KEY'; got "
                + ("a key that is not known." if b"authorization" in headers else "none.")
            )
            await from_everbrook(Request(scope), refusal)(scope, receive, stamped)
            return
        try:
            await self.app(scope, receive, stamped)
        except Exception as error:  # the last wall: no fault may reach a client in another form
            if answered:
                raise
            await from_the_unexpected(Request(scope), error)(scope, receive, stamped)

    def _knows(self, header: bytes) -> bool:
        scheme, _, key = header.partition(b" ")
        return scheme.lower() == b"bearer" and any(hmac.compare_digest(key.strip(), known) for known in self.keys)


def _request_id(headers: dict[bytes, bytes]) -> bytes:
    given = headers.get(REQUEST_ID, b"")
    if 0 < len(given) <= MAX_REQUEST_ID_BYTES and given.isascii() and given.decode("ascii").isprintable():
        return given
    return uuid.uuid4().hex.encode()


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body of a request.

    Raises:
        TooLargeError: it is longer than the limit; the rest is not read.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(declared, limit_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit_bytes:
            raise _too_large(f"more than {limit_bytes}", limit_bytes)
    return bytes(body)


def _too_large(got: str, limit_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"A body must be at most {limit_bytes} bytes; got {got}.",
        "Send smaller batches, or raise the setting 'serve.body_limit_bytes'.",
    )


Endpoint = Callable[[Request], Awaitable[Response]]
