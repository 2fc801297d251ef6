"""Requests that are answered without a task: their whole body is in memory, their route takes bytes and gives bytes.

What a request costs between the socket and the engine is otherwise more than an event costs inside it. Such a request
comes through the same gate and leaves in the same form as one on the ordinary way, which is taken by whatever is
unusual: other routes, questions behind '?', chunked or encoded bodies, bodies over the limit, 'Expect', requests behind
one that is not answered yet, pages of other sites, and everything while traces are made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias

from starlette.requests import Request

from everbrook.errors import EverbrookError
from everbrook.http.failures import OPERATION, from_everbrook, from_the_unexpected
from everbrook.http.gate import REQUEST_ID, Gate, check_key, given_id, new_id
from everbrook.http.operation import Operation

Outcome: TypeAlias = bytes | Exception
"""The JSON of a success, or what went wrong."""
Answer: TypeAlias = Callable[[Outcome], None]
"""Takes the outcome of a request, once, in the loop; at once or later."""
Call: TypeAlias = Callable[[bytes, Answer], None]
"""Handles a body: gives its outcome, or raises what went wrong."""

UNUSUAL = frozenset({b"expect", b"transfer-encoding", b"content-encoding", b"upgrade", b"origin"})
"""Headers of requests that go the ordinary way."""
MOST_HEADS, MOST_HEAD_BYTES = 1024, 2048  # that are known, and how long one of them may be
_END = b"\r\n\r\n"  # of a head
_CLOSE = b"connection: close\r\n"
_OK = (
    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: application/json\r\n" + REQUEST_ID
    + b": %b\r\n%b\r\n%b"
)  # fmt: skip


class Connection(Protocol):
    """Where an answer goes."""

    def send_whole(self, exchange: Exchange, told: bytes) -> None:
        """Send the answer of an exchange, head and body."""
        ...

    def on_response_complete(self) -> None:
        """The answer was sent, and the exchange is over."""
        ...


class _Unheard:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Route:
    """What is answered directly."""

    operation: Operation
    call: Call


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request says. Clients send the same one again and again."""

    route: Route
    method: str
    fields: list[tuple[bytes, bytes]]  # names in lower case
    headers: dict[bytes, bytes]
    length: int  # of the body
    keep_alive: bool
    request_id: bytes  # that it brings; empty where it brings none that may be
    is_known: bool = False  # whether a request with it was let in before


class Exchange:
    """One request and its answer. It stands where uvicorn keeps what a connection is at, and answers to its names.

    Args:
        gate: the rules.
        outbox: of answers that are sent together.
        connection: where the answer goes.
        head: of the request.
    """

    __slots__ = (
        "_began_s", "_body", "_connection", "_gate", "_held_bytes", "_operation", "_outbox", "_outcome", "_refusal",
        "_request_id", "disconnected", "head", "keep_alive", "response_complete",
    )  # fmt: skip
    message_event = _Unheard()

    def __init__(self, gate: Gate, outbox: Outbox, connection: Connection, head: Head) -> None:
        self._gate, self._outbox, self._connection, self.head = gate, outbox, connection, head
        self.keep_alive, self.disconnected, self.response_complete = head.keep_alive, False, False
        self._body: bytes | bytearray = b""
        self._held_bytes, self._outcome = 0, b""  # the second waits to be sent
        self._refusal: EverbrookError | None = None
        self._operation: Operation | None = None  # once the gate has let it in
        self._request_id, self._began_s = head.request_id or new_id(), time.perf_counter()
        try:
            key = gate.key_of(head.headers, head.is_known)
            self._operation = operation = head.route.operation
            if key is not None:
                check_key(operation, key)
        except EverbrookError as refusal:  # told when the request has arrived; its body is not kept
            self._refusal = refusal

    @property
    def response_started(self) -> bool:
        """Whether any of the answer has been sent."""
        return self.response_complete

    @property
    def is_refused(self) -> bool:
        """Whether the gate did not let it in."""
        return self._refusal is not None

    def take(self, part: bytes) -> None:
        """More of the body has come."""
        if self._refusal is not None:
            return
        try:
            self._gate.bodies.add(len(part), self._held_bytes)
        except EverbrookError as refusal:
            self._refusal, self._body = refusal, b""
            return
        self._held_bytes += len(part)
        if not self._body:
            self._body = part
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += part

    def handle(self) -> None:
        """The whole request has come."""
        try:
            if self._refusal is not None:
                raise self._refusal
            route = self.head.route
            route.call(bytes(self._body), self.answer_together if route.operation.together else self.answer)
        except Exception as error:  # noqa: BLE001  the last wall: no fault may reach a client in another form
            self.answer(error)

    def answer(self, outcome: Outcome) -> None:
        """Send the outcome, and tell the watchers; a second one is not heard."""
        if self.response_complete or self._outcome:
            return
        if isinstance(outcome, Exception):
            status, told = self._failed(outcome, b"" if self.keep_alive else _CLOSE)
        else:
            status, told = 200, self._succeeded(outcome)
        self._connection.send_whole(self, told)
        self._end(status)

    def answer_together(self, outcome: Outcome) -> None:
        """The same; a success is sent with the others of this turn of the loop."""
        if isinstance(outcome, Exception):
            self.answer(outcome)
        elif not (self.response_complete or self._outcome):
            self._outcome = outcome
            self._outbox.add(self)

    def send(self) -> None:
        """Send what waits in the outbox."""
        self._connection.send_whole(self, self._succeeded(self._outcome))

    def sent(self) -> None:
        """Tell the watchers of it."""
        self._end(200)

    def _succeeded(self, outcome: bytes) -> bytes:
        return _OK % (len(outcome), self._request_id, b"" if self.keep_alive else _CLOSE, outcome)

    def _end(self, status: int) -> None:
        self.response_complete, self._body = True, b""
        self._let_go()
        self._gate.told(self._operation, status, time.perf_counter() - self._began_s, self._request_id.decode())
        self._connection.on_response_complete()

    def _failed(self, error: Exception, close: bytes) -> tuple[int, bytes]:
        head = self.head
        request = Request({
            "type": "http", "method": head.method, "path": head.route.operation.path, "headers": head.fields,
            OPERATION: self._operation,
        })  # fmt: skip
        if isinstance(error, EverbrookError):
            response = from_everbrook(request, error)
        else:
            response = from_the_unexpected(request, error, self._request_id.decode())
        status = response.status_code
        headers = b"".join(b"%b: %b\r\n" % pair for pair in [*response.raw_headers, (REQUEST_ID, self._request_id)])
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
        return status, b"%b%b%b\r\n%b" % (line, headers, close, bytes(response.body))

    def leave(self) -> None:
        """The client has gone: what has come of its body is let go; what it asked for whole is done all the same."""
        self._let_go()

    def _let_go(self) -> None:
        self._gate.bodies.held_bytes -= self._held_bytes
        self._held_bytes = 0


class Outbox:
    """Answers that are sent one right after the other: who waits for several of them on this machine is woken once."""

    def __init__(self) -> None:
        self._waiting: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Send an answer soon."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append(exchange)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for exchange in waiting:
            exchange.send()
        for exchange in waiting:
            exchange.sent()


class Direct:
    """The routes that are answered directly.

    Args:
        gate: the rules, which the ordinary way shares.
        routes: by method in capitals and path.
        body_limit_bytes: larger bodies go the ordinary way, which refuses them.
    """

    def __init__(self, gate: Gate, routes: Mapping[tuple[str, str], Route], body_limit_bytes: int) -> None:
        self._gate, self._limit_bytes, self._heads = gate, body_limit_bytes, dict[bytes, Head]()
        self._outbox = Outbox()
        self._routes = {
            (method.encode(), path.encode()): route for (method, path), route in routes.items()
            if route.operation.scope != "open"
        }  # fmt: skip

    def exchange(
        self, connection: Connection, method: bytes, url: bytes, scope: dict[str, Any], keep_alive: bool
    ) -> Exchange | None:
        """Begin an exchange with a request whose head has come; None where it must go the ordinary way.

        Args:
            connection: where the answer goes.
            method: in capitals.
            url: as it was asked for.
            scope: as ASGI has it, with the headers.
            keep_alive: whether the connection stays open afterwards.
        """
        route = self._routes.get((method, url))
        if route is None:
            return None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or int(length) > self._limit_bytes or not UNUSUAL.isdisjoint(headers):
            return None
        fields = scope["headers"]
        head = Head(route, method.decode(), fields, headers, int(length), keep_alive, given_id(headers))
        return Exchange(self._gate, self._outbox, connection, head)

    def learn(self, data: bytes, exchange: object) -> None:
        """Know a head from now on where these bytes are the whole request that began an exchange, and nothing else."""
        if not isinstance(exchange, Exchange) or exchange.is_refused:
            return
        stop = data.find(_END, 0, MOST_HEAD_BYTES) + len(_END)
        if stop >= len(_END) and len(data) - stop == exchange.head.length and exchange.head.keep_alive:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            self._heads[data[:stop]] = replace(exchange.head, is_known=True)

    def known(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and the body of a whole request whose head is known, byte for byte; None for all others."""
        stop = data.find(_END, 0, MOST_HEAD_BYTES) + 4  # len(_END)
        head = self._heads.get(data[:stop]) if stop >= 4 else None
        return None if head is None or len(data) - stop != head.length else (head, data[stop:])

    def begin(self, connection: Connection, head: Head, body: bytes) -> Exchange:
        """Begin an exchange with a whole request whose head is known.

        Args:
            connection: where the answer goes.
            head: of the request.
            body: all of it.
        """
        exchange = Exchange(self._gate, self._outbox, connection, head)
        exchange.take(body)
        return exchange


__all__ = ["Answer", "Call", "Connection", "Direct", "Exchange", "Head", "Outcome", "Route"]
