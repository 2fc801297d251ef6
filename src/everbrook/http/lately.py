"""How long answers took lately, for whoever looks: the last ones of a few routes, in memory of a fixed size."""

from __future__ import annotations

import time
from collections import deque

WATCHED = {"/v1/recommend": "list", "/v1/events": "event"}
KEPT = 4096
WINDOW_S = 60.0


class Lately:
    """Times of the last answers. Told by the door in its loop, asked from other threads."""

    def __init__(self) -> None:
        self._taken: dict[str, deque[tuple[float, float]]] = {name: deque(maxlen=KEPT) for name in WATCHED.values()}

    def answered(self, method: str, route: str, status: int, took_s: float, request_id: str) -> None:
        """A request was answered."""
        name = WATCHED.get(route)
        if name is not None and status == 200:
            self._taken[name].append((time.monotonic(), took_s))

    def took(self, took_s: float) -> None:
        """Events that came another way are in every list."""
        self._taken["event"].append((time.monotonic(), took_s))

    def told(self) -> dict[str, dict[str, float | int | None]]:
        """Percentiles of the last minute, in milliseconds, and of how many answers."""
        since = time.monotonic() - WINDOW_S
        found: dict[str, dict[str, float | int | None]] = {}
        for name, taken in self._taken.items():
            times = sorted(took_s for at, took_s in list(taken) if at >= since)
            found[name] = {
                "p50_ms": _at(times, 0.5), "p99_ms": _at(times, 0.99), "measured": len(times),
            }  # fmt: skip
        return found


def _at(times: list[float], share: float) -> float | None:
    """The percentile of sorted times, in milliseconds."""
    return round(1000.0 * times[min(len(times) - 1, int(share * len(times)))], 2) if times else None
