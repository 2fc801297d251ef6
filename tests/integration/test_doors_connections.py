"""Slow, half-open and malformed connections: each is answered or cut in its time, and nobody else notices."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.http.keys import Keyring
from everbrook.http.server import bind, build_server
from everbrook.settings import load_settings

SETTINGS = load_settings(environment={}, assignments=[
    "serve.port=0", "serve.receive_timeout_s=1.2", "serve.send_timeout_s=1", "serve.idle_timeout_s=2",
    "serve.connections_limit=40", "serve.head_limit_bytes=4096", "serve.body_limit_bytes=100000",
    'mixture.experts=["popularity"]',
]).settings  # fmt: skip
LIMIT_S = 30.0
PING = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server in a thread, and where it listens."""
    ready = threading.Event()
    with Recommender.open(tmp_path_factory.mktemp("doors") / "data", SETTINGS) as engine:
        listening = bind(SETTINGS.serve)
        server = build_server(engine, SETTINGS, Keyring(()), ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        assert ready.wait(LIMIT_S)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(LIMIT_S)
        assert not thread.is_alive()
        listening.close()


@pytest.fixture
def connected(port: int) -> Iterator[Callable[[], socket.socket]]:
    """Opens connections, closed at the end."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def _read(one: socket.socket) -> bytes:
    """Everything until the other side closes."""
    told = b""
    while True:
        try:
            part = one.recv(65536)
        except ConnectionResetError:
            return told
        if not part:
            return told
        told += part


def _answer(one: socket.socket) -> tuple[int, Any]:
    """Status and body of one answer on a connection that may stay open."""
    told = b""
    while b"\r\n\r\n" not in told:
        part = one.recv(65536)
        assert part, told
        told += part
    head, _, body = told.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head)
    assert found, head
    while len(body) < int(found[1]):
        body += one.recv(65536)
    return int(head.split()[1]), json.loads(body[: int(found[1])])


def _others_are_served(connect: Callable[[], socket.socket]) -> None:
    begun = time.monotonic()
    one = connect()
    one.sendall(PING)
    assert _answer(one) == (200, {"status": "ok"})
    assert time.monotonic() - begun < LIMIT_S / 3


MALFORMED = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # someone speaks TLS
    b"GET / HTTP/9.9\r\n\r\n", b"NOT A REQUEST\r\n\r\n", b"GET  /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /v1/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nno colon here\r\n\r\n",
    b"GET /v1/items/%ff%fe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
]


@pytest.mark.parametrize("sent", MALFORMED)
def test_what_is_no_request_is_answered_in_the_house_form(connected: Callable[[], socket.socket], sent: bytes) -> None:
    one = connected()
    one.sendall(sent)
    told = _read(one)
    status = int(told.split()[1])
    assert 400 <= status < 500, told
    assert set(json.loads(told.partition(b"\r\n\r\n")[2])["error"]) == {"type", "message", "hint"}
    assert b"\r\nx-request-id: " in told.lower()
    _others_are_served(connected)


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
"""What clients send that would speak HTTP/2 too; who does not answers as if it were not there."""


def test_who_offers_http2_is_answered_in_http1_and_goes_on(connected: Callable[[], socket.socket]) -> None:
    one, body = connected(), b'{"events": [{"user": "h2c", "item": "i", "id": "Upgrade: h2c"}]}'
    for _ in range(2):
        one.sendall(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n" % (H2C, len(body)))
        time.sleep(0.01)
        one.sendall(body)
        status, told = _answer(one)
        assert (status, told["accepted"] + told["duplicates"]) == (200, 1)
    one.sendall(b"GET /v1/users/h2c HTTP/1.1\r\n%sHost: localhost\r\n\r\n" % H2C)
    status, told = _answer(one)
    assert (status, len(told["events"])) == (200, 1)


def test_a_body_that_says_the_same_as_an_offer_is_left_whole_wherever_it_is_cut(
    connected: Callable[[], socket.socket]
) -> None:
    body = b'{"items": [{"id": "i",\r\nupgrade: h2c\r\n"title": "t"}]}'
    head = b"POST /v1/items HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    for cut in (len(head), len(head) - 1, len(head) - 2, len(head) + 5):
        one = connected()
        one.sendall((head + body)[:cut])
        time.sleep(0.02)
        one.sendall((head + body)[cut:] + PING.replace(b"Host", b"Connection: close\r\nHost"))
        told = _read(one)
        assert re.findall(rb"HTTP/1.1 (\d+)", told) == [b"400", b"200"], told  # the first: it is no JSON
        assert told.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c, websocket", b"HTTP/2.0"])
def test_nothing_of_a_request_for_another_protocol_is_done(
    connected: Callable[[], socket.socket], protocol: bytes
) -> None:
    one, body = connected(), b'{"events": [{"user": "stays", "item": "i"}]}'
    one.sendall(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert _answer(one)[0] == 200
    wish = b"DELETE /v1/users/stays HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % protocol
    one.sendall(wish)
    status, told = _answer(one)
    assert (status, told["error"]["type"]) == (400, "bad_request")
    other = connected()
    other.sendall(b"GET /v1/users/stays HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert _answer(other)[0] == 200


@pytest.mark.parametrize("what", [b"events", b"items"], ids=["direct", "ordinary"])
def test_what_came_whole_is_answered_though_no_request_comes_behind_it(
    connected: Callable[[], socket.socket], what: bytes
) -> None:
    one = connected()
    body = {b"events": b'{"events": [{"user": "u", "item": "i"}]}', b"items": b'{"items": [{"id": "i"}]}'}[what]
    head = b"POST /v1/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (what, len(body))
    one.sendall(head + body + b"\x16\x03\x01 no request\r\n\r\n")
    assert _answer(one)[0] == 200
    behind = _read(one)
    assert not behind or behind.startswith(b"HTTP/1.1 400 ")


def test_the_head_of_the_stream_ends(connected: Callable[[], socket.socket]) -> None:
    one = connected()
    one.sendall(b"HEAD /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    told = b""
    while b"\r\n\r\n" not in told:
        told += one.recv(65536)
    assert b"content-type: text/event-stream" in told
    one.sendall(PING)
    assert _answer(one) == (200, {"status": "ok"})


def test_a_head_without_end_is_refused(connected: Callable[[], socket.socket]) -> None:
    one = connected()
    one.sendall(b"GET /healthz HTTP/1.1\r\n" + b"X-Much: " + b"a" * 5000)
    told = _read(one)
    assert told.startswith(b"HTTP/1.1 431 ")
    assert json.loads(told.partition(b"\r\n\r\n")[2])["error"]["type"] == "head_too_large"


EVENTS = b'{"events": [{"user": "u", "item": "i"}]%s}' % (b" " * 50_000)
MUCH = b"X-Much: " + b"a" * 4096 + b"\r\n"
LARGE_HEADS = [
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % MUCH,
    b"GET /healthz?q=%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * 4096),
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % b"".join(b"X-%d: a\r\n" % n for n in range(600)),
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s" % (MUCH, len(EVENTS), EVENTS),
    b"POST /v1/items HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 2\r\n\r\n{}" % MUCH,
]


@pytest.mark.parametrize("sent", LARGE_HEADS, ids=["header", "address", "many", "direct", "ordinary"])
def test_a_large_head_is_refused_in_one_piece_and_in_many(
    connected: Callable[[], socket.socket], sent: bytes
) -> None:
    one = connected()
    one.sendall(sent)
    assert _read(one).startswith(b"HTTP/1.1 431 ")
    behind = connected()
    behind.sendall(PING)
    assert _answer(behind)[0] == 200
    for start in range(0, 6000, 500):
        try:
            behind.sendall(sent[start : start + 500])
        except (BrokenPipeError, ConnectionResetError):
            break
        time.sleep(0.002)
    assert _read(behind).startswith(b"HTTP/1.1 431 ")
    _others_are_served(connected)


def test_a_small_head_is_no_large_one_whatever_comes_with_it(connected: Callable[[], socket.socket]) -> None:
    post = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(EVENTS), EVENTS)
    near = PING[:-2] + b"X-Much: " + b"a" * 3900 + b"\r\n\r\n"  # just below the limit
    one = connected()
    for sent in (post, near, post + near + PING, near + near + near, PING * 300):
        one.sendall(sent)
        for _ in range(sent.count(b" HTTP/1.1\r\n")):
            assert _next(one) == 200


def _next(one: socket.socket) -> int:
    """Status of the next answer, of which no byte too many is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = one.recv(1)
        assert part, head
        head += part
    found = re.search(rb"content-length: (\d+)", head)
    assert found, head
    assert len(one.recv(int(found[1]), socket.MSG_WAITALL)) == int(found[1])
    return int(head.split()[1])


@pytest.mark.parametrize("sent", [
    b"GET /healthz HTTP/1.1\r\nHost: loc",
    b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n{\"events\": [",
])
def test_a_request_that_arrives_too_slowly_is_told_so_and_cut(
    connected: Callable[[], socket.socket], sent: bytes
) -> None:
    one = connected()
    one.sendall(sent)
    begun = time.monotonic()
    one.settimeout(0.2)
    told = b""
    while time.monotonic() - begun < LIMIT_S and not told:
        try:
            one.sendall(b" ")  # a byte now and then does not prolong it
            told = one.recv(65536)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in told
    assert time.monotonic() - begun > 1.0
    _others_are_served(connected)


def test_a_connection_that_says_nothing_is_closed(connected: Callable[[], socket.socket]) -> None:
    one = connected()
    assert _read(one) == b""


def test_a_client_that_goes_away_in_the_middle_harms_nobody(
    connected: Callable[[], socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        one = connected()
        one.sendall(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n{")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        one.close()
    _others_are_served(connected)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("path", ["events", "recommend"])
def test_who_says_no_more_after_a_whole_request_is_answered_and_then_let_go(
    connected: Callable[[], socket.socket], path: str
) -> None:
    one = connected()
    body = json.dumps({"events": [{"user": "half", "item": "i1"}]} if path == "events" else {"user": "half"}).encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    one.sendall(head.encode() + body)
    one.shutdown(socket.SHUT_WR)
    told = _read(one)
    assert told.startswith(b"HTTP/1.1 200 OK\r\n"), told
    assert json.loads(told.partition(b"\r\n\r\n")[2])


def test_a_client_that_reads_nothing_is_cut(connected: Callable[[], socket.socket]) -> None:
    one = connected()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    one.settimeout(0.2)
    end = time.monotonic() + LIMIT_S
    cut = False
    while not cut and time.monotonic() < end:
        try:
            one.sendall(ask * 20)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            cut = True
    assert cut
    _others_are_served(connected)


def test_more_half_open_connections_than_there_is_room_for_keep_nobody_out(
    connected: Callable[[], socket.socket],
) -> None:
    held = [connected() for _ in range(38)]
    for one in held:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
    for _ in range(10):
        _others_are_served(connected)


def test_requests_behind_one_another_on_one_connection_are_all_answered(
    connected: Callable[[], socket.socket],
) -> None:
    one = connected()
    one.sendall(PING * 5)
    told = b""
    while told.count(b'{"status":"ok"}') < 5:
        part = one.recv(65536)
        assert part, told
        told += part
    body = b'{"events": [{"user": "u", "item": "i"}]}'
    one.sendall(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
    time.sleep(0.01)
    one.sendall(body)
    assert _answer(one)[1]["accepted"] == 1


def test_the_stream_goes_on_and_a_client_that_leaves_it_is_forgotten(connected: Callable[[], socket.socket]) -> None:
    one = connected()
    one.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    told = b""
    while told.count(b"event: status\ndata: {") < 3:
        part = one.recv(65536)
        assert part, told
        told += part
    assert b"content-type: text/event-stream" in told
    one.close()
    _others_are_served(connected)
