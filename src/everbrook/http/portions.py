"""Wishes that arrive while a list is made are granted together, with one look at what is known."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from everbrook.errors import EverbrookError
from everbrook.http.direct import Answer
from everbrook.rank.requests import Recommend, Recommendation

MOST = 8  # lists that are made before the loop does other things: it is held for so long
Make = Callable[[Sequence[Recommend]], Sequence[Recommendation | EverbrookError]]
"""Makes a list for each wish, or says why there is none."""

_encoder = msgspec.json.Encoder()


class Portions:
    """Gathers the wishes of one turn of the loop; who is alone waits for nobody.

    Args:
        make: makes the lists.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._waiting: deque[tuple[Recommend, Answer]] = deque()
        self._is_due = False

    def add(self, wish: Recommend, answer: Answer) -> None:
        """Make a list soon.

        Args:
            wish: what is asked for.
            answer: takes the JSON, or what went wrong.
        """
        self._waiting.append((wish, answer))
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> None:
        portion = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        self._is_due = bool(self._waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._grant)
        try:
            found: Sequence[Recommendation | Exception] = self._make([wish for wish, _ in portion])
        except Exception as error:  # noqa: BLE001  each of them is told, as it would be alone
            found = [error] * len(portion)
        for (_, answer), one in zip(portion, found, strict=True):
            answer(one if isinstance(one, Exception) else _encoder.encode(one))
