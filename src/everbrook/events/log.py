"""What a log is: everything that happens, in one order, each record at its own offset. No backend lives here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import msgspec

from everbrook.events.columns import EventColumns
from everbrook.events.records import Record
from everbrook.types import I64


class Appended(msgspec.Struct, frozen=True):
    """What became of a batch: its new records lie at the offsets first..stop-1, in order."""

    first: int
    stop: int  # also the log's end just after the batch
    duplicates: tuple[int, ...] = ()  # positions in the batch whose event ids the log already had

    @property
    def accepted(self) -> int:
        """How many records are new."""
        return self.stop - self.first


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring records of one type, in order: events as columns, all others as records."""

    type: str  # a key of `records.RECORD_TYPES`
    offsets: I64  # (B,) ascending
    events: EventColumns | None = None
    records: tuple[Record, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets)


class Readable(Protocol):
    """What can be read of a log, in this process or beside the one that writes it."""

    @property
    def end(self) -> int:
        """The offset that the next record will get; offsets begin at 0."""
        ...

    def runs(
        self, start: int, stop: int | None = None, types: Collection[str] | None = None, limit: int = 1_000_000
    ) -> Iterator[Run]:
        """Read the records at start..stop-1 in order, up to the present end where no stop is given.

        Args:
            start: offset of the first.
            stop: offset after the last.
            types: only these types of records.
            limit: the most records in a run.
        """
        ...


class Log(Readable, Protocol):
    """An append-only sequence of records. What was acknowledged is durable and never changes its offset."""

    def append(self, records: Sequence[Record]) -> Appended:
        """Add checked records, all or none, and return when they are durable."""
        ...

    def submit(self, records: Sequence[Record]) -> Future[Appended]:
        """Begin to add checked records, in the order of calls; the future is done when they are durable."""
        ...

    def append_columns(self, columns: EventColumns) -> Appended:
        """Add many checked events at once, all or none, and return when they are durable."""
        ...

    def read_events(self, start: int = 0, stop: int | None = None, leave_out: Collection[str] = ()) -> EventColumns:
        """Read all events at start..stop-1 as one set of columns, without the optional columns `leave_out`."""
        ...

    def wait(self, offset: int, timeout_s: float) -> int:
        """Wait until the end is past `offset`, or the time is over; returns the end."""
        ...

    def close(self) -> None:
        """Finish what was begun and let go of the files; a second time does nothing."""
        ...
