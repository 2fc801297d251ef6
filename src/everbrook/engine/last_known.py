"""The last answer of something that may be busy: who only looks is not kept waiting for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from everbrook.errors import EverbrookError

Told = dict[str, Any]
AGE = "told_age_ms"  # how old an answer is that is told again


class LastKnown:
    """Asks on a thread of its own, one question at a time. Safe from any thread.

    Args:
        ask: gives the answer, or raises why there is none.
        patience_s: so long an answer is waited for where an earlier one is known.
    """

    def __init__(self, ask: Callable[[], Told], patience_s: float) -> None:
        self._ask, self._patience_s = ask, patience_s
        self._lock = threading.Lock()
        self._asking: _Question | None = None
        self._known: tuple[float, Told] | None = None

    def told(self) -> Told:
        """The answer; the last one, with its age, where the present one does not come in time.

        Raises:
            EverbrookError: there is no answer.
        """
        with self._lock:
            question, known = self._asking, self._known
            if question is None or not question.is_alive():
                question = self._asking = _Question(self._ask)
                question.start()
        question.join(None if known is None else self._patience_s)
        if question.is_alive() and known is not None:
            return known[1] | {AGE: round(1000.0 * (time.monotonic() - known[0]))}
        if question.error is not None:
            raise question.error
        with self._lock:
            self._known = question.at_s, question.answer
        return question.answer | {AGE: 0}

    def forget(self) -> None:
        """What is known no longer holds: the next who looks waits for the answer."""
        with self._lock:
            self._known = self._asking = None


class _Question(threading.Thread):
    """One question."""

    def __init__(self, ask: Callable[[], Told]) -> None:
        super().__init__(name="everbrook-asking", daemon=True)
        self._ask = ask
        self.answer: Told = {}
        self.error: EverbrookError | None = None
        self.at_s = time.monotonic()

    def run(self) -> None:
        try:
            self.answer = self._ask()
        except EverbrookError as error:
            self.error = error
