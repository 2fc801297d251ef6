"""Numba compiles a kernel where its cache has none for this machine: once, and that takes seconds to minutes.

Whoever promises to answer soon, or to give signs of life, wants to know of it. A kernel that is loaded from the cache
is none that is compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from numba.core import event as numba_event

EVENT = "numba:compile"


class Compiling(numba_event.Listener):
    """Watches what is compiled in this process from now on.

    Args:
        begun: called whenever one begins, in the thread that compiles; it must raise nothing.
    """

    def __init__(self, begun: Callable[[], None] = lambda: None) -> None:
        self._begun, self.count = begun, 0
        numba_event.register(EVENT, self)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Watch no longer."""
        numba_event.unregister(EVENT, self)  # type: ignore[no-untyped-call]

    def on_start(self, event: object) -> None:
        """A kernel begins to be compiled."""
        self.count += 1
        self._begun()

    def on_end(self, event: object) -> None:
        """It is compiled."""


def at_first(what: Callable[[], None]) -> Callable[[], None]:
    """The same the first time it is called, and nothing from then on."""
    waiting = [what]

    def called() -> None:
        if waiting:
            waiting.pop()()

    return called


def in_main_thread(what: Callable[[], None]) -> Callable[[], None]:
    """The same where the main thread calls it, and nothing where another does."""

    def called() -> None:
        if threading.current_thread() is threading.main_thread():
            what()

    return called
