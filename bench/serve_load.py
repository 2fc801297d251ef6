"""Load on a server: wrk with a script where it is installed, else sockets without a library; and pairs of requests."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import wrk

ITEMS_OF_PAIRS = 64
SCRIPT = """
local size, items, users, run = SIZE, ITEMS, USERS, "RUN"
local counter, parts = 0, {}
local function item() return math.min(items - 1, math.floor(50 / (1 - math.random()) - 50)) end
function request()
  for j = 1, size do
    counter = counter + 1
    parts[j] = '{"user":"u' .. math.random(0, users - 1) .. '","item":"i' .. item() ..
      '","kind":"view","id":"' .. run .. '-' .. number .. '-' .. counter .. '"}'
  end
  return wrk.format(nil, "/v1/events", nil, '{"events":[' .. table.concat(parts, ",", 1, size) .. ']}')
end
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What a load found."""

    answered: int  # requests
    refused: int  # or lost, or stale
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float  # of the generator
    generator: str


def run(port: int, size: int, connections: int, seconds: float, items: int, users: int) -> Told:
    """Post batches of a size from so many connections, each as soon as its last was answered."""
    if shutil.which("wrk"):
        return _wrk(port, size, connections, seconds, items, users)
    own = [sys.executable, __file__, *(str(value) for value in (port, size, connections, seconds, items, users))]
    done = subprocess.run(own, capture_output=True, text=True, check=True)
    return Told(**json.loads(done.stdout.splitlines()[-1]))


def _wrk(port: int, size: int, connections: int, seconds: float, items: int, users: int) -> Told:
    script = SCRIPT.replace("SIZE", str(size)).replace("ITEMS", str(items)).replace("USERS", str(users))
    script = script.replace("RUN", f"{time.time_ns():x}")
    told = wrk.ask(port, "/v1/events", script, connections, seconds)
    return Told(
        told.requests - told.refused, told.refused, told.duration_us / 1e6, told.p50_us / 1e3, told.p99_us / 1e3,
        told.cpu_s, "wrk",
    )  # fmt: skip


class Connection(asyncio.Protocol):
    """One connection that asks and waits for its answer, as lean as it can be."""

    def __init__(self) -> None:
        self._held = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        """There is a server."""
        self._transport = transport

    def ask(self, path: str, body: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request; its status and body come."""
        self._answer = asyncio.get_running_loop().create_future()
        kind = "Host: localhost\r\nContent-Type: application/json\r\n"
        head = f"POST {path} HTTP/1.1\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        return self._answer

    def data_received(self, data: bytes) -> None:
        """A piece of an answer."""
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if length is None or len(body) < int(length[1]):
            return
        self._held = b""
        assert self._answer is not None
        self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has gone."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("The server has gone."))


async def _connect(port: int) -> Connection:
    _, protocol = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return protocol


async def _own(port: int, size: int, connections: int, seconds: float, items: int, users: int) -> Told:
    rng, waits, refused, until = random.Random(0), [], 0, time.perf_counter() + seconds
    name = f"{time.time_ns():x}"

    async def one(number: int) -> None:
        nonlocal refused
        connection, count = await _connect(port), 0
        while time.perf_counter() < until:
            rows = [
                f'{{"user":"u{rng.randrange(users)}","item":"i{min(items - 1, int(50 * rng.paretovariate(1)) - 50)}",'
                f'"kind":"view","id":"{name}-{number}-{count + row}"}}' for row in range(size)
            ]  # fmt: skip
            count += size
            began_s = time.perf_counter()
            status, _ = await connection.ask("/v1/events", f'{{"events":[{",".join(rows)}]}}'.encode())
            waits.append(time.perf_counter() - began_s)
            refused += status != 200

    began_s = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(connections)))
    p50, p99 = _percentiles(waits)
    return Told(
        len(waits) - refused, refused, time.perf_counter() - began_s, p50, p99, time.process_time(), "asyncio"
    )


def _percentiles(waits: list[float]) -> tuple[float, float]:
    waits = sorted(waits) or [0.0]
    return 1e3 * waits[len(waits) // 2], 1e3 * waits[min(len(waits) - 1, int(0.99 * len(waits)))]


async def _pairs(port: int, count: int, clients: int, run: str) -> Told:
    stale, waits, left = 0, [], iter(range(count))

    async def one(number: int) -> None:
        nonlocal stale
        writing, asking = await _connect(port), await _connect(port)
        for turn in left:
            user, item = f"{run}-user-{turn}", f"{run}-item-{turn % ITEMS_OF_PAIRS}"
            event = {"user": user, "item": item, "kind": "view", "id": f"{run}-{turn}"}
            began_s = time.perf_counter()
            status, answer = await writing.ask("/v1/events", json.dumps({"events": [event]}).encode())
            other = f"{run}-item-{(turn + 1) % ITEMS_OF_PAIRS}"  # which nobody of this name has seen
            wish = {"user": user, "k": 2, "candidates": [item, other], "exclude_seen": True}
            listed, body = await asking.ask("/v1/recommend", json.dumps(wish).encode())
            waits.append(time.perf_counter() - began_s)
            names = [one["id"] for one in json.loads(body).get("items", ())]
            if status != 200 or listed != 200 or names != [other]:
                stale += 1
                print(status, answer[:200], listed, body[:300], file=sys.stderr)

    catalogue = {"items": [{"id": f"{run}-item-{n}"} for n in range(ITEMS_OF_PAIRS)]}
    await (await _connect(port)).ask("/v1/items", json.dumps(catalogue).encode())
    began_s = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(clients)))
    p50, p99 = _percentiles(waits)
    return Told(len(waits), stale, time.perf_counter() - began_s, p50, p99, 0.0, "asyncio")


def pairs(port: int, count: int, clients: int = 16) -> Told:
    """An event and then a list for its user without what was seen: the item must not be in it. `refused` are stale."""
    return asyncio.run(_pairs(port, count, clients, f"{os.getpid()}-{time.time_ns():x}"))


if __name__ == "__main__":
    numbers = [float(value) for value in sys.argv[1:]]
    whole = [int(numbers[0]), int(numbers[1]), int(numbers[2]), numbers[3], int(numbers[4]), int(numbers[5])]
    found = asyncio.run(_own(*whole))  # type: ignore[arg-type]
    print(json.dumps({name: getattr(found, name) for name in Told.__slots__}))
