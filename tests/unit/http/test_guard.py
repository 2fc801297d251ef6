"""Who may come in, and what leaves when something breaks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from everbrook.errors import EverbrookError, SettingError
from everbrook.http.failures import from_everbrook
from everbrook.http.gate import Gate, check_address
from everbrook.http.guard import Guard, read_body
from everbrook.settings.serve import ServeSettings


async def _echo(request: Request) -> Response:
    return PlainTextResponse(await read_body(request, 4))


async def _parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def _break(request: Request) -> Response:
    raise ZeroDivisionError("a secret of ours")


def _app(settings: ServeSettings | None = None) -> Starlette:
    return Starlette(
        routes=[
            Route("/echo", _echo, methods=["POST"]), Route("/break", _break),
            Route("/healthz", _echo, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, gate=Gate(settings or ServeSettings()))],
        exception_handlers={EverbrookError: from_everbrook},
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    check_address(ServeSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_any_other_address_needs_a_key(host: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_address(ServeSettings(host=host))
    assert caught.value.message == (
        f"Setting 'serve.host' must be a loopback address where 'serve.keys' is empty; got '{host}'."
    )
    check_address(ServeSettings(host=host, keys=("a-long-key",)))


def test_without_a_key_nothing_is_answered_but_whether_it_lives(asgi_client: Any) -> None:
    client = asgi_client(_app(ServeSettings(keys=("a-long-key", "another-key"))))
    refused = client.post("/echo", content=b"x")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"] == {
        "type": "unauthorised", "message": "A key must be sent as 'Authorization: Bearer KEY'; got none.", "hint": None,
    }
    for header in ("Bearer wrong-key", "Basic a-long-key", "Bearer", "Bearer a-long-ke"):
        assert client.post("/echo", content=b"x", headers={"Authorization": header}).status_code == 401
    for key in ("a-long-key", "another-key"):
        assert client.post("/echo", content=b"x", headers={"Authorization": f"Bearer {key}"}).text == "x"
    assert client.post("/healthz", content=b"x").status_code == 200


def test_a_body_over_the_limit_is_refused_however_it_is_sent(asgi_client: Any) -> None:
    client = asgi_client(_app())
    assert client.post("/echo", content=b"1234").text == "1234"
    declared = client.post("/echo", content=b"12345")
    assert (declared.status_code, declared.json()["error"]["type"]) == (413, "too_large")
    assert declared.json()["error"]["message"] == "A body must be at most 4 bytes; got 5."
    chunked = client.post("/echo", content=_parts(b"123", b"45"))
    assert chunked.json()["error"]["message"] == "A body must be at most 4 bytes; got more than 4."


def test_a_request_keeps_its_id_or_gets_one(asgi_client: Any) -> None:
    client = asgi_client(_app())
    assert client.post("/echo", content=b"x", headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
    given = {client.post("/echo", content=b"x").headers["x-request-id"] for _ in range(3)}
    assert len(given) == 3
    assert client.post("/echo", content=b"x", headers={"X-Request-Id": "x" * 129}).headers["x-request-id"] != "x" * 129


def test_a_fault_of_ours_is_logged_and_told_without_details(asgi_client: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="everbrook.http"):
        answer = asgi_client(_app()).get("/break")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "internal"
    assert "secret" not in answer.text
    (line,) = [record for record in caplog.records if "fault inside" in record.getMessage()]
    told = getattr(line, "everbrook_fields")  # noqa: B009  # set by the line
    assert "a secret of ours" in told["trace"]  # as the source says it: the place is told, and no value
    assert told["error"] == "ZeroDivisionError"
