"""Portions: the log as the learner takes it, read ahead and cut anywhere.

A portion's runs depend on the log and its two ends alone, not on how the log was read, sealed or cut before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from everbrook.events.columns import EventColumns
from everbrook.events.log import Run
from everbrook.events.log_follower import LogFollower

READ_RECORDS = 8192


class Portions:
    """Records that are waiting to be learned, oldest first, from an offset on."""

    def __init__(self, log: LogFollower, offset: int, types: Collection[str]) -> None:
        self._log, self._types = log, tuple(types)
        self._runs: deque[Run] = deque()
        self._coming: Iterator[Run] = iter(())
        self._coming_stop = offset
        self.read = offset  # up to where the log has been looked at
        self.taken = offset  # up to where it has been taken
        self.waiting = 0  # records that were read and not taken

    def look(self, end: int, wanted: int) -> None:
        """Read on until so many records wait, or the log has been looked at up to `end`."""
        while self.waiting < wanted and self.read < end:
            if self._coming_stop <= self.read:
                self._coming = self._log.runs(self.read, end, self._types, READ_RECORDS)
                self._coming_stop = end
            run = next(self._coming, None)
            if run is None:
                self.read = self._coming_stop
                continue
            self._runs.append(run)
            self.waiting += len(run)
            self.read = int(run.offsets[-1]) + 1

    def cut(self, records: int) -> int:
        """The offset that cuts off so many waiting records, or all where there are fewer."""
        for run in self._runs:
            if records <= len(run):
                return int(run.offsets[records - 1]) + 1
            records -= len(run)
        return int(self._runs[-1].offsets[-1]) + 1

    def take(self, stop: int) -> list[Run]:
        """Take the waiting records below an offset, up to which the log is read first."""
        while self.read < stop:  # on and on in one piece: to begin in a segment takes all of its names
            self.look(max(stop, self._log.end), self.waiting + READ_RECORDS)
        taken: list[Run] = []
        while self._runs and int(self._runs[0].offsets[0]) < stop:
            run = self._runs.popleft()
            size = int(np.searchsorted(run.offsets, stop))
            if size < len(run):
                self._runs.appendleft(_part(run, size, len(run)))
            taken.append(_part(run, 0, size))
            self.waiting -= size
        self.taken = max(self.taken, stop)
        return _joined(taken)


def _part(run: Run, start: int, stop: int) -> Run:
    if stop - start == len(run):
        return run
    events = None if run.events is None else run.events.slice(start, stop)
    return Run(run.type, run.offsets[start:stop], events, run.records[start:stop])


def _joined(runs: Sequence[Run]) -> list[Run]:
    """The same records with neighbours of one type in one run."""
    joined: list[Run] = []
    for start in range(len(runs)):
        if start and runs[start].type == runs[start - 1].type:
            continue
        stop = start + 1
        while stop < len(runs) and runs[stop].type == runs[start].type:
            stop += 1
        joined.append(_one(runs[start:stop]))
    return joined


def _one(runs: Sequence[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]
    columns = [run.events for run in runs if run.events is not None]
    return Run(
        runs[0].type, np.concatenate([run.offsets for run in runs]), EventColumns.concat(columns) if columns else None,
        tuple(record for run in runs for record in run.records),
    )  # fmt: skip
