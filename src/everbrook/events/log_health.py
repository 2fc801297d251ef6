"""How the log fares: what its disk refuses, what was shed because too much waited, which segments are damaged."""

from __future__ import annotations

import logging
import threading
from typing import Any

_log = logging.getLogger("everbrook.log")


class Health:
    """Counts and the present trouble; each change of it is one line in the server's log. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refusing: str | None = None
        self._refused, self._in_a_row, self._shed = 0, 0, 0
        self._is_shedding = False
        self._damaged: dict[str, str] = {}
        self.waiting_bytes = 0  # of records that are not durable yet; changed under the writer's own lock

    def refused(self, why: str) -> None:
        """A commit was refused; nothing of it is kept."""
        with self._lock:
            self._refused, self._in_a_row = self._refused + 1, self._in_a_row + 1
            is_new, self._refusing = self._refusing is None, why
        if is_new:
            _log.error("New records are refused, what was acknowledged stays: %s", why)

    def took(self) -> None:
        """A commit is durable."""
        if self._refusing is None:
            return
        with self._lock:
            missed, self._in_a_row, self._refusing = self._in_a_row, 0, None
        _log.warning("New records are taken again, after %d commits that were refused.", missed)

    def shed(self, limit_bytes: int) -> None:
        """Records were turned away because so many wait."""
        with self._lock:
            self._shed += 1
            is_new, self._is_shedding = not self._is_shedding, True
        if is_new:
            _log.warning("New records are turned away: %d bytes of them wait for the disk already.", limit_bytes)

    def has_room(self) -> None:
        """Hardly anything waits any more."""
        if self._is_shedding:
            self._is_shedding = False
            _log.warning("New records are taken again: those that waited are durable.")

    def damaged(self, file: str, why: str) -> None:
        """A segment cannot be read; the other records are."""
        with self._lock:
            is_new = file not in self._damaged
            self._damaged[file] = why
        if is_new:
            _log.error("A segment is left out, the rest is served: %s", why)

    def told(self) -> dict[str, Any]:
        """Everything, for `status`."""
        with self._lock:
            return {
                "refusing": self._refusing, "refused_commits": self._refused, "shed": self._shed,
                "waiting_bytes": self.waiting_bytes, "damaged_segments": dict(self._damaged),
            }  # fmt: skip
