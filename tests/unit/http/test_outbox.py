"""Answers that are sent together: nothing is told of one before it is sent, and an error does not wait for others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from everbrook.errors import InputError
from everbrook.http.direct import Direct, Exchange, Head, Outbox, Route
from everbrook.http.gate import Gate
from everbrook.http.operation import Operation
from everbrook.settings.serve import ServeSettings


class Line:
    """A connection that notes what happens on it."""

    def __init__(self, name: str, seen: list[Any]) -> None:
        self._name, self._seen = name, seen

    def send_whole(self, exchange: Exchange, told: bytes) -> None:
        self._seen.append((self._name, told.split(b"\r\n")[0].decode(), exchange.response_complete))

    def on_response_complete(self) -> None:
        self._seen.append((self._name, "over"))


class Watcher:
    """Notes what it is told."""

    def __init__(self, seen: list[Any]) -> None:
        self._seen = seen

    def answered(self, method: str, route: str, status: int, took_s: float, request_id: str) -> None:
        self._seen.append((request_id, route, status))


@pytest.mark.parametrize("together", [False, True])
def test_answers_of_one_turn_are_sent_before_anything_else_is_done_for_them(together: bool) -> None:
    seen: list[Any] = []
    answers: list[Any] = []
    operation = Operation("post", "/v1/events", "post", "Events.", "write", direct="take", together=together)
    route = Route(operation, lambda _, answer: answers.append(answer))
    gate = Gate(ServeSettings(), watchers=(Watcher(seen),))

    async def work() -> None:
        outbox = Outbox()
        for name in ("a", "b", "c"):
            head = Head(route, "POST", [], {}, 2, True, name.encode())
            exchange = Exchange(gate, outbox, Line(name, seen), head)
            exchange.take(b"{}")
            exchange.handle()
        held = gate.bodies.held_bytes
        answers[0](b"{}")
        answers[1](InputError("Wrong."))
        answers[2](b"{}")
        answers[2](b"[]")  # a second one is not heard
        seen.append(("a turn ends", held))
        await asyncio.sleep(0)

    asyncio.run(work())
    ok, told = "HTTP/1.1 200 OK", {name: (name, "/v1/events", 200) for name in "ac"}
    wrong = [("b", "HTTP/1.1 400 Bad Request", False), ("b", "/v1/events", 400), ("b", "over")]
    ends = ("a turn ends", 6)
    if together:
        wanted = [*wrong, ends, ("a", ok, False), ("c", ok, False), told["a"], ("a", "over"), told["c"], ("c", "over")]
    else:
        wanted = [("a", ok, False), told["a"], ("a", "over"), *wrong, ("c", ok, False), told["c"], ("c", "over"), ends]
    assert seen == wanted
    assert gate.bodies.held_bytes == 0


def test_a_head_that_was_refused_is_read_anew() -> None:
    operation = Operation("post", "/v1/events", "post", "Events.", "write", direct="take")
    direct = Direct(Gate(ServeSettings()), {("POST", "/v1/events"): Route(operation, lambda *_: None)}, 100)
    for host, is_known in ((b"localhost", True), (b"elsewhere.example", False)):
        data = b"POST /v1/events HTTP/1.1\r\nhost: %b\r\ncontent-length: 2\r\n\r\n{}" % host
        scope = {"headers": [(b"host", host), (b"content-length", b"2")]}
        direct.learn(data, direct.exchange(Line("a", []), b"POST", b"/v1/events", scope, True))
        assert (direct.known(data) is not None) is is_known
