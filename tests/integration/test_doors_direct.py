"""Events answered without a task: the same rules and answers as on the ordinary way, in every corner of HTTP."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.errors import StorageError
from everbrook.events.log_writer import Job
from everbrook.http import direct
from everbrook.http.keys import Keyring
from everbrook.http.server import bind, build_server
from everbrook.settings import load_settings

SETTINGS = load_settings(environment={}, assignments=[
    "serve.port=0", "serve.body_limit_bytes=20000", "serve.batch_limit=50", "serve.log_requests=all",
    'mixture.experts=["popularity"]', "learner.mode=off", "log.waiting_mb=1",
]).settings  # fmt: skip
LIMIT_S = 30.0
RATED = ("write:write-key", "read:read-key", "write:slow-key")


class Door:
    """A server in a thread.

    Args:
        engine: what it answers from.
        keys: who is let in.
        rate: requests a second for each key; 0: any.
    """

    def __init__(self, engine: Recommender, keys: tuple[str, ...] = (), rate: float = 0.0) -> None:
        self.engine = engine
        self._lines: list[Line] = []
        serve = msgspec.structs.replace(SETTINGS.serve, request_rate=rate, request_burst=4)
        settings = msgspec.structs.replace(SETTINGS, serve=serve)
        self._listening, self._ready = bind(serve), threading.Event()
        self.server = build_server(engine, settings, Keyring(keys), self._ready.set)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._listening]})
        self.gate = self.server.config.app.state.gate  # type: ignore[union-attr]

    def __enter__(self) -> Door:
        self._thread.start()
        assert self._ready.wait(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.server.should_exit = True
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        self._listening.close()

    def connect(self) -> Line:
        """A connection, closed by `hang_up`."""
        self._lines.append(Line(socket.create_connection(self._listening.getsockname(), timeout=LIMIT_S)))
        return self._lines[-1]

    def hang_up(self) -> None:
        """Close every connection."""
        while self._lines:
            self._lines.pop().one.close()


class Line:
    """A connection that speaks bytes."""

    def __init__(self, one: socket.socket) -> None:
        self.one, self._held = one, b""

    def send(self, *parts: bytes) -> None:
        """Send, with a little time between parts."""
        for n, part in enumerate(parts):
            time.sleep(0.01 if n else 0.0)
            self.one.sendall(part)

    def read(self) -> tuple[int, dict[str, str], Any]:
        """The next answer: status, headers, body."""
        while b"\r\n\r\n" not in self._held:
            self._more()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        line, *rest = head.decode().split("\r\n")
        headers = {name: value for name, _, value in (one.partition(": ") for one in rest)}
        length = int(headers.get("content-length", "0"))
        while len(self._held) < length:
            self._more()
        body, self._held = self._held[:length], self._held[length:]
        return int(line.split()[1]), headers, json.loads(body) if body else None

    def _more(self) -> None:
        part = self.one.recv(65536)
        assert part, self._held
        self._held += part

    def is_closed(self) -> bool:
        """Whether the other side closes."""
        return self.one.recv(100) == b""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """An engine on an empty directory."""
    with Recommender.open(tmp_path_factory.mktemp("direct") / "data", SETTINGS) as opened:
        yield opened


@pytest.fixture(scope="module")
def only_door(engine: Recommender) -> Iterator[Door]:
    """A server without keys."""
    with Door(engine) as opened:
        yield opened


@pytest.fixture
def door(only_door: Door) -> Iterator[Door]:
    """The same, whose connections are closed after each test."""
    yield only_door
    only_door.hang_up()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[direct.Exchange]:
    """The requests that are answered directly."""
    found: list[direct.Exchange] = []
    handle = direct.Exchange.handle

    def noted(self: direct.Exchange) -> None:
        found.append(self)
        handle(self)

    monkeypatch.setattr(direct.Exchange, "handle", noted)
    return found


def post(body: Any, *headers: str, path: str = "/v1/events", method: str = "POST") -> bytes:
    """A request as bytes."""
    told = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(told)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + told


def view(n: int, **more: Any) -> dict[str, Any]:
    """A body of one event."""
    return {"events": [{"user": f"u{n}", "item": f"i{n % 5}", **more}]}


SAME = [
    view(1), {"events": []}, view(1, knd="view"), view(1, ts=99_999_999_999_999), {"events": [{"item": "i"}]}, b"{",
    b"", b"\xff", b"[" * 5000, {"events": [view(n)["events"][0] for n in range(51)]}, {"events": 3}, {"event": []},
    view(1, item="x" * 300), b'{"events": [{"user": "\\ud800", "item": "i"}]}',
]


@pytest.mark.parametrize("body", SAME, ids=range(len(SAME)))
def test_both_ways_give_the_same_answer(door: Door, begun: list[direct.Exchange], body: Any) -> None:
    line = door.connect()
    told = []
    for extra in ((), ("Origin: http://localhost",)):  # a page of this server is let in, by the ordinary way
        line.send(post(body, *extra))
        status, headers, answer = line.read()
        assert len(headers.pop("x-request-id")) == 32
        if status == 200:
            answer.pop("offset")
        told.append((status, list(headers), headers["content-type"], answer))
    assert told[0] == told[1]
    assert len(begun) == 1
    assert told[0][0] == (200 if "accepted" in told[0][3] else told[0][0])


def test_what_is_answered_is_in_the_next_list(door: Door, begun: list[direct.Exchange]) -> None:
    line = door.connect()
    for n in range(5):
        line.send(post(view(n, item=f"new-{n}", id=f"next-{n}")))
        assert line.read()[2] == {"accepted": 1, "duplicates": 0, "offset": door.engine.log.end}
        line.send(post({"user": "stranger", "candidates": [f"new-{n}"]}, path="/v1/recommend"))
        assert [one["id"] for one in line.read()[2]["items"]] == [f"new-{n}"]
    line.send(post(view(0, item="new-0", id="next-0")))
    assert line.read()[2]["duplicates"] == 1
    assert len(begun) >= 6


def test_a_body_in_pieces_is_one_body(door: Door, begun: list[direct.Exchange]) -> None:
    line, told = door.connect(), post(view(2, context={"device": "phone"}), "X-Request-Id: mine")
    line.send(*(told[at : at + 17] for at in range(0, len(told), 17)))
    status, headers, answer = line.read()
    assert (status, headers["x-request-id"], answer["accepted"]) == (200, "mine", 1)
    head, _, body = told.partition(b"\r\n\r\n")
    line.send(head + b"\r\n\r\n", body)
    assert line.read()[0] == 200
    assert len(begun) == 2
    assert door.gate.bodies.held_bytes == 0


def test_requests_behind_one_another_are_answered_in_their_order(door: Door, begun: list[direct.Exchange]) -> None:
    line = door.connect()
    ping = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    line.send(b"".join([*(post(view(n), f"X-Request-Id: r{n}") for n in range(6)), ping, post(view(7)), post(b"{")]))
    told = [line.read() for _ in range(9)]
    assert [status for status, _, _ in told] == [200] * 8 + [400]
    assert [headers["x-request-id"] for _, headers, _ in told[:6]] == [f"r{n}" for n in range(6)]
    offsets = [answer["offset"] for _, _, answer in told[:6]]
    assert offsets == sorted(set(offsets))
    assert told[6][2] == {"status": "ok"}
    assert len(begun) == 1  # the others wait their turn on the ordinary way


def test_a_client_that_waits_for_a_hundred_is_told_to_go_on(door: Door, begun: list[direct.Exchange]) -> None:
    line = door.connect()
    head, _, body = post(view(1), "Expect: 100-continue").partition(b"\r\n\r\n")
    line.send(head + b"\r\n\r\n")
    assert line.read()[0] == 100
    line.send(body)
    assert line.read()[2]["accepted"] == 1
    assert begun == []


@pytest.mark.parametrize("path", ["/v1/events", "/v1/items", "/v1/recommend"])
@pytest.mark.parametrize("encoding", ["gzip", "br", "x-mine"])
def test_an_encoded_body_is_refused_in_words(
    door: Door, begun: list[direct.Exchange], path: str, encoding: str
) -> None:
    line = door.connect()
    line.send(post(gzip.compress(json.dumps(view(1)).encode()), f"Content-Encoding: {encoding}", path=path))
    status, _, answer = line.read()
    assert (status, answer["error"]["type"]) == (415, "unsupported_encoding")
    assert answer["error"]["message"] == f"A body must come as it is, without 'Content-Encoding'; got '{encoding}'."
    assert answer["error"]["hint"] == "Send the JSON itself, uncompressed."
    line.send(post(view(1), "Content-Encoding: identity"))
    assert line.read()[2]["accepted"] == 1
    assert begun == []


def test_a_chunked_body_is_taken(door: Door, begun: list[direct.Exchange]) -> None:
    line, body = door.connect(), json.dumps(view(1)).encode()
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    line.send(head, b"5\r\n" + body[:5] + b"\r\n", b"%x\r\n" % len(body[5:]) + body[5:] + b"\r\n", b"0\r\n\r\n")
    assert line.read()[2]["accepted"] == 1
    assert begun == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_other_methods_are_refused_as_everywhere(door: Door, method: str) -> None:
    line = door.connect()
    line.send(f"{method} /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = line.one.recv(1)
        assert part
        head += part
    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"allow: POST" in head


def test_a_connection_stays_or_closes_as_it_is_asked_to(door: Door, begun: list[direct.Exchange]) -> None:
    line = door.connect()
    for _ in range(3):
        line.send(post(view(1)))
        assert "connection" not in line.read()[1]
    line.send(post(view(1), "Connection: close"))
    assert line.read()[1]["connection"] == "close"
    assert line.is_closed()
    old = door.connect()
    old.send(post(view(1)).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert old.read()[0] == 200
    assert old.is_closed()
    assert len(begun) == 4


def test_keys_scopes_and_rates_hold(engine: Recommender, begun: list[direct.Exchange]) -> None:
    with Door(engine, RATED, rate=0.5) as locked:
        line = locked.connect()

        def ask(*headers: str) -> tuple[int, dict[str, str], Any]:
            line.send(post(view(1), *headers))
            return line.read()

        status, headers, answer = ask()
        assert (status, headers["www-authenticate"], answer["error"]["type"]) == (401, "Bearer", "unauthorised")
        assert ask("Authorization: Bearer wrong")[2]["error"]["message"].endswith("got a key that is not known.")
        assert ask("Authorization: Bearer read-key")[2]["error"]["type"] == "forbidden"
        assert [ask("Authorization: Bearer write-key")[0] for _ in range(5)] == [200] * 4 + [429]
        assert int(ask("Authorization: Bearer write-key")[1]["retry-after"]) >= 1
        assert ask("Authorization: Bearer slow-key")[0] == 200  # each key has its own
        assert len(begun) == 10
        assert locked.gate.bodies.held_bytes == 0


def test_a_page_under_a_strange_name_is_refused(door: Door, begun: list[direct.Exchange]) -> None:
    line = door.connect()
    line.send(post(view(1)).replace(b"Host: localhost", b"Host: shop.example"))
    assert line.read()[2]["error"]["type"] == "origin_refused"
    line.send(post(view(1), "Origin: https://bad.example"))
    assert line.read()[2]["error"]["type"] == "origin_refused"
    assert len(begun) == 1


def test_a_body_over_the_limit_is_refused(door: Door, begun: list[direct.Exchange]) -> None:
    line = door.connect()
    line.send(post(b" " * 20_001))
    assert line.read()[2]["error"]["type"] == "too_large"
    assert begun == []


def test_bodies_that_take_too_much_memory_are_turned_away(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = door.connect(), door.connect()
    half = post(b'{"events": [' + b" " * 900)
    slow.send(half[:-100])
    _until(lambda: door.gate.bodies.held_bytes > 700)
    monkeypatch.setattr(door.gate.bodies, "_limit_bytes", 800)
    quick.send(post(view(1)))
    status, headers, answer = quick.read()
    assert (status, headers["retry-after"], answer["error"]["type"]) == (503, "1", "overloaded")
    slow.one.close()
    _until(lambda: door.gate.bodies.held_bytes == 0)
    quick.send(post(view(1)))
    assert quick.read()[0] == 200


def test_what_waits_for_the_disk_is_bounded(door: Door) -> None:
    log = door.engine.log
    lines = [door.connect() for _ in range(3)]
    with _standing(log) as go_on:
        lines[0].send(post({"events": [{"user": "u", "item": "i" * 200}] * 40}))
        _until(lambda: log.health.waiting_bytes > 0)  # type: ignore[attr-defined]
        log._writer._most_bytes, before = 30_000, log._writer._most_bytes  # type: ignore[attr-defined]
        lines[1].send(post({"events": [{"user": "u", "item": "i" * 200}] * 40}))
        status, headers, answer = lines[1].read()
        assert (status, headers["retry-after"], answer["error"]["type"]) == (503, "1", "overloaded")
        log._writer._most_bytes = before  # type: ignore[attr-defined]
        go_on()
        assert lines[0].read()[2]["accepted"] == 40
    lines[2].send(post(view(1)))
    assert lines[2].read()[0] == 200


def test_those_who_share_a_commit_are_all_told(door: Door, begun: list[direct.Exchange]) -> None:
    log, lines = door.engine.log, [door.connect() for _ in range(12)]
    with _standing(log) as go_on:
        for n, line in enumerate(lines):
            line.send(post(view(n, id=f"shared-{n % 6}")))
        _until(lambda: len(begun) == 12)
        go_on()
        told = [line.read()[2] for line in lines]
    assert sum(one["accepted"] for one in told) == 6
    assert sum(one["duplicates"] for one in told) == 6
    assert door.engine.log.end == max(one["offset"] for one in told)


def test_a_client_that_leaves_has_what_it_asked_for_done(door: Door, begun: list[direct.Exchange]) -> None:
    log, end = door.engine.log, door.engine.log.end
    line = door.connect()
    with _standing(log) as go_on:
        line.send(post(view(1)))
        _until(lambda: len(begun) == 1)
        line.one.close()
        go_on()
    _until(lambda: log.end == end + 1 and door.gate.bodies.held_bytes == 0)
    other = door.connect()
    other.send(post(view(1)))
    assert other.read()[2]["offset"] == end + 2


@pytest.mark.parametrize("late", [False, True])
def test_a_fault_of_ours_is_told_without_details_and_the_connection_goes_on(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, late: bool
) -> None:
    def breaks(self: Any, events: Any, then: Any) -> None:
        if not late:
            raise ZeroDivisionError("a secret of ours")
        then(ZeroDivisionError("a secret of ours"))

    line = door.connect()
    with monkeypatch.context() as patched:
        patched.setattr(Recommender, "ingest_then", breaks)
        line.send(post(view(1), "X-Request-Id: broken"))
        status, headers, answer = line.read()
    assert (status, headers["x-request-id"], answer["error"]["type"]) == (500, "broken", "internal")
    assert "secret" not in answer["error"]["message"]
    (told,) = [record for record in caplog.records if "fault inside" in record.getMessage()]
    fields = getattr(told, "everbrook_fields")  # noqa: B009  # set by the line
    assert (fields["request"], fields["route"], fields["error"]) == ("broken", "/v1/events", "ZeroDivisionError")
    line.send(post(view(1)))
    assert line.read()[0] == 200


def test_a_disk_that_refuses_is_told_to_all_who_wait(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> None:
        raise StorageError("The disk is full.")

    line = door.connect()
    with monkeypatch.context() as patched:
        patched.setattr(type(door.engine.log._writer), "_store", refuses)  # type: ignore[attr-defined]
        line.send(post(view(1)))
        status, _, answer = line.read()
    assert (status, answer["error"]["type"], answer["error"]["message"]) == (503, "storage", "The disk is full.")
    line.send(post(view(1)))
    assert line.read()[0] == 200


def test_while_code_is_compiled_events_and_lists_are_refused_and_the_rest_is_answered(
    door: Door, begun: list[direct.Exchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is let in would wait for minutes, and all others behind it."""
    line, end = door.connect(), door.engine.log.end
    with monkeypatch.context() as patched:
        patched.setattr(door.engine, "is_warm", lambda: False)
        for path, body in (("/v1/events", view(1)), ("/v1/recommend", {"user": "u1"})):
            for extra in ((), ("Origin: http://localhost",)):
                line.send(post(body, *extra, path=path))
                status, headers, answer = line.read()
                assert (status, answer["error"]["type"], headers["retry-after"]) == (503, "not_ready", "1")
        line.send(post(b"", path="/v1/trending", method="GET"))
        assert line.read()[0] == 503
        line.send(post(b"", path="/readyz", method="GET"))
        assert line.read()[0] == 503
        for path in ("/healthz", "/v1/status"):
            line.send(post(b"", path=path, method="GET"))
            assert line.read()[0] == 200, path
    assert (len(begun), door.engine.log.end) == (2, end)
    line.send(post(view(1)))
    assert line.read()[0] == 200


def test_answers_are_counted_and_have_their_line(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    line = door.connect()
    before = _counted(line)
    with caplog.at_level("INFO", logger="everbrook.http"):
        line.send(post(view(1), "X-Request-Id: counted"))
        line.read()
        line.send(post(b"{"))
        line.read()
    after = _counted(line)
    assert {status: after[status] - before.get(status, 0) for status in ("200", "400")} == {"200": 1, "400": 1}
    told = [getattr(one, "everbrook_fields") for one in caplog.records if one.getMessage() == "answered"]  # noqa: B009
    expected = {"request": "counted", "method": "post", "route": "/v1/events", "status": 200}
    assert {name: told[0][name] for name in expected} == expected
    assert told[1]["status"] == 400


def _counted(line: Line) -> dict[str, float]:
    line.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while b"\r\n\r\n" not in line._held:
        line._more()
    head, _, body = line._held.partition(b"\r\n\r\n")
    length = int(re.findall(rb"content-length: (\d+)", head)[0])
    while len(body) < length:
        body += line.one.recv(65536)
    line._held = b""
    found = re.findall(rb'everbrook_requests_total{method="post",route="/v1/events",status="(\d+)"} ([\d.]+)', body)
    return {status.decode(): float(count) for status, count in found}


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


@contextmanager
def _standing(log: Any) -> Iterator[Callable[[], None]]:
    """The log's writer stands still inside, until it is told to go on."""
    stands, told = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        stands.set()
        told.wait(LIMIT_S)

    log._writer.put(Job(wait, lambda _: None, Future()))
    assert stands.wait(LIMIT_S)
    try:
        yield told.set
    finally:
        told.set()
