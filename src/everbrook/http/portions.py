"""Wishes that arrive while a list is made are granted together, with one look at what is known."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from everbrook.errors import EverbrookError
from everbrook.http.direct import Answer
from everbrook.rank.requests import Recommend, Recommendation

MOST = 8  # lists that are made before the loop does other things: more gain nothing
HOLD_S = 0.008  # fewer where they would hold it longer, as lately: events wait behind them
CROWDED_HOLD_S = 0.024  # so long where more wait than one portion takes: the larger portions are, the less a list costs
SMOOTHING = 0.2
Make = Callable[[Sequence[Recommend]], Sequence[Recommendation | EverbrookError]]
"""Makes a list for each wish, or says why there is none."""

_encoder = msgspec.json.Encoder()


class Portions:
    """Gathers the wishes of one turn of the loop; who is alone waits for nobody.

    Args:
        make: makes the lists.
        now_s: a clock that never goes back.
    """

    def __init__(self, make: Make, now_s: Callable[[], float] = time.perf_counter) -> None:
        self._make, self._now_s = make, now_s
        self._list_s = HOLD_S / MOST  # what one takes, lately
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

    def _go_on(self) -> None:
        """A turn of the loop between two portions: events that came meanwhile go to the disk before the next."""
        asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> None:
        hold_s = HOLD_S if len(self._waiting) <= MOST else CROWDED_HOLD_S
        most = max(1, min(MOST, len(self._waiting), int(hold_s / max(self._list_s, 1e-9) + 0.5)))
        portion, began_s = [self._waiting.popleft() for _ in range(most)], self._now_s()
        self._is_due = bool(self._waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._go_on)
        try:
            found: Sequence[Recommendation | Exception] = self._make([wish for wish, _ in portion])
        except Exception as error:  # noqa: BLE001  each of them is told, as it would be alone
            found = [error] * len(portion)
        self._list_s += SMOOTHING * ((self._now_s() - began_s) / len(portion) - self._list_s)
        for (_, answer), one in zip(portion, found, strict=True):
            answer(one if isinstance(one, Exception) else _encoder.encode(one))
