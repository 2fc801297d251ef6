"""Commands that look after a server: whom they reach, and how what a server refuses ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from everbrook.cli.main import main
from everbrook.cli.reaching import Server
from everbrook.errors import EverbrookError, InputError, NotFoundError, NotReadyError
from everbrook.events.sqlite_log import SqliteLog
from everbrook.http.address import announce


class _Answers(BaseHTTPRequestHandler):
    """Answers as it is told to, and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str, Any, str | None]]] = []
    answer: ClassVar[tuple[int, Any]] = (200, {})

    def _reply(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        self.asked.append((self.command, self.path, body, self.headers.get("Authorization")))
        status, told = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    do_GET = do_POST = _reply  # noqa: N815  # names that the standard library looks for

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a server of answers."""
    _Answers.asked, _Answers.answer = [], (200, {})
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_key_that_no_header_can_hold_is_told_without_it(url: str) -> None:
    Server(url, "ek_secret\r\n").status()
    assert _Answers.asked[-1][3] == "Bearer ek_secret"
    for key in ("ek_SEC\rRET", "ek_SECRET\x00", "ek_SECRÉT", " "):
        with pytest.raises(InputError, match="one line of printable") as refused:
            Server(url, key).status()
        assert "SEC" not in str(refused.value)


def test_each_wish_goes_to_its_route_with_the_key(url: str) -> None:
    server = Server(url + "/", "a-long-key")
    server.status(), server.versions(), server.pause(), server.resume(), server.refit()
    server.rollback("live-1"), server.override("live")
    bearer = "Bearer a-long-key"
    assert _Answers.asked == [
        ("GET", "/v1/status", None, bearer), ("GET", "/v1/versions", None, bearer),
        ("POST", "/v1/pause", {}, bearer), ("POST", "/v1/resume", {}, bearer), ("POST", "/v1/refit", {}, bearer),
        ("POST", "/v1/rollback", {"to": "live-1"}, bearer), ("POST", "/v1/override", {"stage": "live"}, bearer),
    ]


def test_lists_of_other_looks_come_from_the_server_that_holds_the_directory(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with SqliteLog.open(data):
        announce(data, url)
        _Answers.answer = (200, {"item": "a/b", "items": [{"id": "c", "score": 0.5, "shares": {"content": 0.5}}]})
        assert main(["similar", "a/b", "-k", "3", "--data", str(data)]) == 0
        assert "c" in capsys.readouterr().out
        _Answers.answer = (200, {"window": "1h", "window_s": 3600, "since_ms": 0, "scenario": None, "items": []})
        assert main(["trending", "--window", "1h", "--scenario", "home", "--data", str(data)]) == 0
        assert capsys.readouterr().out == "Nothing happened within 1h.\n"
        _Answers.answer = (404, {"error": {"type": "not_found", "message": "It must be there.", "hint": None}})
        assert main(["explain", "i&1", "--user", "u 1", "--exclude-seen", "--data", str(data)]) == 4
        _Answers.answer = (200, {"experiments": []})
        assert main(["experiments", "--data", str(data)]) == 0
    assert [path for _, path, _, _ in _Answers.asked] == [
        "/v1/items/a%2Fb/similar?k=3", "/v1/trending?k=20&scenario=home&window=1h",
        "/v1/explain?item=i%261&user=u+1&k=20&exclude_seen=true", "/v1/experiments",
    ]


def test_no_id_in_a_path_is_a_way_up(url: str) -> None:
    _Answers.answer = (200, {"item": "..", "items": []})
    for dots in (".", "..", "a/../b"):
        Server(url).similar(dots)
    assert [path for _, path, _, _ in _Answers.asked] == [
        "/v1/items/%2E/similar?k=20", "/v1/items/%2E%2E/similar?k=20", "/v1/items/a%2F%2E%2E%2Fb/similar?k=20",
    ]


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (404, "unknown_version", NotFoundError), (400, "unknown_stage", InputError), (503, "not_ready", NotReadyError),
        (418, "tea", EverbrookError),
    ],
)
def test_what_a_server_refuses_is_raised_as_it_said(url: str, status: int, kind: str, error: type[Exception]) -> None:
    _Answers.answer = (status, {"error": {"type": kind, "message": "It must not be.", "hint": None}})
    with pytest.raises(error, match=r"^It must not be\.$"):
        Server(url).rollback("x")


def test_an_answer_that_is_not_ours_is_told(url: str) -> None:
    _Answers.answer = (500, ["what"])
    with pytest.raises(EverbrookError, match=r"^A server must answer in Everbrook's form; got status 500\.$"):
        Server(url).status()
    for told in ([], {"no": "list"}):
        _Answers.answer = (200, told)
        with pytest.raises(EverbrookError, match=r"^A server must .* got status 200 with a body that is not\.$"):
            Server(url).similar("i1")


def test_where_nobody_answers_is_told() -> None:
    with pytest.raises(NotReadyError, match=r"^A server must answer at 'http://127\.0\.0\.1:9'; got: "):
        Server("http://127.0.0.1:9").status()


def test_a_directory_that_a_server_holds_is_reached_through_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    _Answers.answer = (200, {"paused": True})
    with SqliteLog.open(data):
        assert main(["pause", "--data", str(data)]) == 5
        assert "It tells no address there" in capsys.readouterr().err
        announce(data, url)
        assert main(["pause", "--data", str(data), "--set", 'serve.keys=["a-long-key"]']) == 0
        (data / "LOCK").write_text("1")  # of another process than the one that told its address
        assert main(["pause", "--data", str(data)]) == 5
    assert _Answers.asked == [("POST", "/v1/pause", {}, "Bearer a-long-key")]
    assert capsys.readouterr().out.startswith("Paused:")


def test_a_list_comes_from_the_server_that_holds_the_directory(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"version": "v", "offset": 3, "age_ms": 1}
    _Answers.answer = (200, {"request": "r", "items": [{"id": "i3", "score": 0.5}], "model": model, "took_ms": 1.0})
    data = tmp_path / "data"
    with SqliteLog.open(data):
        announce(data, url)
        asked = ["--user", "u1", "--k", "2", "--filter", "price < 20", "--pin", "0:i3"]
        assert main(["recommend", *asked, "--data", str(data), "--key", "a-long-key"]) == 0
    wish = {"user": "u1", "k": 2, "filter": "price < 20", "pin": [{"item": "i3", "position": 0}]}
    assert _Answers.asked == [("POST", "/v1/recommend", wish, "Bearer a-long-key")]
    assert "0.50000  i3" in capsys.readouterr().out
