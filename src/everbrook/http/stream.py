"""Server-sent events: a digest of the status twice a second, for whoever looks. Made once for all; nobody waits for
those who read slowly: whose few places are full is let go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from everbrook.errors import NotReadyError
from everbrook.http.keys import Key

log = logging.getLogger("everbrook.http")

EVERY_S = 0.5
WAITING = 4  # digests that may wait for a client
CLIENTS = 64
END = b""


class Stream:
    """Gives digests to clients.

    Args:
        status: tells where everything stands; called on another thread.
        more: what else is in each digest, by name.
    """

    def __init__(self, status: Callable[[], dict[str, Any]], more: dict[str, Callable[[], Any]] | None = None) -> None:
        self._status = status
        self.more = more or {}
        self.admits: Callable[[Key | None], bool] = lambda _: True  # whether a key may still look; asked each time
        self._clients: dict[asyncio.Queue[bytes], Key | None] = {}
        self._teller: asyncio.Task[None] | None = None
        self._before: dict[str, Any] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._clients)

    def join(self, key: Key | None = None) -> AsyncIterator[bytes]:
        """Digests from now on, until the client goes, is too slow, or its key is taken away.

        Args:
            key: with which it came.

        Raises:
            NotReadyError: too many look already, or the server stops.
        """
        if self._closed or len(self._clients) >= CLIENTS:
            raise NotReadyError(f"At most {CLIENTS} clients must look at the stream at once; no place is free.")
        queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._clients[queue] = key
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell())
        return self._given(queue)

    async def _given(self, queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        try:
            yield b"retry: 2000\n\n"
            while (digest := await queue.get()) is not END:
                yield b"event: status\ndata: %b\n\n" % digest
        finally:
            self._clients.pop(queue, None)

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        while self._clients and not self._closed:
            try:
                digest = await loop.run_in_executor(None, self._digest)
            except Exception as error:  # noqa: BLE001  whoever looks waits for the next
                log.warning("A digest could not be made: %s.", type(error).__name__)
            else:
                self._before = digest
                self._put(msgspec.json.encode(digest))
            await asyncio.sleep(EVERY_S)

    def _digest(self) -> dict[str, Any]:
        return digested(self._status(), self._before) | {name: told() for name, told in self.more.items()}

    def _put(self, body: bytes) -> None:
        for queue, key in list(self._clients.items()):
            if queue.full() or not self.admits(key):
                self._let_go(queue)
            else:
                queue.put_nowait(body)

    def _let_go(self, queue: asyncio.Queue[bytes]) -> None:
        self._clients.pop(queue, None)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(END)

    def close(self) -> None:
        """Let everybody go: the server stops. Called in the loop."""
        self._closed = True
        for queue in list(self._clients):
            self._let_go(queue)
        if self._teller is not None:
            with contextlib.suppress(RuntimeError):
                self._teller.cancel()


def digested(status: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """What a dashboard shows of a status, with rates since the digest before.

    Args:
        status: as the engine tells it.
        before: the last digest; None where there was none.
    """
    live, mixture = status["live"], status["mixture"]
    process = live.get("process") or {}
    digest: dict[str, Any] = {name: status[name] for name in (
        "ready", "offset", "end", "lag", "events", "items", "actors", "lists", "up_s",
    )}  # fmt: skip
    further = ("memory", "now_ms", "last_errors", "kinds", "scenarios")
    digest |= {name: status[name] for name in further if name in status}
    digest |= {
        "version": status["version"]["name"], "stage": live.get("stage"), "learns": live["mode"],
        "behind": process.get("behind"), "freshness": process.get("freshness"),
        "drift": live.get("drift", {}).get("factor"), "paused": live.get("gate", {}).get("paused"),
        "log_loss": mixture["log_loss"], "weights": mixture["weights"], "refit": status["refit"]["state"],
        "errors": len(status["last_errors"]), "published": status["version"], "live": _live(live),
        "refitting": status["refit"],
    }  # fmt: skip
    past_s = 0.0 if before is None else digest["up_s"] - before["up_s"]
    for name in ("events", "lists"):
        gained = 0.0 if before is None or past_s <= 0.0 else (digest[name] - before[name]) / past_s
        digest[f"{name}_per_s"] = round(gained, 1)
    return digest


def _live(live: dict[str, Any]) -> dict[str, Any]:
    """What a dashboard shows of the live model: its weights, its gate with the evidence, its drift, its process."""
    process = live.get("process") or {}
    own = ("mode", "stage", "published", "note", "anchor", "counts", "events")
    others = ("state", "pid", "behind", "starts")
    told: dict[str, Any] = {name: live[name] for name in own if name in live}
    told["process"] = {name: process.get(name) for name in (*others, "hangs")} if process else None
    if "gate" in live:
        gate = live["gate"]
        told["gate"] = gate | {"readings": [one for one in gate["readings"] if one["scenario"] < 0]}
    if "drift" in live:
        told["drift"] = {name: live["drift"][name] for name in ("factor", "rises", "falls", "last")}
    return told
