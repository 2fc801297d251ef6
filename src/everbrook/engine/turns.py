"""Taking in what was committed in turns, in an event loop: a slice of the log at a time, for others have their turns.

Where little waits to be taken in, those who sent it are told at once and it is taken in later, with what comes
meanwhile (see `everbrook.engine.fresh_lock`). Where more waits, they are told as soon as their last record is in every
list, so that they do not send faster than is taken in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from everbrook.events.log import Appended

AT_ONCE = 4096  # where more wait than this, another thread takes them in
LATER = 128  # so many may be answered for before they are taken in
LATER_S = 0.02  # after which they are, though nobody has looked


class Receipt(msgspec.Struct, frozen=True):
    """That records are durable and in the next list."""

    accepted: int
    duplicates: int
    offset: int  # the log's end after them


Then: TypeAlias = Callable[[Receipt | Exception], None]
"""Told of the receipt, or of what went wrong; it raises nothing."""


def receipt_of(appended: Appended) -> Receipt:
    """What a caller is told of a batch that is in every list."""
    first, stop, duplicates = appended.first, appended.stop, appended.duplicates
    return Receipt(stop - first, len(duplicates), stop)


class Turns:
    """Those who wait in one event loop. Everything here is called in it.

    Args:
        behind: how many records wait to be taken in.
        take_turn: takes in a slice of them; gives the offset that is reached.
        take_all: takes in all of them, called on another thread.
        owe: whether records below an offset may be answered for before they are taken in; whoever looks will do it.
        note: told of a fault that nobody waits to hear of.
        durable: told once for the records of a commit that were answered for, up to which offset.
    """

    def __init__(
        self, behind: Callable[[], int], take_turn: Callable[[], int], take_all: Callable[[], int],
        owe: Callable[[int], bool] = lambda _: False, note: Callable[[Exception], None] = lambda _: None,
        durable: Callable[[int], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._behind, self._take_turn, self._take_all, self._owe, self._note = behind, take_turn, take_all, owe, note
        self._durable, self._is_telling = durable, False
        self._reached, self._owed = 0, 0  # offsets
        self._waiting: deque[tuple[Appended, Then]] = deque()
        self._is_going = False  # a turn is due, or another thread takes in
        self._is_later = False  # one will be

    def hear(self, then: Then, found: Appended | Exception) -> None:
        """What became of somebody's records in the log; see `wait`."""
        if isinstance(found, Exception):
            then(found)
        else:
            self.wait(found, then)

    def wait(self, appended: Appended, then: Then) -> None:
        """Tell somebody when his records are in every list; those of one commit are taken in together."""
        if appended.stop <= self._reached and not self._waiting:
            then(receipt_of(appended))
            return
        if not self._waiting and self._behind() <= LATER and self._owe(appended.stop):
            if appended.stop > self._owed:
                self._owed = appended.stop
            if not self._is_telling:
                self._is_telling = True
                asyncio.get_running_loop().call_soon(self._tell_durable)
            if not self._is_later and not self._is_going:
                self._is_later = True
                asyncio.get_running_loop().call_later(LATER_S, self._come)
            then(receipt_of(appended))
            return
        self._waiting.append((appended, then))
        if not self._is_going:
            self._is_going = True  # not at once: those of the same commit who were told have their answers first
            asyncio.get_running_loop().call_soon(self._go)

    def _tell_durable(self) -> None:
        self._is_telling = False
        self._durable(self._owed)

    def _come(self) -> None:
        self._is_later = False
        if not self._is_going:
            self._go()

    def _go(self) -> None:
        self._is_going = False
        if self._behind() > AT_ONCE:
            self._is_going = True
            aside = asyncio.get_running_loop().run_in_executor(None, self._take_all)
            aside.add_done_callback(self._came)
            return
        try:
            self._reached = self._take_turn()
        except Exception as error:  # noqa: BLE001  whatever failed, those who wait must hear of it
            self._fail(error)
            return
        self._tell()

    def _came(self, aside: asyncio.Future[int]) -> None:
        """The other thread is done."""
        self._is_going = False
        error = aside.exception()
        if isinstance(error, Exception):
            self._fail(error)
            return
        self._reached = aside.result()
        self._tell()

    def _tell(self) -> None:
        while self._waiting and self._waiting[0][0].stop <= self._reached:
            appended, then = self._waiting.popleft()
            then(receipt_of(appended))
        if (self._waiting or self._reached < self._owed) and not self._is_going:
            self._is_going = True
            asyncio.get_running_loop().call_soon(self._go)

    def _fail(self, error: Exception) -> None:
        failed, self._waiting = self._waiting, deque()
        self._owed = 0  # the next records' turn tries again
        if not failed:
            self._note(error)
        for _, then in failed:
            then(error)
