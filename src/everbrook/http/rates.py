"""How many requests a key may send: a bucket of tokens each, filled at a steady rate."""

from __future__ import annotations

import math

from everbrook.errors import EverbrookError


class TooManyError(EverbrookError):
    """More requests than the limit allows."""

    type = "too_many_requests"
    http_status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message, f"Come back in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class Rates:
    """The buckets of all keys; there are no more of them than keys.

    Args:
        per_s: tokens that come in each second; 0 limits nothing.
        burst: the most that a bucket holds.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, float(max(burst, 1))
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when that was

    def take(self, key_id: str, now_s: float) -> None:
        """Take a token.

        Args:
            key_id: whose bucket.
            now_s: of a clock that never goes back.

        Raises:
            TooManyError: the bucket is empty.
        """
        if not self._per_s:
            return
        tokens, then_s = self._buckets.get(key_id, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - then_s) * self._per_s)
        if tokens < 1.0:
            self._buckets[key_id] = tokens, now_s
            raise TooManyError(
                f"A key must send at most {self._per_s:g} requests a second; got more.",
                max(1, math.ceil((1.0 - tokens) / self._per_s)),
            )
        self._buckets[key_id] = tokens - 1.0, now_s
