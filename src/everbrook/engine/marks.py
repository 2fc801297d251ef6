"""What was decided about the weights, as it comes: read once from the log's end, then followed, never read twice."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from everbrook.engine.decisions import last_decisions, told_of
from everbrook.events.log import Readable
from everbrook.events.records import Version

KEPT = 200


class Marks:
    """The last decisions, newest first."""

    def __init__(self, log: Readable) -> None:
        """Nothing is read before somebody asks.

        Args:
            log: what happens.
        """
        self._log = log
        self._lock = threading.Lock()
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._end = -1

    def last(self, most: int) -> list[dict[str, Any]]:
        """The last of them.

        Args:
            most: how many at most.
        """
        with self._lock:
            end = self._log.end
            if self._end < 0:
                self._kept.extend(reversed(last_decisions(self._log, KEPT)))
            elif end > self._end:
                for run in self._log.runs(self._end, end, ("version",)):
                    self._kept.extend(told_of(one) for one in run.records if isinstance(one, Version))
            self._end = end
            return list(self._kept)[: -most - 1 : -1]
