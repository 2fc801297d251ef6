"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx

from everbrook.client import asks
from everbrook.client.asks import Ask, Receipt, Told
from everbrook.client.replies import UnreachableError, limits, value_of, wait_s
from everbrook.client.waiting import Waiting
from everbrook.errors import EverbrookError
from everbrook.events.records import Event, ItemChange, UserChange
from everbrook.http.bearer import bearer
from everbrook.rank.requests import Recommendation

AnswerT = TypeVar("AnswerT")


class AsyncClient:
    """A server, spoken to over HTTP. Use it with `async with`.

    Args:
        url: its address, such as http://127.0.0.1:8000.
        key: that it asks for; None where it asks for none.
        timeout_s: longest wait for an answer; that a person was removed is waited for longer.
        retries: how often what may be sent again is sent again.
        transport: of httpx; its own where None.

    Raises:
        InputError: no header can hold the key.
    """

    def __init__(
        self, url: str, key: str | None = None, *, timeout_s: float = 30.0, retries: int = 4,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        headers = {"Content-Type": "application/json"} | ({"Authorization": bearer(key)} if key else {})
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_s, transport=transport)
        self._url, self._retries, self._timeout_s = url, retries, timeout_s

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def send(self, ask: Ask[AnswerT]) -> AnswerT:
        """Ask, and again where that is right.

        Raises:
            EverbrookError: what the server told, in its own words.
            UnreachableError: no server answers.
        """
        for attempt in range(self._retries + 1):
            reply, why, never_sent = None, "", False
            try:
                longest = limits(ask, self._timeout_s)
                reply = await self._http.request(ask.method, ask.path, content=ask.body, timeout=longest)
            except httpx.RequestError as error:
                why, never_sent = str(error) or type(error).__name__, isinstance(error, httpx.ConnectError)
            again_s = wait_s(ask, attempt, reply, never_sent)
            if again_s is None or attempt == self._retries:
                break
            await asyncio.sleep(again_s)
        if reply is None:
            raise UnreachableError(f"A server must answer at '{self._url}'; got: {why}.")
        return value_of(ask, reply)

    def batch(self, count: int = 100, every_s: float = 1.0) -> AsyncBatch:
        """Gathers events and sends them together; use it with `async with`.

        Args:
            count: so many are sent at once.
            every_s: none waits longer.
        """
        return AsyncBatch(self, count, every_s)

    async def ingest(self, events: Sequence[Event | Told]) -> Receipt:
        """Tell events; when this returns they are durable and in the next list."""
        return await self.send(asks.events(events))

    async def put_items(self, items: Sequence[ItemChange | Told]) -> Receipt:
        """Insert or change items; fields left out stay as they are, None removes."""
        return await self.send(asks.items(items))

    async def put_users(self, users: Sequence[UserChange | Told]) -> Receipt:
        """Insert or change users; fields left out stay as they are, None removes."""
        return await self.send(asks.users(users))

    async def recommend(self, **fields: Any) -> Recommendation:
        """A list; the fields are those of POST /v1/recommend: user, session, k, scenario, item, exclude, filter, …."""
        return await self.send(asks.recommend(fields))

    async def similar(self, item: str, **asked: Any) -> dict[str, Any]:
        """The items that are most like one."""
        return await self.send(asks.get("items", item, "similar", **asked))

    async def trending(self, **asked: Any) -> dict[str, Any]:
        """What happens most now."""
        return await self.send(asks.get("trending", **asked))

    async def explain(self, user: str, item: str) -> dict[str, Any]:
        """Why an item would stand where it stands."""
        return await self.send(asks.get("explain", user=user, item=item))

    async def item(self, item: str) -> dict[str, Any]:
        """What is known of an item."""
        return await self.send(asks.get("items", item))

    async def user(self, user: str) -> dict[str, Any]:
        """What is known of a user."""
        return await self.send(asks.get("users", user))

    async def change_item(self, item: str, **fields: Any) -> dict[str, Any]:
        """Change an item that is known."""
        return await self.send(asks.change("items", item, fields))

    async def change_user(self, user: str, **fields: Any) -> dict[str, Any]:
        """Change a user who is known."""
        return await self.send(asks.change("users", user, fields))

    async def delete_item(self, item: str) -> dict[str, Any]:
        """Forget an item."""
        return await self.send(asks.delete("items", item))

    async def delete_user(self, user: str) -> dict[str, Any]:
        """Remove a person everywhere; tells how much, by place."""
        return await self.send(asks.delete("users", user))

    async def status(self) -> dict[str, Any]:
        """Where everything stands."""
        return await self.send(asks.get("status"))

    async def versions(self) -> dict[str, Any]:
        """What answers, and what can be gone back to."""
        return await self.send(asks.get("versions"))

    async def rollback(self, to: str) -> dict[str, Any]:
        """Go back to a version."""
        return await self.send(asks.steer("rollback", to=to))

    async def pause(self) -> dict[str, Any]:
        """Let the gate make no moves by itself."""
        return await self.send(asks.steer("pause"))

    async def resume(self) -> dict[str, Any]:
        """Let the gate make its moves again."""
        return await self.send(asks.steer("resume"))

    async def override(self, stage: str) -> dict[str, Any]:
        """Say by hand whom the live weights serve."""
        return await self.send(asks.steer("override", stage=stage))

    async def refit(self) -> dict[str, Any]:
        """Fit the large model anew in the background."""
        return await self.send(asks.steer("refit"))


class AsyncBatch:
    """Events that wait to be sent together. What could not be sent waits for the next time, in its order.

    An event that the server refuses is taken out, the others are sent; `flush` or `close` tells of it, once.

    Args:
        client: sends them.
        count: so many are sent at once.
        every_s: none waits longer.
        most: so many may wait; beyond it `add` raises.
    """

    def __init__(self, client: AsyncClient, count: int, every_s: float, most: int = 100_000) -> None:
        self._client, self._every_s, self._waiting = client, every_s, Waiting(count, most)
        self._sending, self._full, self._closed = asyncio.Lock(), asyncio.Event(), False
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def __aenter__(self) -> AsyncBatch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def sent(self) -> int:
        """Events so far."""
        return self._waiting.sent

    @property
    def failure(self) -> EverbrookError | None:
        """Why the last try failed; None where it did not."""
        return self._waiting.failure

    def add(self, event: Event | Told) -> None:
        """Let an event wait to be sent.

        Raises:
            InputError: too many wait, for the server does not take them.
            RecordError: it cannot be written as JSON.
        """
        if self._waiting.add(event):
            self._full.set()

    async def flush(self) -> None:
        """Send what waits, now.

        Raises:
            RefusedError: events were refused, now or since the last that was told; all others were sent.
            EverbrookError: the server did not take what waits; it waits for the next time.
        """
        await self._send()
        self._waiting.tell()

    async def _send(self) -> None:
        async with self._sending:
            while some := self._waiting.next():
                try:
                    await self._client.send(asks.raw_events(some))
                except EverbrookError as error:
                    self._waiting.not_taken(some, error)
                else:
                    self._waiting.taken(len(some))

    async def _run(self) -> None:
        while not self._closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), self._every_s)
            self._full.clear()
            try:
                await self._send()
            except EverbrookError:
                await asyncio.sleep(min(self._every_s, 1.0))

    async def close(self) -> None:
        """Send what waits, and stop.

        Raises:
            RefusedError: events were refused and not told of yet; all others were sent.
            EverbrookError: the server did not take what waits; `flush` can be called again.
        """
        self._closed = True
        self._full.set()
        await self._task
        await self.flush()
