"""Requests whose heads were read before: answered as the first was, and only where every byte is as it was then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from test_doors_direct import SETTINGS, Door, Line, post, view

from everbrook import Recommender
from everbrook.http import direct


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    with Recommender.open(tmp_path_factory.mktemp("heads") / "data", SETTINGS) as opened:
        yield opened


@pytest.fixture
def door(engine: Recommender) -> Iterator[Door]:
    with Door(engine) as opened:
        yield opened


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies of requests that were not read anew."""
    found: list[bytes] = []
    ask = direct.Direct.known

    def noted(self: direct.Direct, data: bytes) -> Any:
        answer = ask(self, data)
        if answer is not None:
            found.append(answer[1])
        return answer

    monkeypatch.setattr(direct.Direct, "known", noted)
    return found


def test_the_same_head_again_is_answered_as_the_first_was(door: Door, known: list[bytes]) -> None:
    one, two, told = door.connect(), door.connect(), []
    for n, line in enumerate((one, one, two, one)):
        line.send(post(view(n, id=f"again-{n}"), "X-Request-Id: mine"))
        status, headers, answer = line.read()
        told.append((status, headers, answer["accepted"], answer["offset"] - n))
    assert len({str(one) for one in told}) == 1
    assert [json.loads(body) for body in known] == [view(n, id=f"again-{n}") for n in (1, 2, 3)]
    one.send(post({"user": "u1", "k": 3}, path="/v1/recommend"))
    assert {item["id"] for item in one.read()[2]["items"]} <= {"i0", "i1", "i2", "i3"}


def test_what_is_wrong_in_a_body_is_told_all_the_same(door: Door, known: list[bytes]) -> None:
    line = door.connect()
    for body, status in ((view(1), 200), (view(2), 200), (b"x" * len(json.dumps(view(1))), 400), (view(3), 200)):
        line.send(post(body))
        assert line.read()[0] == status
    assert len(known) == 3


@pytest.mark.parametrize("at", [1, 25, -2])
def test_a_request_in_pieces_is_read_anew(door: Door, known: list[bytes], at: int) -> None:
    line, whole = door.connect(), post(view(5))
    line.send(whole)
    assert line.read()[0] == 200
    line.send(whole[:at], whole[at:])
    assert line.read()[0] == 200
    assert not known
    line.send(whole)
    assert line.read()[0] == 200
    assert len(known) == 1


def test_requests_behind_one_another_are_all_answered(door: Door, known: list[bytes]) -> None:
    line, one = door.connect(), post(view(5))
    line.send(one)
    assert line.read()[0] == 200
    line.send(one + one, one + one + one[:30], one[30:])
    assert [line.read()[0] for _ in range(5)] == [200] * 5
    assert not known


def test_empty_lines_before_a_request_are_no_head(door: Door, known: list[bytes]) -> None:
    """The body's length is that of the whole request behind the empty lines: who takes them for a head is fooled."""
    line, body = door.connect(), json.dumps(view(5)).encode()
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    length = len(body)
    while len(head % length + body) != length:
        length = len(head % length + body)
    line.send(b"\r\n\r\n" + head % length + body, b" " * (length - len(body)))
    assert line.read()[0] == 200
    line.send(b"\r\n\r\n" + post(view(6)))
    assert line.read()[2]["accepted"] == 1
    line.send(b"\r\n\r\n" + b"[" * length)
    assert line.read()[0] == 400
    assert not known


def test_keys_are_looked_at_each_time(engine: Recommender, known: list[bytes]) -> None:
    with Door(engine, keys=("write:write-key",), rate=1e-3) as locked:
        line, told = locked.connect(), []
        for n in range(6):
            line.send(post(view(n), "Authorization: Bearer write-key"))
            told.append(line.read()[0])
        assert told == [200] * 4 + [429] * 2
        assert len(known) == 5
        other = locked.connect()
        for _ in range(2):
            other.send(post(view(1), "Authorization: Bearer other-key"))
            assert other.read()[0] == 401


def test_a_head_that_closes_is_not_kept(door: Door, known: list[bytes]) -> None:
    for _ in range(2):
        line = door.connect()
        line.send(post(view(1), "Connection: close"))
        assert line.read()[0] == 200
        assert line.is_closed()
    assert not known


def test_as_many_heads_are_kept_as_may_be(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "MOST_HEADS", 5)
    monkeypatch.setattr(direct, "MOST_HEAD_BYTES", 300)
    line: Line = door.connect()
    for n in range(13):
        line.send(post(view(n), f"X-Request-Id: {n}"))
        assert line.read()[1]["x-request-id"] == str(n)
    held = door.server.config.direct._heads  # type: ignore[attr-defined]
    assert len(held) == 3
    line.send(post(view(1), "X-Long: " + 300 * "x"))
    assert line.read()[0] == 200
    assert len(held) == 3
