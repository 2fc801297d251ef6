"""Requests made from the OpenAPI description, right and wrong ones: does any answer break the description?

    python bench/schema_fuzz.py [--requests 100000] [--seed 0] [--seconds 3600]

Schemathesis makes the requests from the description that the server tells, which takes most of the time; so each right
one is sent several times, with ids that exist in the place of the made ones, so that not all ends in 404, and with
another thing of body or query made wrong. Every answer must have a status that the description names, never 500,
and a body that fits its schema. At the end what is known of all items, users and guests is compared with what a fresh
core makes of the same log. Requests go through the whole application (keys, limits, routes) in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema_rs
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

from everbrook import Recommender
from everbrook.engine.building import new_core
from everbrook.engine.fitting import catch_up
from everbrook.http.app import build_app
from everbrook.http.openapi import document
from everbrook.settings import Settings, load_settings
from everbrook.state import State

sys.path.insert(0, str(Path(__file__).parent))

BASE = "http://localhost"
KNOWN = ("u1", "u2", "i1", "i2", "v1")
LEFT_OUT = {
    ("get", "/v1/stream"), ("get", "/v1/learned"), ("post", "/v1/backtests"), ("post", "/v1/check"),
    ("post", "/v1/made-traffic"),
}  # fmt: skip
"""What does not end or waits for news, and what begins work beside the server; their own tests ask them."""
SELDOM = {("delete", "/v1/users/{id}"): 0.02, ("get", "/docs"): 0.1, ("get", "/openapi.json"): 0.1}
"""Shares of the requests that others get: forgetting a person writes every file anew."""
VARIANTS = 8  # requests of each right one that was made
TURNS = 4
ROUND = 5000  # requests to all routes, then the next
SPOILED = 0.6  # share of the bodies, and of the queries, in which one thing is made wrong
STRANGE = (
    None, True, -1, 0, 1e308, 10**30, "", "x" * 300, "\x00", "\U0001f600", "u1", "i1", [], {}, [[]], [None] * 50,
    "noon", "price < 3", "((", "2026-01-01T00:00:00Z", 1e-320, 2**63, {"filter": "price", "by": -1}, "__proto__",
)  # fmt: skip
ASSIGNMENTS = ['mixture.experts=["popularity", "transitions", "content", "live"]', "learner.mode=inside"]
SETTINGS: Settings = load_settings(environment={}, assignments=[*ASSIGNMENTS, "serve.log_requests=none"]).settings


class Door:
    """An application in this process, asked without a network.

    Args:
        engine: what answers.
    """

    def __init__(self, engine: Recommender) -> None:
        self.engine = engine
        self._app = build_app(engine, SETTINGS)
        self._loop = asyncio.new_event_loop()
        told = document()
        self._components, self._paths = told["components"], told["paths"]
        self._validators: dict[tuple[str, str, int], Any] = {}
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []

    def close(self) -> None:
        """End what waits."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def ask(self, request: requests.PreparedRequest, route: str) -> None:
        """Send one request and hold its answer against the description."""
        method = str(request.method).lower()
        status, media, body = self._loop.run_until_complete(asyncio.wait_for(self._answer(request), 120))
        self.statuses[status] += 1
        told = self._paths[route][method]["responses"].get(str(status))
        if told is None or (status >= 500 and status != 503):  # 503 is an answer where the description says when
            why = "is not described" if told is None else "is a fault"
        elif media.partition(";")[0] not in told["content"]:
            why = f"has the content {media}"
        elif media == "application/json" and not self._fits(method, route, status, json.loads(body)):
            why = "does not fit its schema"
        else:
            return
        sent = (request.body or b"")[:500]
        self.wrong.append(f"{method} {request.url}: status {status} {why}: {body[:300]!r}; sent {sent!r}")

    def _fits(self, method: str, route: str, status: int, told: Any) -> bool:
        key = (method, route, status)
        if key not in self._validators:
            schema = self._paths[route][method]["responses"][str(status)]["content"]["application/json"]["schema"]
            self._validators[key] = jsonschema_rs.validator_for({**schema, "components": self._components})
        return bool(self._validators[key].is_valid(told))

    async def _answer(self, request: requests.PreparedRequest) -> tuple[int, str, bytes]:
        path, _, query = str(request.url).removeprefix(BASE).partition("?")
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        headers = [(name.lower().encode("latin-1"), _bytes(value)) for name, value in request.headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method,
            "scheme": "http", "path": requests.utils.unquote(path), "raw_path": path.encode(), "root_path": "",
            "query_string": query.encode(), "headers": [(b"host", b"localhost"), *headers],
            "client": ("127.0.0.1", 1), "server": ("localhost", 80),
        }  # fmt: skip
        incoming = iter([{"type": "http.request", "body": body, "more_body": False}])
        status, media, parts = 0, "", []

        async def receive() -> Any:
            return next(incoming, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            nonlocal status, media
            if message["type"] == "http.response.start":
                status = message["status"]
                media = dict(message["headers"]).get(b"content-type", b"").decode()
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return status, media, b"".join(parts)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")


def begin(engine: Recommender) -> None:
    """A few items, users and events, so that something is there."""
    engine.put_items([
        {"id": f"i{n}", "title": f"Item {n}", "categories": ["a"], "properties": {"price": float(n)}} for n in range(5)
    ])  # fmt: skip
    engine.put_users([{"id": "u1", "properties": {"country": "DE"}}])
    engine.ingest([{"user": f"u{n % 3}", "item": f"i{n % 5}", "session": f"v{n % 3}"} for n in range(20)])


def fuzz(door: Door, count: int, seed: int) -> int:
    """Send about so many requests, as many to each route and mode; gives how many it were."""
    schema = schemathesis.openapi.from_dict(document())
    found = [one.ok() for one in schema.get_all_operations()]
    chosen = [one for one in found if (one.method, one.path) not in LEFT_OUT]
    shares = [SELDOM.get((one.method, one.path), 1.0) for one in chosen]
    sent = 0
    for left in range(len(chosen), 0, -1):  # what one route cannot be asked, the later ones are
        operation, share = chosen[-left], shares[-left]
        wanted = (count - sent) * share / sum(shares[-left:])
        for mode, part in ((GenerationMode.POSITIVE, 0.95), (GenerationMode.NEGATIVE, 0.05)):
            sent += _one(door, operation, mode, max(1, round(wanted * part)), seed)
    return sent


def _one(door: Door, operation: Any, mode: GenerationMode, count: int, seed: int) -> int:
    """Send requests to one operation; none where there is nothing that could be wrong."""
    try:
        strategy = operation.as_strategy(generation_mode=mode)
    except schemathesis.errors.SchemathesisError:
        return 0
    variants = VARIANTS if mode is GenerationMode.POSITIVE else 1
    sent, per_example = 0, float(variants)
    for turn in range(TURNS):  # some have less to vary than others, which shows when they are made
        examples = max(1, round((count - sent) / per_example))
        more = _examples(door, operation, strategy, examples, variants, seed + turn)
        sent, per_example = sent + more, more / examples
        if sent >= 0.95 * count or not more:
            break
    return sent


def _examples(door: Door, operation: Any, strategy: Any, count: int, variants: int, seed: int) -> int:
    """Let so many requests be made, and send each and others like it; gives how many were sent."""
    sent = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count, phases=[hypothesis.Phase.generate], deadline=None, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=strategy, draws=st.integers(0, 2**32))
    def send(case: Any, draws: int) -> None:
        nonlocal sent
        for varied in varieties(case, variants, random.Random(draws)):
            door.ask(requests.Request(**varied.as_transport_kwargs(base_url=BASE)).prepare(), operation.path)
            sent += 1

    try:
        send()
    except hypothesis.errors.Unsatisfiable:  # a route that takes nothing cannot be asked wrongly
        return 0
    return sent


def varieties(case: Any, count: int, rng: random.Random) -> Iterator[Any]:
    """A request as it was made, then others like it; fewer where there is nothing that could differ."""
    yield case
    path, query, body = dict(case.path_parameters or {}), dict(case.query or {}), case.body
    has_body = isinstance(body, dict | list) and bool(body)
    if not (path or query or has_body):
        return
    for _ in range(count - 1):
        if path:
            case.path_parameters = path | {"id": rng.choice(KNOWN)} if rng.random() < 0.7 else path
        if has_body:
            case.body = spoiled(body, rng) if rng.random() < SPOILED else body
        if query and rng.random() < SPOILED:
            case.query = query | {rng.choice(sorted(query)): str(rng.choice(STRANGE))[:100]}
        yield case


def spoiled(node: Any, rng: random.Random) -> Any:
    """A body with one thing wrong: a value, a missing field, or one that nobody knows."""
    if isinstance(node, dict) and node and rng.random() < 0.8:
        name = rng.choice(sorted(node))
        if rng.random() < 0.15:
            return {key: value for key, value in node.items() if key != name}
        return node | {name: spoiled(node[name], rng)} | ({"strange": 1} if rng.random() < 0.1 else {})
    if isinstance(node, list) and node and rng.random() < 0.8:
        at = rng.randrange(len(node))
        return [*node[:at], spoiled(node[at], rng), *node[at + 1 :]]
    return rng.choice(STRANGE)


def known(state: State) -> dict[str, Any]:
    """What a state knows of every item, user and guest, by id."""
    told: dict[str, Any] = {"items": {}, "users": {}, "guests": {}}
    for item_id in _names(state.items):
        record = state.catalogue.get(state.items.row(item_id))
        if record is not None:
            told["items"][item_id] = record
    for user_id in _names(state.users):
        row = state.users.row(user_id)
        actor = state.histories.actor_of(row, -1, named=True)
        sessions = sorted(state.sessions.id(one) for one in state.histories.sessions_of(actor))
        told["users"][user_id] = (state.people.properties(row), _past(state, actor), sessions)
    for session_id in _names(state.sessions):
        told["guests"][session_id] = _past(state, state.histories.actor_of(-1, state.sessions.row(session_id), False))
    return told


def _names(ids: Any) -> list[str]:
    return sorted(name for name in ids.names() if name in ids)


def _past(state: State, actor: int) -> list[tuple[str, int, str]]:
    past, kinds = state.histories.past(actor), state.kinds.names
    rows = zip(past.items.tolist(), past.times.tolist(), past.kinds.tolist(), strict=True)
    return [(state.items.id(item), ts_ms, kinds.id(kind)) for item, ts_ms, kind in rows]


def differences(engine: Recommender) -> list[str]:
    """Where what is known differs from what the log says."""
    engine.update()
    fresh = new_core(SETTINGS)
    catch_up(fresh, engine.log, engine.log.end, SETTINGS)
    ours, theirs = known(engine._core.state), known(fresh.state)
    return [
        f"{what} {name!r}: {ours[what].get(name)} and {theirs[what].get(name)}" for what in ours
        for name in sorted(ours[what].keys() | theirs[what].keys()) if ours[what].get(name) != theirs[what].get(name)
    ]


def main() -> None:
    """Fuzz, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further round after so long")
    options = parser.parse_args()
    import streams_data as data

    begun, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, Recommender.open(Path(folder) / "data", SETTINGS) as engine:
        begin(engine)
        door = Door(engine)
        sent, turn = 0, 0
        while sent < options.requests and time.monotonic() - begun < options.seconds:
            sent += fuzz(door, min(ROUND, options.requests - sent), 1000 * options.seed + turn)
            turn += 1
            print(f"{sent} requests, {len(door.wrong)} wrong answers", file=sys.stderr, flush=True)
        wrong = differences(engine)
        door.close()
    for line in [*door.wrong[:20], *wrong[:20]]:
        print(line, file=sys.stderr)
    data.tell("schema_fuzz/requests", sent, "requests", statuses=dict(sorted(door.statuses.items())))
    data.tell("schema_fuzz/against_the_description", len(door.wrong), "answers")
    data.tell("schema_fuzz/differences_from_the_log", len(wrong), "records")
    data.tell("schema_fuzz/took", round(time.monotonic() - begun, 1), "s", cpu_s=round(time.process_time() - cpu, 1))
    raise SystemExit(bool(door.wrong or wrong))


if __name__ == "__main__":
    main()
