"""Every route has its lock: none answers without a key where keys are set, and each wants a key for its own scope."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.cli.main import main
from everbrook.errors import DataError, InputError, NotFoundError, SettingError
from everbrook.http import keys as keys_module
from everbrook.http.app import build_app
from everbrook.http.keys import Keyring, add_key, as_key, hashed, new_key, read_keys, remove_key
from everbrook.http.operation import Operation
from everbrook.http.rates import Rates, TooManyError
from everbrook.http.rooms import operations
from everbrook.http.stream import Stream
from everbrook.settings import Settings, load_settings

SECRETS = {"read": "read-secret-1", "write": "write-secret-2", "admin": "admin-secret-3"}
GIVEN = [f"{scope}:{secret}" for scope, secret in SECRETS.items()]
SETTINGS = load_settings(
    environment={}, assignments=[f"serve.keys={json.dumps(GIVEN)}", 'mixture.experts=["popularity"]']
).settings
EXPECTED = {"read": {"read", "admin"}, "write": {"write", "admin"}, "admin": {"admin"}}
LOCKED = [one for one in operations() if one.scope != "open"]
PERSON = "person-3141592"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, asgi_client: Any) -> Iterator[Any]:
    """A door with one key for each scope."""
    with Recommender.open(tmp_path_factory.mktemp("locked") / "data", SETTINGS) as engine:
        yield asgi_client(build_app(engine, SETTINGS))


def _name(one: Operation) -> str:
    return f"{one.method} {one.path}"


def _asked(client: Any, one: Operation, secret: str | None) -> Any:
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    content = b"not json" if one.takes is not None else b""  # whoever is let in gets no further than the body
    return client.request(one.method.upper(), one.path.replace("{id}", "x"), headers=headers, content=content)


def test_all_rooms_were_found() -> None:
    assert len(LOCKED) >= 12
    assert {one.scope for one in operations()} == {"open", "read", "write", "admin"}


@pytest.mark.parametrize("one", LOCKED, ids=_name)
def test_no_route_answers_without_a_key_and_each_wants_its_scope(client: Any, one: Operation) -> None:
    for secret in (None, "wrong-secret", "read:read-secret-1", hashed(b"admin-secret-3")):
        refused = _asked(client, one, secret)
        assert refused.status_code == 401, refused.text
        assert refused.json()["error"]["type"] == "unauthorised"
        assert refused.headers["www-authenticate"] == "Bearer"
    if "stream" in one.path:  # it would not end
        return
    for scope, secret in SECRETS.items():
        answer = _asked(client, one, secret)
        if scope in EXPECTED[one.scope]:
            assert answer.status_code not in (401, 403), answer.text
        else:
            assert answer.status_code == 403
            assert answer.json()["error"]["type"] == "forbidden"


OPEN = {"/healthz", "/readyz", "/docs", "/openapi.json", "/"}
"""Asked without a key: whether it lives, how it is spoken to, and the page, which brings its visitor's key itself."""


def test_every_route_and_method_of_the_application_is_locked_but_the_open_ones(client: Any) -> None:
    app = build_app(None, SETTINGS)  # type: ignore[arg-type]  # no route is called
    asked = [(method, route.path.replace("{id:text}", "x")) for route in app.routes for method in route.methods]  # type: ignore[attr-defined]
    assert len(asked) > 40
    answered = {path for method, path in asked if client.request(method, path).status_code != 401}
    assert answered == OPEN
    assert {one.path for one in operations() if one.scope == "open"} == OPEN


def test_a_route_is_for_what_it_does() -> None:
    for one in LOCKED:
        if one.method == "get":
            assert one.scope == "read", one
        else:
            looks = {"/v1/recommend"}
            assert (one.scope == "read") == (one.path in looks), one


def test_open_routes_answer_everybody(client: Any) -> None:
    for one in operations():
        if one.scope == "open" and "stream" not in one.path:
            assert _asked(client, one, None).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("GET", "/page/nothing.js"), ("PUT", "/v1/events"), ("OPTIONS", "/v1/events")]
)
def test_what_is_no_route_is_told_to_nobody_without_a_key(client: Any, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 401
    with_key = client.request(method, path, headers={"Authorization": "Bearer read-secret-1"})
    assert with_key.status_code in (404, 405)
    assert set(with_key.json()["error"]) == {"type", "message", "hint"}


BODIES = [
    {"events": [{"user": PERSON * 30, "item": "i"}]}, {"events": [{"user": PERSON, "item": "i", "knd": 1}]},
    {"events": [{"user": PERSON}]}, {"events": [{"user": PERSON, "item": "i", "ts": "noon"}]},
    {"events": {PERSON: 1}}, {"users": [{"id": PERSON * 30}]}, {"users": [{"id": PERSON, "properties": 3}]},
    {"user": PERSON, "k": 0}, {"user": PERSON, "at": "noon"}, {"user": PERSON, "scenario": "nowhere"},
]


def test_no_key_and_no_person_is_named_in_a_log_line_or_an_error(
    client: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    with caplog.at_level(logging.DEBUG):
        headers = {"Authorization": "Bearer admin-secret-3"}
        for body in BODIES:
            for path in ("/v1/events", "/v1/users", "/v1/recommend"):
                answer = client.post(path, json=body, headers=headers)
                told += [answer.text] if answer.status_code >= 400 else []
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            for path in (f"/v1/users/{PERSON}", f"/v1/userz/{PERSON}", f"/v1/items/{PERSON}/similar?user={PERSON}"):
                answer = client.request(method, path, headers=headers)
                told += [answer.text] if answer.status_code >= 500 or "items" not in path else []

        def breaks(*_: Any, **__: Any) -> None:
            raise KeyError(PERSON)

        monkeypatch.setattr(Recommender, "recommend_many", breaks)
        broken = client.post("/v1/recommend", json={"user": PERSON}, headers=headers)
        assert broken.status_code == 500
        told.append(broken.text)
        for secret in ("wrong-" + PERSON, "read-secret-1"):
            told.append(client.post("/v1/events", headers={"Authorization": f"Bearer {secret}"}).text)
    assert len(told) > 20
    ours = [record for record in caplog.records if not record.name.startswith("http")]  # not those of the client
    lines = [f"{record.getMessage()} {getattr(record, 'everbrook_fields', '')} {record.exc_text}" for record in ours]
    assert any("KeyError" in line for line in lines)
    for text in (*told, *lines):
        for secret in (*SECRETS.values(), PERSON):
            assert secret not in text, text


def test_a_body_nested_without_end_is_refused_on_every_route(client: Any) -> None:
    headers = {"Authorization": "Bearer admin-secret-3"}
    for one in operations():
        if one.takes is None:
            continue
        for start in (b"[", b'{"x":', *(f'{{"{name}":['.encode() for name in one.takes.__struct_fields__)):
            deep = start + b'[{"properties":{"a":' + b"[" * 200_000
            path = one.path.replace("{id}", "x")
            answer = client.request(one.method.upper(), path, content=deep, headers=headers)
            assert answer.status_code in (400, 422), (one.path, start, answer.text[:200])


def test_ids_have_a_length_in_paths_too(client: Any) -> None:
    headers = {"Authorization": "Bearer admin-secret-3"}
    answer = client.get(f"/v1/items/{'é' * 129}", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "An id must be text of 1 to 256 bytes; got 258 bytes."


def test_keys_are_kept_as_hashes_and_written_in_three_ways() -> None:
    plain = as_key("a-long-secret")
    assert (plain.scopes, plain.sha256) == (("admin",), hashed(b"a-long-secret"))
    assert as_key("read+write:a-long-secret").scopes == ("read", "write")
    assert as_key(f"read:sha256:{plain.sha256}") == msgspec.structs.replace(plain, scopes=("read",))
    assert as_key("a:colon").sha256 == hashed(b"a:colon")
    ring = Keyring(["read:a-long-secret"])
    assert ring.find(b"a-long-secret") is not None
    assert ring.find(b"a-long-secre") is None
    assert "a-long-secret" not in repr(vars(ring))


@pytest.mark.parametrize("written", [
    f"reed:sha256:{'ab' * 32}", f"read,write:sha256:{'ab' * 32}", f"read:sha256:{'ab' * 31}", f"sha256:{'xy' * 32}",
    "reader:ek_abcdefgh", "read,write:ek_abcdefgh",
])  # fmt: skip
def test_a_mistyped_hash_or_scope_is_refused_and_becomes_no_key(written: str) -> None:
    with pytest.raises(SettingError, match=r"must be \[SCOPE") as refused:
        as_key(written)
    assert written not in str(refused.value)


def test_a_hash_may_be_in_capitals() -> None:
    digest = hashed(b"a-long-secret")
    assert as_key(f"read:sha256:{digest.upper()}") == as_key(f"read:sha256:{digest}")


def test_who_looks_at_the_stream_is_let_go_when_the_key_is_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    secret, key = new_key(["read"], 0)
    ring = Keyring([], file)
    assert ring.admits(None)
    add_key(file, key)
    ring._look_s = 0.0
    assert not ring.admits(None)
    found = ring.find(secret.encode())
    stream = Stream(lambda: {})
    stream.admits = ring.admits

    async def looked() -> tuple[int, int]:
        stream._teller = asyncio.create_task(asyncio.sleep(60))  # digests are put in by hand
        stream.join(found)
        stream._put(b"{}")
        before = len(stream)
        remove_key(file, key.id)
        ring._look_s = 0.0
        stream._put(b"{}")
        stream._teller.cancel()
        return before, len(stream)

    assert asyncio.run(looked()) == (1, 0)


def test_a_key_is_told_once_and_let_in_and_taken_away_while_the_server_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "LOOK_S", 0.0)
    data = tmp_path / "data"
    assert main(["keys", "list", "--data", str(data)]) == 0
    ring = Keyring([], data / "keys.json")
    assert not ring.locked
    wish = ["keys", "new", "--scope", "write", "--scope", "read", "--name", "shop", "--json", "--data", str(data)]
    assert main(wish) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["key"] not in (data / "keys.json").read_text()
    assert (data / "keys.json").stat().st_mode & 0o077 == 0
    found = ring.find(made["key"].encode())
    assert found is not None
    assert (found.scopes, found.name) == (("read", "write"), "shop")
    assert ring.locked
    assert main(["keys", "remove", made["id"], "--data", str(data)]) == 0
    assert ring.find(made["key"].encode()) is None
    assert ring.locked  # a door that was locked does not open by itself
    assert main(["keys", "remove", made["id"], "--data", str(data)]) == 4


def test_a_printed_key_is_kept_nowhere_and_works_from_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "new", "--scope", "admin", "--print", "--json", "--data", str(tmp_path / "data")]) == 0
    made = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "data").exists()
    ring = Keyring([made["setting"]])
    assert ring.find(made["key"].encode()) == as_key(made["setting"])


def test_a_file_of_keys_that_is_none_is_told_at_the_start_and_changes_nothing_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "LOOK_S", 0.0)
    file = tmp_path / "keys.json"
    file.write_text("nothing")
    with pytest.raises(DataError, match="must hold keys as 'everbrook keys' writes them"):
        Keyring([], file)
    file.unlink()
    secret, key = new_key(["read"], 0)
    add_key(file, key)
    ring = Keyring([], file)
    file.write_text("nothing more")
    assert ring.find(secret.encode()) == key


def test_a_key_needs_a_scope_and_a_known_id(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^A key's scopes must be some of read, write, admin; got none\.$"):
        new_key([], 0)
    with pytest.raises(NotFoundError):
        keys_module.remove_key(tmp_path / "keys.json", "abc")
    assert read_keys(tmp_path / "keys.json") == ()


def test_a_bucket_lets_through_what_the_rate_allows() -> None:
    rates = Rates(2.0, 4)
    passed, waits = 0, set()
    for tenth in range(100):  # ten requests a second for ten seconds
        try:
            rates.take("a", tenth / 10)
            passed += 1
        except TooManyError as error:
            waits.add(error.retry_after_s)
    assert waits == {1}
    assert 4 + 2.0 * 9.9 - 1 <= passed <= 4 + 2.0 * 9.9
    rates.take("b", 9.9)  # another key's bucket is its own


def test_too_many_requests_are_429_with_a_time_to_come_back(tmp_path: Path, asgi_client: Any) -> None:
    settings = load_settings(
        environment={}, assignments=["serve.request_rate=0.1", "serve.request_burst=2"]
    ).settings
    client = asgi_client(build_app(None, settings))  # type: ignore[arg-type]  # no engine is asked
    assert [client.get("/healthz").status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get("/healthz")
    assert refused.headers["retry-after"] in ("9", "10")
    assert refused.json()["error"]["type"] == "too_many_requests"


SITE = "https://shop.example"


def test_pages_of_other_sites_are_let_in_only_where_the_settings_name_them(asgi_client: Any) -> None:
    closed = asgi_client(build_app(None, Settings()))  # type: ignore[arg-type]
    refused = closed.post("/v1/pause", headers={"Origin": SITE})
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "origin_refused")
    assert "access-control-allow-origin" not in refused.headers
    assert closed.get("/healthz", headers={"Origin": "http://localhost"}).status_code == 200
    rebound = closed.get("/healthz", headers={"Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["error"]["type"]) == (403, "origin_refused")
    for host in ("127.evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]:80"):
        own = closed.get("/healthz", headers={"Host": host, "Origin": f"http://{host}"})
        assert (own.status_code, own.json()["error"]["type"]) == (403, "origin_refused")
    for host in ("127.0.0.1:8000", "127.8.0.1", "[::1]:8000", "LocalHost:1"):
        assert closed.get("/healthz", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200
    opened = asgi_client(build_app(None, load_settings(  # type: ignore[arg-type]
        environment={}, assignments=[f'serve.cors_origins=["{SITE}"]', 'serve.keys=["a-long-secret"]']
    ).settings))
    asks = {"Origin": SITE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    before = opened.request("OPTIONS", "/v1/events", headers=asks)
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, SITE)
    answer = opened.post("/v1/events", headers={"Origin": SITE})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, SITE)
    other = opened.request("OPTIONS", "/v1/events", headers=asks | {"Origin": "https://other.example"})
    assert (other.status_code, other.json()["error"]["type"]) == (400, "origin_refused")
