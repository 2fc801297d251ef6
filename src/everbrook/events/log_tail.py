"""The log's newest records, kept in memory as they were committed: who follows the log need not read them back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from everbrook.events.columns import EventColumns
from everbrook.events.log import Run
from everbrook.events.records import Record

MOST_RECORDS = 16_384  # kept

Stretch = tuple[int, str, Sequence[Record]]
"""First offset, type, and records at the offsets from there on."""


class Tail:
    """The last stretches of records, without holes between them. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stretches: deque[Stretch] = deque()
        self._stop, self._records = -1, 0

    def add(self, stretches: Iterable[Stretch]) -> None:
        """Keep what was committed; where it does not follow what is kept, only this is kept."""
        with self._lock:
            for first, kind, records in stretches:
                if first != self._stop:
                    self._clear()
                self._stretches.append((first, kind, records))
                self._stop = first + len(records)
                self._records += len(records)
            while self._records > MOST_RECORDS and self._stretches:
                self._records -= len(self._stretches.popleft()[2])

    def clear(self) -> None:
        """Keep nothing, as after a person was forgotten."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self._stretches.clear()
        self._stop, self._records = -1, 0

    def runs(self, start: int, stop: int, types: Collection[str], limit: int) -> list[Run] | None:
        """The records at start..stop-1 as `Log.runs` gives them; None where some of them are not kept."""
        with self._lock:
            if not start < stop <= self._stop or not self._stretches or start < self._stretches[0][0]:
                return None
            found: list[Stretch] = []
            for first, kind, records in reversed(self._stretches):
                if first < stop and kind in types:
                    low, high = max(0, start - first), min(len(records), stop - first)
                    if low < high:
                        found.append((first + low, kind, records[low:high]))
                if first <= start:
                    break
        return list(_runs(found[::-1], limit))


def _runs(stretches: Sequence[Stretch], limit: int) -> Iterable[Run]:
    at = 0
    while at < len(stretches):
        kind = stretches[at][1]
        records: list[Any] = []
        offsets: list[int] = []
        while at < len(stretches) and stretches[at][1] == kind:
            begin, _, some = stretches[at]
            records.extend(some)
            offsets.extend(range(begin, begin + len(some)))
            at += 1
        for low in range(0, len(records), limit):
            part = records[low : low + limit]
            placed = np.array(offsets[low : low + limit], np.int64)
            if kind == "event":
                yield Run(kind, placed, EventColumns.from_records(part))
            else:
                yield Run(kind, placed, records=tuple(part))
