"""Connections: how long a client may keep one, and what bytes that are no request are answered.

uvicorn's protocol with limits: the head of a request has a size, a request has a time to arrive, an answer a time to be
read, and there are only so many connections. What overruns is answered in the house's form and cut; the others notice
nothing. None of it costs a timer a request: one look a second goes over all connections. What can be answered directly
(`everbrook.http.direct`) is, and the rest goes to the application.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from http import HTTPStatus
from typing import Any

import httptools
import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from everbrook.http.direct import Direct, Exchange
from everbrook.http.failures import ErrorBody, Failure
from everbrook.http.gate import new_id
from everbrook.settings.serve import ServeSettings

CLOSING_S = 5.0  # how long an answer that closes its connection may lie unsent
BEHIND = 16  # requests that may wait on one connection before reading pauses
NO_LINGERING = struct.pack("ii", 1, 0)
EVICTED = 16  # one in so many connections goes where there are too many
_OFFER = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)", re.IGNORECASE)  # to speak HTTP/2 from here on


class _HeadTooLargeError(Exception):
    """Ends the reading of bytes in which a head is too large."""


class _UpgradeError(Exception):
    """Ends the reading of bytes in which a request wants to go on in another protocol, before anything is done."""


class Listening(uvicorn.Config):
    """uvicorn's configuration, with our limits.

    Args:
        app: the application.
        serve: the limits.
        direct: what is answered without it; nothing where None.
        options: uvicorn's own.
    """

    def __init__(self, app: Any, serve: ServeSettings, direct: Direct | None = None, **options: Any) -> None:
        super().__init__(
            app, http=PatientProtocol, timeout_keep_alive=serve.idle_timeout_s, backlog=serve.backlog, **options
        )
        self.serve, self.direct = serve, direct


class PatientProtocol(HttpToolsProtocol):
    """One connection."""

    config: Listening

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0  # at most: all that has come since the bytes with which the request in arrival began
        self._others_bytes = 0  # of them, those that may be of requests before it
        self._part_bytes = 0  # that came last
        self._since_s = self.loop.time()  # when the connection opened, or the request in arrival began
        self._arriving = self._in_head = False  # a request is; its head is
        self._is_first = False  # of the requests in the bytes that came
        self._answered: Any = None  # the request that is being answered, which need not be the last that was read
        self._unread_s: float | None = None  # since when the client leaves an answer unread
        self._closing_s: float | None = None
        self._is_deaf = False  # nothing more is read: the connection closes once what was asked whole is answered

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; where there are too many, those that do nothing go."""
        super().connection_made(transport)
        if len(self.connections) > self.config.serve.connections_limit:
            self._make_room()

    def _make_room(self) -> None:
        others = [one for one in self.connections if isinstance(one, PatientProtocol) and one is not self]
        idle = sorted((one for one in others if one.is_idle), key=lambda one: one._since_s)
        for one in idle[: max(1, len(others) // EVICTED)]:
            one._cut()
        if not idle:
            self.refuse(503, "overloaded", "The server must have a free connection; all are in use.")

    @property
    def is_idle(self) -> bool:
        """Whether no whole request of it is being answered."""
        return self._arriving or self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self.transport.is_closing() or self._is_deaf or (not self._arriving and self._is_known(data)):
            return
        self._is_first, is_new, before = True, not self._arriving, self.cycle
        if is_new:
            self._arriving, self._since_s, self._head_bytes, self._others_bytes = True, self.loop.time(), 0, 0
            self._in_head = True
        self._part_bytes = len(data)
        self._head_bytes += self._part_bytes
        if is_new and b"h2c" in data:  # bytes that go on in a head may begin its body anywhere
            data = _without_offer(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, UnicodeDecodeError) as error:
            if isinstance(error.__context__, _HeadTooLargeError):
                self._refuse_head()
            elif isinstance(error.__context__, _UpgradeError):
                self.refuse(400, "bad_request", "A request must be in HTTP/1.1 to its end; got a wish for another.")
            else:
                self.refuse(400, "bad_request", "A request must be HTTP/1.1; got bytes that are not.")
        else:
            if self._in_head and self._head_bytes - self._others_bytes > self.config.serve.head_limit_bytes:
                self._refuse_head()
            elif is_new and not self._arriving and self.cycle is not before and self.config.direct is not None:
                self.config.direct.learn(data, self.cycle)

    def _is_known(self, data: bytes) -> bool:
        """Whether the bytes are a whole request with a head that was read before; it is answered then."""
        direct, before = self.config.direct, self.cycle
        if direct is None or not (before is None or before.response_complete):
            return False
        found = direct.known(data)
        if found is None or not self._is_free():
            return False
        exchange = direct.begin(self, *found)
        self.cycle = self._answered = exchange  # type: ignore[assignment]  # it answers to the same names
        exchange.handle()
        return True

    def _is_free(self) -> bool:
        """Whether nothing of this connection waits to be answered or to be read."""
        before = self.cycle
        return (before is None or before.response_complete) and not (self.pipeline or self.flow.write_paused)

    def _refuse_head(self) -> None:
        limit = self.config.serve.head_limit_bytes
        self.refuse(
            431, "head_too_large",
            f"A request's head, its address and headers, must be at most {limit} bytes; got more. Send fewer or "
            "shorter headers; what is long belongs in the body.",
        )  # fmt: skip

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._arriving:  # behind another in the same bytes
            self._arriving, self._since_s = True, self.loop.time()
            self._head_bytes = self._others_bytes = self._part_bytes
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is whole; it is counted only where what came with it is more than a head may be.

        Raises:
            _HeadTooLargeError: it is.
            _UpgradeError: another protocol is wanted.
        """
        if self._head_bytes > self.config.serve.head_limit_bytes < self._counted_bytes():
            raise _HeadTooLargeError
        if self.parser.should_upgrade():
            raise _UpgradeError
        self._in_head = False
        exchange = self._exchange()
        self._is_first = False
        if exchange is None:
            super().on_headers_complete()
        else:
            self.cycle = self._answered = exchange  # type: ignore[assignment]  # it answers to the same names

    def _counted_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _exchange(self) -> Exchange | None:
        """The request whose head has come as one that is answered directly, where that may be."""
        direct = self.config.direct
        if direct is None or not self._is_first or not self._is_free() or self.parser.get_http_version() != "1.1":
            return None
        keep_alive = self.parser.should_keep_alive()
        return direct.exchange(self, self.parser.get_method(), self.url, self.scope, keep_alive)  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        """A part of a request's body has come."""
        if isinstance(self.cycle, Exchange):
            self.cycle.take(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has arrived whole."""
        self._arriving = False
        if isinstance(self.cycle, Exchange):
            self.cycle.handle()
        else:
            super().on_message_complete()

    def send_whole(self, exchange: Exchange, told: bytes) -> None:
        """Send the answer of an exchange, head and body."""
        if not exchange.disconnected and not self.transport.is_closing():
            self.transport.write(told)
            if not exchange.keep_alive:
                self.transport.close()

    def on_response_complete(self) -> None:
        """An answer has been sent: those that wait behind it come next. No timer is set, since `look` looks."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            if len(self.pipeline) > BEHIND:  # no more is read before these are answered
                self.flow.pause_reading()
        if not self._arriving:
            self._since_s = self.loop.time()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: nothing that was read from it is answered any more."""
        for cycle in (self._answered, *(waiting for waiting, _ in self.pipeline)):
            if isinstance(cycle, Exchange) and not cycle.response_complete:
                cycle.leave()
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's gives nothing, which closes at once
        """The client sends no more. What it has asked for whole and waits for is answered first, where it is short."""
        waiting = self.cycle
        if not isinstance(waiting, Exchange) or waiting.response_complete or self._arriving:
            return False
        waiting.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """The client does not read."""
        self._unread_s = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._unread_s = None
        super().resume_writing()

    def look(self, now_s: float) -> None:
        """Cut the connection where its time is over.

        Args:
            now_s: of the loop.
        """
        limits = self.config.serve
        if self.transport.is_closing():
            self._closing_s = now_s if self._closing_s is None else self._closing_s
            if now_s - self._closing_s > CLOSING_S:
                self._cut()
        elif self._unread_s is not None and now_s - self._unread_s > limits.send_timeout_s:
            self._cut()
        elif self._arriving and now_s - self._since_s > limits.receive_timeout_s:
            self.refuse(408, "too_slow", f"A request must arrive within {limits.receive_timeout_s:g} s; it did not.")
        elif self.is_idle and not self._arriving and now_s - self._since_s > limits.idle_timeout_s:
            self.transport.close()

    def _cut(self) -> None:
        """Let go at once: what lies unsent is thrown away by the kernel too."""
        found = self.transport.get_extra_info("socket")
        if found is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
        self.transport.abort()

    def refuse(self, status: int, kind: str, message: str) -> None:
        """Answer a connection that cannot go on, unless an answer has begun, and close it.

        Where a request that came whole is being answered, the connection closes behind that answer, and this one is not
        told: it would be taken for the answer to that request.
        """
        waiting, is_whole = self._answered, self._in_head or not self._arriving or self._answered is not self.cycle
        if waiting is not None and is_whole and not (waiting.response_complete or waiting.response_started):
            waiting.keep_alive, self._is_deaf, self._arriving = False, True, False
            self.pipeline.clear()
            return
        if waiting is None or waiting.response_complete or not waiting.response_started:
            body = msgspec.json.encode(ErrorBody(error=Failure(type=kind, message=message)))
            again = "retry-after: 1\r\n" if status == 503 else ""
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n{again}"
                f"x-request-id: {new_id().decode()}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
        self._arriving = False
        self.transport.close()


def _without_offer(data: bytes) -> bytes:
    """Bytes with which a head begins, without the offer to speak HTTP/2: who reads HTTP/1.1 ignores it.

    Source: RFC 9110, 7.8. Clients that would speak either make it with their first request.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _OFFER.sub(b"", head + end[:2]) + end[2:] + rest


def look_at_all(connections: Any, now_s: float) -> None:
    """Cut those connections whose time is over."""
    for one in list(connections):
        if isinstance(one, PatientProtocol):
            one.look(now_s)
