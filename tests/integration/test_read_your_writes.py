"""What was answered is in the next list, whatever else is in flight; and a stop answers what was accepted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from everbrook import Recommender
from everbrook.events.log_writer import Job
from everbrook.http.keys import Keyring
from everbrook.http.server import bind, build_server
from everbrook.settings import load_settings

SETTINGS = load_settings(environment={}, assignments=[
    "serve.port=0", "learner.mode=off", 'mixture.experts=["popularity", "transitions"]',
]).settings  # fmt: skip
CLIENTS, PAIRS, ITEMS, LIMIT_S = 8, 40, 16, 60.0


class Served:
    """A server in a thread, with its engine.

    Args:
        path: the data directory.
    """

    def __init__(self, path: Path) -> None:
        self._ready = threading.Event()
        self._connections: list[http.client.HTTPConnection] = []
        self.engine = Recommender.open(path, SETTINGS)
        listening = bind(SETTINGS.serve)
        self.port = int(listening.getsockname()[1])
        self.server = build_server(self.engine, SETTINGS, Keyring(()), self._ready.set)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]})

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(LIMIT_S)
        for connection in self._connections:
            connection.close()
        self.engine.close()

    def asking(self) -> Callable[[str, Any], tuple[int, Any]]:
        """A connection: give it a path and a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        self._connections.append(connection)

        def ask(path: str, body: Any) -> tuple[int, Any]:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        return ask


def _stale(served: Served, client: int) -> list[Any]:
    write, read = served.asking(), served.asking()
    found = []
    for turn in range(PAIRS):
        user, item, other = f"u{client}-{turn}", f"i{turn % ITEMS}", f"i{(turn + 1) % ITEMS}"
        event = {"user": user, "item": item, "id": f"e{client}-{turn}"}
        status, receipt = write("/v1/events", {"events": [event]})
        wish = {"user": user, "k": 2, "candidates": [item, other], "exclude_seen": True}
        listed = read("/v1/recommend", wish)[1]
        if status != 200 or [one["id"] for one in listed["items"]] != [other]:
            found.append((status, receipt, listed))
    return found


def test_an_event_is_in_the_next_list_of_its_user_on_another_connection(tmp_path: Path) -> None:
    with Served(tmp_path / "data") as served, ThreadPoolExecutor(CLIENTS) as pool:
        served.asking()("/v1/items", {"items": [{"id": f"i{n}"} for n in range(ITEMS)]})
        stale = [one for found in pool.map(lambda client: _stale(served, client), range(CLIENTS)) for one in found]
        assert stale == []
        assert served.engine.status()["events"] == CLIENTS * PAIRS


def test_a_stop_answers_what_was_accepted(tmp_path: Path) -> None:
    with Served(tmp_path / "data") as served, ThreadPoolExecutor(4) as pool:
        begun, go_on = threading.Event(), threading.Event()
        writer, waiting = served.engine.log._writer, list[Any]()  # type: ignore[attr-defined]
        let_wait = writer._let_wait
        writer._let_wait = lambda write: (let_wait(write), waiting.append(write))  # those of one turn come as one

        def stand_still(*_: object) -> None:
            begun.set()
            go_on.wait(LIMIT_S)

        writer.put(Job(stand_still, lambda _: None, Future()))
        assert begun.wait(LIMIT_S)
        answers = [
            pool.submit(served.asking(), "/v1/events", {"events": [{"user": "u", "item": "i", "id": f"e{n}"}]})
            for n in range(4)
        ]
        end = time.monotonic() + LIMIT_S
        while len(waiting) < 4:
            assert time.monotonic() < end
            time.sleep(0.005)
        served.server.should_exit = True
        go_on.set()
        assert [answer.result(LIMIT_S)[0] for answer in answers] == [200] * 4
    with Recommender.open(tmp_path / "data", SETTINGS) as engine:
        assert engine.status()["events"] == 4
