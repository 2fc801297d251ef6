"""A clock that stands still until it is told to move.

Not the clock of the replay, which follows a log (see the engine).
"""

from __future__ import annotations


class FakeClock:
    """A `types.Clock` for tests: time passes when the test says so.

    Args:
        now_ms: where it starts, milliseconds since 1970, UTC.
    """

    def __init__(self, now_ms: int = 1_750_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return self._now_ms

    def advance(self, seconds: float) -> int:
        """Move on, or back where `seconds` is negative, and tell the new moment in milliseconds."""
        self._now_ms += round(seconds * 1000)
        return self._now_ms

    def set_ms(self, now_ms: int) -> None:
        """Jump to a moment, milliseconds since 1970, UTC."""
        self._now_ms = now_ms
