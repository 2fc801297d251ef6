"""Lines in the log: one a happening, for people or machines, and never a word of what somebody sent."""

from __future__ import annotations

import io
import json
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.engine.log_lines import Lines, say
from everbrook.http.app import build_app
from everbrook.http.operation import Operation
from everbrook.http.request_lines import RequestLines
from everbrook.http.rooms import operations
from everbrook.settings import Settings, load_settings

MARK = "marker2718"
SECRETS = {scope: f"{MARK}-{scope}-key" for scope in ("read", "write", "admin")}
GIVEN = [f"{scope}:{secret}" for scope, secret in SECRETS.items()]
SETTINGS = load_settings(environment={}, assignments=[
    f"serve.keys={json.dumps(GIVEN)}", 'mixture.experts=["popularity", "content"]', "serve.log_requests=all",
]).settings  # fmt: skip
PERSON, VISIT, ITEM = f"{MARK}-person", f"{MARK}-visit", f"{MARK}-item"
LOG = logging.getLogger("everbrook")


class Written:
    """What a logger of the package writes, as lines."""

    def __init__(self, form: Any, level: int = logging.DEBUG) -> None:
        self._file = io.StringIO()
        self.handler = logging.StreamHandler(self._file)
        self.handler.setFormatter(Lines(form, "server"))
        self.handler.addFilter(lambda record: not record.name.startswith("http"))  # the client's own are not ours
        self._level = level

    def __enter__(self) -> Written:
        root = logging.getLogger()
        self._before = root.level
        root.addHandler(self.handler)
        root.setLevel(self._level)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self.handler)
        logging.getLogger().setLevel(self._before)

    def lines(self) -> list[str]:
        """Everything so far."""
        return self._file.getvalue().splitlines()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """An engine in which a marked person saw a marked item."""
    with Recommender.open(tmp_path_factory.mktemp("lines") / "data", SETTINGS) as opened:
        opened.put_items([{"id": ITEM, "title": MARK, "properties": {"price": 3}}])
        opened.ingest([{"user": PERSON, "session": VISIT, "item": ITEM}, {"user": "b", "item": "other"}])
        yield opened


def _breaks(*_: Any, **__: Any) -> None:
    raise KeyError(f"{PERSON} {SECRETS['admin']}")


def _bodies(one: Operation) -> list[bytes]:
    if one.takes is None:
        return [b""]
    strange = {"user": PERSON, "session": VISIT, "id": PERSON, MARK: 1}
    found = [json.dumps(body).encode() for body in (one.example, strange, {"events": [strange]}, {"users": [strange]})]
    return [*found, MARK.encode(), b'{"user": "%b", "k": 0}' % PERSON.encode()]


def _drive(client: Any) -> set[int]:
    """Every route with every kind of key, good and bad bodies, marked ids in paths, questions and bodies."""
    statuses = set()
    for one in operations():
        if "stream" in one.path or one.call == "delete_user":  # which does not end; which is driven at the end
            continue
        path = one.path.replace("{id}", ITEM if "items" in one.path else PERSON)
        question = f"?user={PERSON}&session={VISIT}&item={ITEM}&token={MARK}"
        for secret in (None, f"{MARK}-unknown-key", SECRETS["read"], SECRETS["write"]):
            headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
            answer = client.request(one.method.upper(), path + question, content=_bodies(one)[-1], headers=headers)
            statuses.add(answer.status_code)
        headers = {"Authorization": f"Bearer {SECRETS['admin']}"}
        for body in _bodies(one):
            answer = client.request(one.method.upper(), path, content=body, headers=headers)
            statuses.add(answer.status_code)
    admin = {"Authorization": f"Bearer {SECRETS['admin']}"}
    for method, path in (("GET", f"/v1/userz/{PERSON}"), ("GET", f"/{PERSON}/{VISIT}"), ("PUT", f"/v1/users/{PERSON}")):
        statuses.add(client.request(method, path, headers=admin).status_code)
    for started in ("/v1/made-traffic/stop", "/v1/backtests/stop"):
        statuses.add(client.request("POST", started, headers=admin, content=b"{}").status_code)
    statuses.add(client.request("DELETE", f"/v1/users/{PERSON}", headers=admin).status_code)
    return statuses


def _found(folder: Path, *words: str) -> list[str]:
    """Which of some words stand in a file of a folder.

    Another process reads: one that opened SQLite's files by itself would, by closing them, let go of SQLite's locks.
    """
    grep = ["grep", "--recursive", "--quiet", "--text", "--fixed-strings"]
    return [word for word in words if subprocess.run([*grep, word, str(folder)], check=False).returncode == 0]


def test_no_line_names_a_key_a_person_a_visit_or_anything_that_was_sent(
    engine: Recommender, asgi_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.ingest([{"user": PERSON, "session": VISIT, "item": ITEM}])
    client = asgi_client(build_app(engine, SETTINGS))
    with Written("text") as written, Written("json") as for_machines:
        statuses = _drive(client)
        monkeypatch.setattr(Recommender, "recommend_many", _breaks)
        headers = {"Authorization": f"Bearer {SECRETS['read']}"}
        statuses.add(client.post("/v1/recommend", json={"user": PERSON}, headers=headers).status_code)
        engine.note_error("An impression was not written.")
        try:
            _breaks()
        except KeyError:
            LOG.exception("It broke.")
    assert {200, 400, 401, 403, 404, 405, 422, 500} <= statuses
    lines = written.lines()
    assert len(lines) == len(for_machines.lines()) > 200
    assert all(json.loads(line) for line in for_machines.lines())
    assert [line for line in for_machines.lines() if MARK in line] == []
    for needed in ("answered", "A person was forgotten.", "Checkpoint written.", "fault inside", "KeyError", "It brok"):
        assert any(needed in line for line in lines), needed
    assert [line for line in lines if MARK in line] == []
    assert _found(engine.path, "fixed words that stand nowhere", ITEM) == [ITEM]  # the search does find
    secrets = (PERSON, VISIT, *SECRETS.values())  # the person was removed; a key never gets in
    assert _found(engine.path, *secrets) == []


def test_every_route_has_a_line_with_its_template_status_and_time(engine: Recommender, asgi_client: Any) -> None:
    client = asgi_client(build_app(engine, SETTINGS))
    with Written("json") as written:
        for one in operations():
            if "stream" not in one.path:
                sent = {"X-Request-Id": f"id-of-{one.call}"}
                client.request(one.method.upper(), one.path.replace("{id}", "x"), headers=sent)
    told = {line["request"]: line for line in map(json.loads, written.lines()) if line.get("event") == "answered"}
    for one in operations():
        if "stream" in one.path:
            continue
        line = told[f"id-of-{one.call}"]
        assert line["route"] in (one.path, "none")  # a request without a key is turned away before it finds its route
        assert line["status"] == (200 if one.scope == "open" else 401)
        assert line["ms"] >= 0
        assert line["level"] == "info"


def test_which_answers_get_a_line_is_a_setting() -> None:
    told = {}
    for which in ("none", "failed", "all"):
        given = [f"serve.log_requests={which}", "serve.slow_ms=5"]
        settings = load_settings(environment={}, assignments=given).settings
        with Written("json") as written:
            lines = RequestLines(settings.serve)
            lines.answered("get", "/a", 200, 0.001, "quick")
            lines.answered("get", "/a", 200, 0.006, "slow")
            lines.answered("get", "/a", 404, 0.001, "missing")
            lines.answered("get", "/a", 500, 0.001, "broken")
            lines.answered("get", "/readyz", 503, 0.001, "starting")
        told[which] = [(line["request"], line["level"]) for line in map(json.loads, written.lines())]
    wrong = [("slow", "warning"), ("missing", "info"), ("broken", "error"), ("starting", "info")]
    assert told == {"none": [], "failed": wrong, "all": [("quick", "info"), *wrong]}


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    for form in ("text", "json"):
        with Written(form) as written:
            say(LOG, "two\nlines", words="a b", quote='say "yes"', ends="x\r\ny", number=0.25, path=Path("p"))
            try:
                raise ValueError(" ".join(("secret", "words")))
            except ValueError:
                LOG.exception("It broke.")
        lines = written.lines()
        assert len(lines) == 2, lines
        assert "secret words" not in lines[1]
        assert "ValueError" in lines[1]
        assert "test_log_lines.py" in lines[1]
        if form == "json":
            line = json.loads(lines[0])
            assert (line["words"], line["ends"], line["number"]) == ("a b", "x\r\ny", 0.25)
            assert line["ts"].endswith("Z")
        else:
            assert r'words="a b" quote="say \"yes\"" ends="x\r\ny" number=0.25 path=p' in lines[0]


def test_lines_are_for_people_and_of_failures_unless_settings_say_otherwise() -> None:
    serve = Settings().serve
    assert (serve.log_format, serve.log_level, serve.log_requests) == ("text", "info", "failed")
