"""Compiles Everbrook's kernels into NUMBA_CACHE_DIR by using them: a small made shop is served, asked and fitted.

Run while the container's image is built: else the first events and lists of each new container wait for it, a minute or
more. Numba keeps kernels for the processor that they were compiled on; on another kind they compile at first use.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LIMIT_S = 1800.0
HERE = ("--host", "127.0.0.1", "--port", "0", "--set", f"learner.hang_s={LIMIT_S}")  # compiling is no hanging
KINDS = ("view", "view", "view", "cart", "buy", "rate", "dislike", "impression")
WISHES: tuple[dict[str, Any], ...] = (
    {"user": "u1"},
    {"user": "nobody"},
    {},
    {"session": "s3", "scenario": "home"},
    {"item": "i1", "user": "u2"},
    {"items": ["i1", "i2"]},
    {"user": "u3", "filter": "price < 40 and 'c1' in categories"},
    {"user": "u4", "boost": [{"filter": "price < 20", "by": 1.5}], "pin": [{"item": "i8", "position": 0}]},
    {"user": "u5", "diversity": 0.5, "calibration": 0.5, "explore": 0.3, "freshness": 0.5, "popularity": 0.5},
    {"user": "u6", "exclude_seen": True, "exclude": ["i3"]},
    {"user": "u7", "candidates": ["i1", "i2", "i3", "i4"]},
)


def main() -> None:
    """Serve from nothing, then from what was stored; end each time as a container is ended."""
    with tempfile.TemporaryDirectory(prefix="everbrook-kernels-") as data:
        with _served(data) as ask:
            _tell_of_items(ask)
            _happen(ask, batches=12, size=100)
            _wish(ask)
            ask("/v1/refit", {})
            _wait("the large model", lambda: not str(ask("/v1/status")["version"]["name"]).startswith("counts-"))
            _happen(ask, batches=6, size=50)
            last = int(ask("/v1/status")["offset"])
            _wait("the live weights", lambda: bool(ask(f"/v1/learned?offset={last}&wait_ms=2000")["reached"]))
            ask("/v1/override", {"stage": "live"})
            _happen(ask, batches=40, size=1)
            _wish(ask)
        with _served(data) as ask:
            _happen(ask, batches=2, size=50)
            _wish(ask)


def _tell_of_items(ask: Callable[..., Any]) -> None:
    ask("/v1/items", {"items": [
        {"id": f"i{at}", "title": f"Thing {at} of kind {at % 5}", "text": f"A thing, {at % 7} of its sort.",
         "categories": [f"c{at % 5}"], "tags": [f"t{at % 3}"], "properties": {"price": at % 50, "brand": f"b{at % 4}"}}
        for at in range(120)
    ]})  # fmt: skip
    ask("/v1/users", {"users": [{"id": f"u{at}", "properties": {"plan": "basic"}} for at in range(40)]})


def _happen(ask: Callable[..., Any], batches: int, size: int) -> None:
    """Events of people and guests, each item likely followed by the next."""
    draw = random.Random(batches)
    for _ in range(batches):
        events: list[dict[str, Any]] = []
        for at in range(size):
            who, kind = draw.randrange(40), draw.choice(KINDS)
            asker = {"session": f"s{who}"} if who % 4 == 0 else {"user": f"u{who}", "session": f"v{who}"}
            item = f"i{int(120 * draw.random() ** 2) if at % 2 else (who * 3 + at) % 120}"
            value = {"value": float(draw.randrange(1, 6))} if kind == "rate" else {}
            events.append({"item": item, "kind": kind, "scenario": draw.choice(("home", "product")), **asker, **value})
        ask("/v1/events", {"events": events})


def _wish(ask: Callable[..., Any]) -> None:
    for wish in WISHES:
        ask("/v1/recommend", {"k": 10, **wish})
    for path in ("/v1/items/i1/similar?k=5", "/v1/trending?k=5&window=1h", "/v1/explain?user=u1&item=i5", "/metrics",
                 "/v1/items/i1/look", "/v1/catalogue", "/v1/learning", "/v1/counts"):  # fmt: skip
        ask(path)


def _wait(what: str, reached: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not reached():
        if time.monotonic() > until:
            raise TimeoutError(f"The small made shop must have {what} within {LIMIT_S:.0f} s; it does not.")
        time.sleep(0.2)


@contextmanager
def _served(data: str) -> Iterator[Callable[..., Any]]:
    """A server of its own on a free port; what is given asks it."""
    command = [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", data, *HERE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = next((line for line in server.stdout if " answers on " in line), "")
        if not line:
            raise RuntimeError(f"The server must come up; it ended with {server.wait()}, see above.")
        address = line.split(" answers on ")[1].split()[0]

        def ask(path: str, body: dict[str, Any] | None = None) -> Any:
            content = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(address + path, content, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                text = answer.read()
            return json.loads(text) if answer.headers.get_content_type() == "application/json" else text

        try:
            yield ask
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=LIMIT_S)
        if code:
            raise RuntimeError(f"The server must end in order; it ended with {code}, see above.")


if __name__ == "__main__":
    began_s = time.monotonic()
    main()
    sys.stdout.write(f"Kernels compiled in {time.monotonic() - began_s:.0f} s.\n")
