"""The machine's time, which here never goes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

NOTED_MS = 50  # smaller steps back are everyday corrections
_log = logging.getLogger("everbrook.engine")


class WallClock:
    """Milliseconds since 1970, UTC, in order: where the machine's clock is set back, this one goes on at half speed
    until the machine's has caught up, so that what comes later is never earlier.

    Args:
        wall_ns: the machine's clock.
        steady_ns: one that is never set.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns, self._steady_ns = wall_ns, steady_ns
        self._lock = threading.Lock()
        self._last_ms, self._then_ns = 0, 0
        self._is_ahead = False
        self.steps_back = 0  # so far
        self.ahead_ms = 0  # of the machine's clock, now

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        wall_ms = self._wall_ns() // 1_000_000
        if wall_ms >= self._last_ms and not self._is_ahead:  # as nearly always: no lock
            self._last_ms = wall_ms
            return wall_ms
        with self._lock:
            return self._behind(self._wall_ns() // 1_000_000)

    def _behind(self, wall_ms: int) -> int:
        steady_ns = self._steady_ns()
        if wall_ms >= self._last_ms:
            if self._is_ahead:
                _log.warning("The machine's clock has caught up.")
            self._last_ms, self._is_ahead, self.ahead_ms = wall_ms, False, 0
            return wall_ms
        if not self._is_ahead:
            self._is_ahead, self._then_ns = self._last_ms - wall_ms > NOTED_MS, steady_ns
            if self._is_ahead:
                self.steps_back += 1
                _log.warning(
                    "The machine's clock went back by %d ms; time goes on at half speed until it has caught up.",
                    self._last_ms - wall_ms,
                )
        gone_ms = (steady_ns - self._then_ns) // 2_000_000
        if gone_ms > 0:
            self._last_ms, self._then_ns = self._last_ms + gone_ms, self._then_ns + 2_000_000 * gone_ms
        self.ahead_ms = self._last_ms - wall_ms
        return self._last_ms
