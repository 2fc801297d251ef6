"""Who may come in and how much they may bring: keys and their scopes, loopback, rates, body sizes, request ids."""

from __future__ import annotations

import ipaddress
import itertools
import os
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everbrook.errors import EverbrookError, OverloadedError, SettingError
from everbrook.http.failures import (
    OPERATION,
    KeyRefusedError,
    ScopeRefusedError,
    TooLargeError,
    from_everbrook,
    from_the_unexpected,
)
from everbrook.http.keys import Key, Keyring
from everbrook.http.operation import Operation
from everbrook.http.origins import check_page
from everbrook.http.rates import Rates
from everbrook.settings.serve import ServeSettings

OPEN_PATHS = frozenset({"/docs", "/healthz", "/openapi.json", "/readyz"})
"""What may be asked without a key: whether the server lives, and how it is spoken to."""
REQUEST_ID = b"x-request-id"
MAX_REQUEST_ID_BYTES = 128
KEY = "everbrook.key"  # in ASGI's scope: the key that was presented
HELD = "everbrook.held"  # in ASGI's scope: bytes of the body that are in memory
BODIES = "everbrook.bodies"  # in ASGI's scope: who counts them
_RUN = os.urandom(10).hex().encode()  # of this process: to ask for chance at each request would cost more than all else
_numbers = itertools.count()
NOBODY = "nobody"  # whose bucket requests without a key take from

Endpoint = Callable[[Request], Awaitable[Response]]


class Watcher(Protocol):
    """Is told of each answer."""

    def answered(self, method: str, route: str, status: int, took_s: float, request_id: str) -> None:
        """A request was answered; route and method are 'none' where it found no route."""
        ...


class Bodies:
    """Counts the bytes of all bodies in memory, from their first byte to the answer.

    Args:
        limit_bytes: the most there may be; a single body always may.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self.held_bytes = limit_bytes, 0

    def hold(self, scope: Scope, size_bytes: int) -> None:
        """More of a request's body comes.

        Raises:
            OverloadedError: there is too much already.
        """
        own = scope.get(HELD, 0)
        if self.held_bytes > own and self.held_bytes + size_bytes > self._limit_bytes:
            raise OverloadedError(
                f"Bodies of requests may take {self._limit_bytes} bytes of memory together; they do.",
                "Send it again in a second.",
            )
        self.held_bytes += size_bytes
        scope[HELD] = own + size_bytes

    def let_go(self, scope: Scope) -> None:
        """A request was answered."""
        self.held_bytes -= scope.pop(HELD, 0)


def check_address(settings: ServeSettings, locked: bool = False) -> None:
    """Refuse to listen beyond loopback without keys.

    Args:
        settings: the address, and keys.
        locked: whether there are keys elsewhere too.

    Raises:
        SettingError: the address is not loopback and there are no keys.
    """
    if settings.keys or locked or _is_loopback(settings.host):
        return
    raise SettingError(
        f"Setting 'serve.host' must be a loopback address where 'serve.keys' is empty; got '{settings.host}'.",
        "Make a key: everbrook keys new --scope admin",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Stands before every route: gives the request its id, checks its key and rate, and answers what breaks out.

    Args:
        app: what stands behind.
        settings: the limits, and keys where no keyring is given.
        keyring: who is let in.
        open_paths: what may be asked without a key.
        watchers: told of each answer.
    """

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, keyring: Keyring | None = None,
        open_paths: frozenset[str] = OPEN_PATHS, watchers: tuple[Watcher, ...] = (),
    ) -> None:  # fmt: skip
        self._watchers = watchers
        self.app, self._open_paths, self._origins = app, open_paths, settings.cors_origins
        self._keyring = Keyring(settings.keys) if keyring is None else keyring
        self._rates = Rates(settings.request_rate, settings.request_burst)
        self._bodies = Bodies(settings.bodies_mb << 20)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        scope[BODIES] = self._bodies
        request_id = _request_id(headers)
        answered, began_s = 0, time.perf_counter()

        async def stamped(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
                self._note(scope, answered, time.perf_counter() - began_s, request_id)
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id)]
            await send(message)

        try:
            self._let_in(scope, headers)
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
            self._bodies.let_go(scope)

    def _note(self, scope: Scope, status: int, took_s: float, request_id: bytes) -> None:
        operation: Operation | None = scope.get(OPERATION)
        route, method = (operation.path, operation.method) if operation is not None else ("none", "none")
        for watcher in self._watchers:
            watcher.answered(method, route, status, took_s, request_id.decode())

    def _let_in(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Check the key and the rate of a request."""
        if not self._keyring.locked:
            check_page(headers, self._origins)
            scope[KEY] = None
            self._rates.take(NOBODY, time.monotonic())
            return
        if scope["path"] in self._open_paths:
            return
        key = self._key(headers.get(b"authorization", b""))
        if key is None:
            raise KeyRefusedError(
                "A key must be sent as 'Authorization: Bearer KEY'; got "
                + ("a key that is not known." if b"authorization" in headers else "none.")
            )
        scope[KEY] = key
        self._rates.take(key.id, time.monotonic())

    def _key(self, header: bytes) -> Key | None:
        scheme, _, secret = header.partition(b" ")
        return self._keyring.find(secret.strip()) if scheme.lower() == b"bearer" else None


def locked(operation: Operation, endpoint: Endpoint) -> Endpoint:
    """A route's endpoint, answering only to keys that are for it."""

    async def behind(request: Request) -> Response:
        request.scope[OPERATION] = operation
        key: Key | None = request.scope.get(KEY)
        if key is not None and operation.scope != "open" and not key.may(operation.scope):
            raise ScopeRefusedError(
                f"This route must be asked with a key for '{operation.scope}'; this one is for "
                f"{' and '.join(key.scopes)}.",
            )
        return await endpoint(request)

    return behind


def _request_id(headers: dict[bytes, bytes]) -> bytes:
    given = headers.get(REQUEST_ID, b"")
    if 0 < len(given) <= MAX_REQUEST_ID_BYTES and given.isascii() and given.decode("ascii").isprintable():
        return given
    return b"%b%012x" % (_RUN, next(_numbers))


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body of a request.

    Raises:
        TooLargeError: it is longer than the limit; the rest is not read.
        OverloadedError: the bodies of all requests take too much memory.
    """
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
