"""The rules of the door, whichever way a request takes: keys and their scopes, loopback, rates, memory, request ids.

`Guard` holds them before every route; `direct` holds the same before the few that are answered without one.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from everbrook.errors import NotReadyError, OverloadedError, SettingError
from everbrook.http.failures import OPERATION, KeyRefusedError, ScopeRefusedError
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

Scope = MutableMapping[str, Any]
"""What ASGI calls so: all that is known of a request."""


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
        self.add(size_bytes, own)
        scope[HELD] = own + size_bytes

    def add(self, size_bytes: int, own: int) -> None:
        """Count more bytes of a request's body; who counts them takes them off `held_bytes` again.

        Args:
            size_bytes: that come.
            own: of the same body, that were counted before.

        Raises:
            OverloadedError: there is too much already.
        """
        if self.held_bytes > own and self.held_bytes + size_bytes > self._limit_bytes:
            raise OverloadedError(
                f"Bodies of requests may take {self._limit_bytes} bytes of memory together; they do.",
                "Send it again in a second.",
            )
        self.held_bytes += size_bytes

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


class Gate:
    """Who may come in, how often, and with how much; tells the watchers of each answer.

    Args:
        settings: the limits, and keys where no keyring is given.
        keyring: who is let in.
        open_paths: what may be asked without a key.
        watchers: told of each answer.
    """

    def __init__(
        self, settings: ServeSettings, keyring: Keyring | None = None, open_paths: frozenset[str] = OPEN_PATHS,
        watchers: tuple[Watcher, ...] = (),
    ) -> None:  # fmt: skip
        self._answered = tuple(watcher.answered for watcher in watchers)
        self._open_paths, self._origins = open_paths, settings.cors_origins
        self._keyring = Keyring(settings.keys) if keyring is None else keyring
        self._rates, self._is_limited = Rates(settings.request_rate, settings.request_burst), settings.request_rate > 0
        self.bodies = Bodies(settings.bodies_mb << 20)

    def let_in(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Check the key and the rate of a request; its key lies in the scope from then on.

        Raises:
            EverbrookError: it may not come in.
        """
        if self._keyring.locked and scope["path"] in self._open_paths:
            return
        scope[KEY] = self.key_of(headers)

    def key_of(self, headers: dict[bytes, bytes], is_page_known: bool = False) -> Key | None:
        """The key of a request that may come in; None where none is needed.

        Args:
            headers: of the request.
            is_page_known: whether the page that asks was found to be one that may.

        Raises:
            EverbrookError: it may not come in.
        """
        if not self._keyring.locked:
            if not is_page_known:
                check_page(headers, self._origins)
            if self._is_limited:
                self._rates.take(NOBODY, time.monotonic())
            return None
        key = self._key(headers.get(b"authorization", b""))
        if key is None:
            raise KeyRefusedError(
                "A key must be sent as 'Authorization: Bearer KEY'; got "
                + ("a key that is not known." if b"authorization" in headers else "none.")
            )
        if self._is_limited:
            self._rates.take(key.id, time.monotonic())
        return key

    def _key(self, header: bytes) -> Key | None:
        scheme, _, secret = header.partition(b" ")
        return self._keyring.find(secret.strip()) if scheme.lower() == b"bearer" else None

    def admits(self, key: Key | None) -> bool:
        """Whether who came in with a key, or without one, would still be let in."""
        return self._keyring.admits(key)

    def note(self, scope: Scope, status: int, took_s: float, request_id: str) -> None:
        """Tell the watchers of an answer."""
        self.told(scope.get(OPERATION), status, took_s, request_id)

    def told(self, operation: Operation | None, status: int, took_s: float, request_id: str) -> None:
        """The same where the route is at hand; None where none was found."""
        route, method = (operation.path, operation.method) if operation is not None else ("none", "none")
        for answered in self._answered:
            answered(method, route, status, took_s, request_id)


def check_warm(is_warm: Callable[[], bool]) -> None:
    """Refuse a request while the code that it needs is compiled, or loaded.

    Raises:
        NotReadyError: it is.
    """
    if not is_warm():
        raise NotReadyError(
            "The engine is not ready: it loads or compiles code for this machine, the latter once and for minutes.",
            "Send it again when /readyz answers 200.",
        )


def check_scope(operation: Operation, scope: Scope) -> None:
    """Refuse a request whose key is for something else; whatever becomes of it, its route is known from then on.

    Raises:
        ScopeRefusedError: it is.
    """
    scope[OPERATION] = operation
    check_key(operation, scope.get(KEY))


def check_key(operation: Operation, key: Key | None) -> None:
    """Refuse a key that is for something else; None is the key of who needs none.

    Raises:
        ScopeRefusedError: it is.
    """
    if key is not None and operation.scope != "open" and not key.may(operation.scope):
        raise ScopeRefusedError(
            f"This route must be asked with a key for '{operation.scope}'; this one is for "
            f"{' and '.join(key.scopes)}.",
        )


def request_id_of(headers: dict[bytes, bytes]) -> bytes:
    """The id that a request brought, where it is short and readable; else one that no other has."""
    return given_id(headers) or new_id()


def given_id(headers: dict[bytes, bytes]) -> bytes:
    """The id that a request brought, where it is short and readable; else nothing."""
    given = headers.get(REQUEST_ID, b"")
    fits = 0 < len(given) <= MAX_REQUEST_ID_BYTES and given.isascii() and given.decode("ascii").isprintable()
    return given if fits else b""


def new_id() -> bytes:
    """An id that no other request has."""
    return b"%b%012x" % (_RUN, next(_numbers))
