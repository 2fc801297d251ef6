"""The lock of what is known: whoever takes it to look finds everything inside that was answered for.

To take records in costs most of a millisecond, however few they are. So events that come singly are answered as soon
as they are durable and taken in together, a few milliseconds later or when somebody looks, whichever is first: nobody
can look at what is known without this lock, so nobody sees less than was answered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class FreshLock:
    """A lock that its holder may take again; the first to take it takes in what is owed.

    Args:
        take_in: takes in what the log has below an offset, called under the lock; it raises nothing.
    """

    def __init__(self, take_in: Callable[[int], None]) -> None:
        self.bare = threading.RLock()
        """The same lock for those who change what is known and do not look at it."""
        self._take_in, self._depth, self._paid = take_in, 0, 0
        self.owed = 0
        """The offset below which records were answered for."""

    def owe(self, offset: int) -> None:
        """Records below an offset were answered for and may not be taken in; whoever takes the lock next does it."""
        if offset > self.owed:
            self.owed = offset

    def __enter__(self) -> None:
        self.bare.acquire()
        self._depth += 1
        owed = self.owed
        if owed > self._paid and self._depth == 1:
            self._paid = owed
            self._take_in(owed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        self.bare.release()
