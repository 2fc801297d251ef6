"""A line in the log for each answer that is worth one: its request's id, route, status and time, and nothing else."""

from __future__ import annotations

import logging

from everbrook.engine.log_lines import say
from everbrook.settings.serve import ServeSettings

log = logging.getLogger("everbrook.http")
_PROBE = "/readyz"  # asked again and again while a server starts: that it is not ready yet is no error


class RequestLines:
    """Writes them.

    Args:
        settings: which answers are worth a line.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._which, self._slow_s = settings.log_requests, settings.slow_ms / 1000.0

    def answered(self, method: str, route: str, status: int, took_s: float, request_id: str) -> None:
        """A request was answered.

        Args:
            method: of the request; 'none' where it found no route.
            route: as the description writes it, without what stood in its place.
            status: of the answer.
            took_s: from the request's arrival to the answer's head.
            request_id: that the answer carries.
        """
        is_slow = took_s >= self._slow_s
        if self._which == "all" or (self._which == "failed" and (status >= 400 or is_slow)):
            failed = status >= 500 and route != _PROBE
            level = logging.ERROR if failed else logging.WARNING if is_slow else logging.INFO
            say(
                log, "answered", level, request=request_id, method=method, route=route, status=status,
                ms=round(1000.0 * took_s, 2),
            )  # fmt: skip
