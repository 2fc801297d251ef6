"""Deletions that the disk or the learner stood in the way of: tried again by themselves until they are done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from everbrook.engine.log_lines import say
from everbrook.errors import EverbrookError

FIRST_S, MOST_S = 5.0, 600.0  # between two tries; each wait is twice the one before

_log = logging.getLogger("everbrook.engine")


class Retries:
    """Tries again on a thread of its own, which is there only while something is pending.

    Args:
        pending: who is still to be forgotten.
        erase: forgets somebody.
        note: is told of what went wrong.
        first_s: wait before the first try.
    """

    def __init__(
        self, pending: Callable[[], list[str]], erase: Callable[[str], object], note: Callable[[str], None],
        first_s: float = FIRST_S,
    ) -> None:  # fmt: skip
        self._pending, self._erase, self._note, self._first_s = pending, erase, note, first_s
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """See to it that what is pending is tried again."""
        with self._lock:
            if self._closing.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="everbrook-forgetting", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Try no more; the next start goes on. Waits for a try that is under way."""
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        wait_s = self._first_s
        while not self._closing.wait(wait_s):
            try:
                names = self._pending()
                for name in names:
                    self._erase(name)
            except EverbrookError as error:
                wait_s = min(2.0 * wait_s, MOST_S)
                self._note(f"A person is not forgotten everywhere yet; it is tried again in {wait_s:g} s: "
                           f"{error.message}")
                continue
            say(_log, "Deletions that were pending are done.", people=len(names))
            return
