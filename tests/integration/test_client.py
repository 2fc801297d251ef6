"""The client: retries that count nothing twice, errors in the server's words, batches, and examples that run."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from everbrook import Recommender, client
from everbrook.client import AsyncClient, Client, RateError, RefusedError, UnreachableError, replies
from everbrook.errors import EverbrookError, InputError, NotFoundError, RecordError
from everbrook.http.keys import Keyring
from everbrook.http.server import bind, build_server
from everbrook.settings import load_settings

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
KEY = "a-key-of-the-test"
SETTINGS = load_settings(environment={}, assignments=[
    "serve.port=0", f'serve.keys=["{KEY}", "read:a-reading-key"]', 'mixture.experts=["popularity", "transitions"]',
]).settings  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a thread."""
    ready = threading.Event()
    with Recommender.open(tmp_path_factory.mktemp("asked") / "data", SETTINGS) as engine:
        listening = bind(SETTINGS.serve)
        server = build_server(engine, SETTINGS, Keyring(SETTINGS.serve.keys), ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        assert ready.wait(30)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)
        listening.close()


def test_what_the_library_does_the_client_does(url: str) -> None:
    with Client(url, KEY) as shop:
        assert shop.put_items([{"id": "a/b ü", "title": "One"}, {"id": "i2"}]).accepted == 2
        assert shop.ingest([{"user": "c1", "item": "a/b ü"}, {"user": "c2", "item": "i2"}]).accepted == 2
        assert shop.item("a/b ü") == {"id": "a/b ü", "title": "One"}
        assert shop.change_item("a/b ü", title="Two")["title"] == "Two"
        shown = shop.recommend(user="c1", k=2)
        assert {place.id for place in shown.items} == {"a/b ü", "i2"}
        assert shop.user("c1")["events"][0]["item"] == "a/b ü"
        assert shop.put_users([{"id": "c1", "properties": {"country": "DE"}}]).accepted == 1
        assert shop.change_user("c1", properties={"country": "FR"})["properties"] == {"country": "FR"}
        assert shop.delete_user("c1")["removed"]["events"] == 1
        assert shop.delete_item("i2") == {"removed": {"items": 1}}
        assert shop.status()["ready"]
        assert shop.versions()["published"]["name"] == "counts-0"


def test_a_key_from_a_file_has_an_end_of_line_and_one_that_is_none_is_not_told(url: str) -> None:
    with Client(url, KEY + "\n") as shop:
        assert shop.status()["ready"]
    for kind in (Client, AsyncClient):
        with pytest.raises(InputError, match="one line of printable") as refused:
            kind(url, "ek_SEC\nRET")
        assert "SEC" not in str(refused.value)


def test_that_a_person_was_removed_is_waited_for_longer(url: str) -> None:
    patience: dict[str, float] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        patience[request.url.path] = request.extensions["timeout"]["read"]
        return httpx.Response(200, json={})

    with Client("http://localhost", timeout_s=5.0, transport=httpx.MockTransport(answer)) as shop:
        shop.delete_user("u"), shop.delete_item("i"), shop.status()
    assert patience == {"/v1/users/u": 600.0, "/v1/items/i": 5.0, "/v1/status": 5.0}


def test_errors_are_the_houses_with_the_servers_sentence(url: str) -> None:
    with Client(url, KEY) as shop:
        with pytest.raises(NotFoundError, match=r"^Item 'nothing' must have been sent before; it was not\.$"):
            shop.item("nothing")
        with pytest.raises(RecordError, match=r"^Record 0: Unknown field 'itm'. Did you mean 'item'"):
            shop.ingest([{"user": "u", "itm": "i"}])
        with pytest.raises(InputError, match=r"^Unknown scenario 'nowhere'") as caught:
            shop.recommend(user="u", scenario="nowhere")
        assert caught.value.type == "unknown_scenario"
    with Client(url, "a-reading-key") as reader:
        assert reader.status()["ready"]
        with pytest.raises(client.KeyRefusedError, match="must be asked with a key for 'write'"):
            reader.ingest([{"user": "u", "item": "i"}])
    with pytest.raises(UnreachableError, match=r"^A server must answer at 'http://127\.0\.0\.1:9'; got: "):
        Client("http://127.0.0.1:9", retries=0).status()


class Scripted(httpx.BaseTransport):
    """Does with each request what the script says: answers it, fails before it, or loses the answer."""

    def __init__(self, url: str, *script: str | httpx.Response) -> None:
        self.bodies: list[bytes] = []
        self._script = list(script)
        self._server = httpx.HTTPTransport()
        self._url = httpx.URL(url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        self.bodies.append(request.read())
        step = self._script.pop(0) if self._script else "answer"
        if isinstance(step, httpx.Response):
            return step
        if step == "refused":
            raise httpx.ConnectError("refused")
        answer = self._server.handle_request(request)
        if step == "lost":
            answer.read()
            raise httpx.ReadTimeout("lost")
        return answer

    def close(self) -> None:
        """Let go."""
        self._server.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited."""
    waited: list[float] = []
    monkeypatch.setattr("everbrook.client.synchronous.time.sleep", waited.append)
    return waited


def test_events_whose_answer_was_lost_count_once(url: str, waits: list[float]) -> None:
    transport = Scripted(url, "refused", "lost", httpx.Response(503, headers={"Retry-After": "7"}), "answer")
    with Client(url, KEY, transport=transport) as shop:
        receipt = shop.ingest([{"user": "lost", "item": "i1"}, {"user": "lost", "item": "i2"}])
    assert (receipt.accepted, receipt.duplicates) == (0, 2)
    assert len(set(transport.bodies)) == 1
    assert b'"id"' in transport.bodies[0]
    assert waits[2] == 7.0
    assert 0.05 <= waits[0] <= 0.1
    with Client(url, KEY) as shop:
        assert len(shop.user("lost")["events"]) == 2


def test_what_may_not_be_done_twice_is_not_sent_twice(url: str, waits: list[float]) -> None:
    transport = Scripted(url, "lost")
    with Client(url, KEY, transport=transport) as shop, pytest.raises(UnreachableError):
        shop.pause()
    assert len(transport.bodies) == 1
    transport = Scripted(url, "refused", "answer")
    with Client(url, KEY, transport=transport) as shop, pytest.raises(EverbrookError, match="learner"):
        shop.pause()  # it never arrived, so it is sent again, and there is no learner
    assert waits


def test_a_limit_is_waited_for_and_told_in_the_end(url: str, waits: list[float]) -> None:
    limited = [httpx.Response(429, headers={"Retry-After": "2"}, json={
        "error": {"type": "too_many_requests", "message": "A key must send less.", "hint": None}
    }) for _ in range(3)]  # fmt: skip
    transport = Scripted(url, *limited)
    with Client(url, KEY, retries=2, transport=transport) as shop, pytest.raises(RateError, match="must send less"):
        shop.recommend(user="u")
    assert waits == [2.0, 2.0]


def test_waits_grow_and_have_a_limit() -> None:
    for attempt in range(30):
        most = min(replies.LONGEST_WAIT_S, replies.FIRST_WAIT_S * 2**attempt)
        assert most / 2 <= replies.backoff_s(attempt) <= most


def _until(what: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(600):
        if what():
            return
        done.wait(0.05)
    raise AssertionError("It did not come to that in 30 s.")


def test_a_batch_is_sent_by_count_by_time_and_at_the_end(url: str) -> None:
    with Client(url, KEY) as shop:
        with shop.batch(count=10, every_s=1000) as batch:
            for n in range(25):
                batch.add({"user": "batched", "item": f"b{n}"})
            _until(lambda: batch.sent >= 20)
        assert batch.sent == 25
        with shop.batch(count=1000, every_s=0.05) as batch:
            batch.add({"user": "batched", "item": "late"})
            _until(lambda: batch.sent == 1)
        assert len(shop.user("batched")["events"]) == 26


def test_what_a_batch_could_not_send_waits_in_its_order(url: str, waits: list[float]) -> None:
    transport = Scripted(url, "refused", "answer")
    with Client(url, KEY, retries=0, transport=transport) as shop:
        batch = client.Batch(shop, count=100, every_s=1000)
        for n in range(3):
            batch.add({"user": "patient", "item": f"p{n}"})
        with pytest.raises(UnreachableError):
            batch.flush()
        assert isinstance(batch.failure, UnreachableError)
        batch.close()
        assert [one["item"] for one in shop.user("patient")["events"]] == ["p2", "p1", "p0"]


def _visits(user: str) -> list[dict[str, str | int]]:
    """Three events with a field that is not known, then six good ones."""
    wrong: list[dict[str, str | int]] = [{"id": f"{user}-{n}", "user": user, "item": "w", "itm": n} for n in range(3)]
    return wrong + [{"user": user, "item": f"g{n}"} for n in range(6)]


REFUSED = (
    "Every event must be one that the server takes; 3 of this batch were not and are taken out, the others were sent. "
    "The first has the id '{}-0': Unknown field 'itm'. Did you mean 'item'? "
)


@pytest.mark.parametrize("count", [4, 100])
def test_refused_events_are_taken_out_and_told_once_and_the_others_are_sent(url: str, count: int) -> None:
    user = f"refused{count}"
    with Client(url, KEY) as shop:
        batch = shop.batch(count=count, every_s=1000)
        for visit in _visits(user):
            batch.add(visit)
        with pytest.raises(RefusedError, match=f"^{re.escape(REFUSED.format(user))}") as caught:
            batch.flush()
        assert (caught.value.count, batch.sent, batch.failure) == (3, 6, None)
        assert [one.event for one in caught.value.refusals] == _visits(user)[:3]
        batch.flush()
        batch.close()
        assert [one["item"] for one in shop.user(user)["events"]] == [f"g{n}" for n in range(5, -1, -1)]


def test_what_was_refused_in_the_background_is_told_at_the_end(url: str) -> None:
    with Client(url, KEY) as shop:
        batch = shop.batch(count=5, every_s=0.01)
        for visit in _visits("behind"):
            batch.add(visit)
        _until(lambda: batch.sent == 6)
        with pytest.raises(RefusedError, match=r"; 3 of this batch were not and are taken out"):
            batch.close()

    async def asked() -> None:
        async with AsyncClient(url, KEY) as shop:
            batch = shop.batch(count=5, every_s=0.01)
            for visit in _visits("behind-async"):
                batch.add(visit)
            while batch.sent < 6:
                await asyncio.sleep(0.01)
            with pytest.raises(RefusedError, match=r"; 3 of this batch were not and are taken out"):
                await batch.close()
            assert len((await shop.user("behind-async"))["events"]) == 6

    asyncio.run(asyncio.wait_for(asked(), 30))


def test_ids_of_dots_are_ids(url: str) -> None:
    with Client(url, KEY) as shop:
        for dots in (".", "..", "...", "a/../b"):
            shop.ingest([{"user": dots, "item": dots}])
            assert shop.user(dots)["id"] == shop.item(dots)["id"] == shop.similar(dots)["item"] == dots
            assert shop.change_item(dots, title="Dots")["title"] == "Dots"
            assert shop.delete_item(dots) == {"removed": {"items": 1}}
            assert shop.delete_user(dots)["removed"]["events"] == 1

    async def asked() -> None:
        async with AsyncClient(url, KEY) as shop:
            await shop.put_items([{"id": ".."}])
            await shop.ingest([{"user": "..", "item": ".."}])
            assert (await shop.item(".."))["id"] == ".."
            assert (await shop.delete_user(".."))["removed"]["events"] == 1

    asyncio.run(asked())


@pytest.mark.parametrize("reply", [
    {"text": "<html>Log in</html>"}, {"content": b'{"accepted": "\xff"}'}, {"json": ["not", "this"]}, {},
])  # fmt: skip
def test_an_answer_that_is_not_everbrooks_is_told_in_a_sentence(url: str, reply: dict[str, Any]) -> None:
    said = r"^A server must answer in Everbrook's form; got status 200 with a body that is not\.$"
    transport = Scripted(url, httpx.Response(200, **reply), httpx.Response(200, **reply))
    with Client(url, KEY, transport=transport) as shop:
        with pytest.raises(EverbrookError, match=said):
            shop.status()
        with shop.batch(count=100, every_s=1000) as batch:
            batch.add({"user": "asked-again", "item": "i"})
            with pytest.raises(EverbrookError, match=said):
                batch.flush()
        assert batch.sent == 1


def test_the_asynchronous_client_does_the_same(url: str) -> None:
    async def asked() -> None:
        async with AsyncClient(url, KEY) as shop:
            async with shop.batch(count=7, every_s=0.05) as batch:
                for n in range(20):
                    batch.add({"user": "async", "item": f"a{n}"})
                    await asyncio.sleep(0)
            assert batch.sent == 20
            lists = await asyncio.gather(*(shop.recommend(user="async", k=3) for _ in range(10)))
            assert all(len(shown.items) == 3 for shown in lists)
            with pytest.raises(NotFoundError):
                await shop.item("nothing")
        with pytest.raises(UnreachableError):
            await AsyncClient("http://127.0.0.1:9", retries=0).status()

    asyncio.run(asked())


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run_and_are_short(path: Path, url: str, tmp_path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERBROOK_")}
    command = [sys.executable, "-W", "error", str(path), url, KEY]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
