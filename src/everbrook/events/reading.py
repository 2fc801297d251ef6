"""All events of some files as one EventColumns, in the files' order, nothing cleaned yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from everbrook.errors import DataError
from everbrook.events.columns import Coded, EventColumns
from everbrook.events.encoding import Codes, as_floats, as_positions, combine, constant
from everbrook.events.formats import File, row_name
from everbrook.events.mapping import LINE_ORDER, Mapping
from everbrook.events.moments import NO_TIME, CellError, Moments
from everbrook.events.records import MAX_VALUE
from everbrook.settings.data import DataSettings
from everbrook.types import F32, F64, I64

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[int, int], None]
"""Called with what is done and the total, in the unit of the phase: bytes or rows read, or events handed over."""

TEXT_FIELDS = ("user", "session", "item", "kind", "scenario", "id", "request", "context")
NUMBER_FIELDS = ("value", "position", "order", "period")
_MOST_THREADS = 4
"""Text columns that are taken in at the same time: each has a table of its own, and the kernels hold no lock."""

MADE_START_MS = 946_684_800_000  # 2000-01-01
"""Where made times begin."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came out of the files: the events, where each file's rows begin, and what had to be made up."""

    columns: EventColumns
    starts: tuple[int, ...]  # row at which each file begins
    time_unit: str
    notes: tuple[str, ...]

    def place(self, files: Sequence[File], row: int) -> str:
        """Where a row stands: the file and its line."""
        if row < 0:
            return f"'{files[0].path}'" if len(files) == 1 else f"'{files[0].path.parent}'"
        file = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"'{files[file].path}' {row_name(files[file], row - self.starts[file])}"


def read_events(
    files: Sequence[File], mapping: Mapping, settings: DataSettings, progress: Progress | None = None
) -> Reading:
    """Read everything once, batch by batch, into codes and numbers.

    Args:
        files: of one kind, read in this order.
        mapping: complete, as `resolve` gives it.
        settings: how times are made where there are none.
        progress: told bytes (Parquet: rows) read and their total.

    Raises:
        DataError: when a file is broken or a cell cannot be read; it names the line.
    """
    gathering = _Gathering(mapping)
    starts, done, total = [], 0, sum(file.total for file in files)
    for file in files:
        starts.append(gathering.rows)
        for batch, read in file.batches(_present(file, mapping)):
            before = gathering.rows
            try:
                gathering.add(batch)
            except CellError as error:
                where = row_name(file, before - starts[-1] + error.row)
                raise DataError(f"In '{file.path}' {where}: {error.sentence}") from None
            if progress is not None:
                progress(min(done + read, total), total)
        done += file.total
    return gathering.finish(settings, tuple(starts))


def _present(file: File, mapping: Mapping) -> list[str]:
    names = set(file.names())
    return [name for name in mapping.names if name in names]


class _Gathering:
    """Columns that grow batch by batch."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        columns = mapping.columns
        self._texts = {field: Codes() for field in TEXT_FIELDS if field in columns}
        self._kept = {name: Codes() for name in mapping.keep}
        self._numbers: dict[str, list[F64]] = {field: [] for field in NUMBER_FIELDS if field in columns}
        self._moments = Moments(mapping.time) if "ts" in columns else None
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take one batch; a column that the file lacks is missing throughout."""
        import pyarrow as pa

        def column(name: str) -> Any:
            found = batch.schema.get_field_index(name)
            return batch.column(found) if found >= 0 else pa.nulls(len(batch), pa.string())

        columns = self._mapping.columns
        jobs = [partial(codes.add, column(columns[field])) for field, codes in self._texts.items()]
        jobs += [partial(codes.add, column(name)) for name, codes in self._kept.items()]
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
            texts = [threads.submit(job) for job in jobs]
            for field, parts in self._numbers.items():
                parts.append(as_floats(column(columns[field]), field))
            if self._moments is not None:
                self._moments.add(column(columns["ts"]))
            for text in texts:
                text.result()
        self.rows += len(batch)

    def finish(self, settings: DataSettings, starts: tuple[int, ...]) -> Reading:
        """All of it as columns."""
        notes: list[str] = []
        numbers = {field: np.concatenate([np.empty(0), *parts]) for field, parts in self._numbers.items()}
        texts = {field: codes.finish(self.rows) for field, codes in self._texts.items()}
        ts_ms = self._moments.finish() if self._moments is not None else self._made_times(numbers, settings, notes)
        fixed = self._mapping.constants
        kind = texts.get("kind") or constant(fixed.get("kind", settings.kind), self.rows)
        columns = EventColumns(
            ts_ms=ts_ms if len(ts_ms) else np.empty(0, np.int64),
            user=texts.get("user") or Coded.missing(self.rows),
            session=texts.get("session") or Coded.missing(self.rows),
            item=texts.get("item") or Coded.missing(self.rows),
            kind=_filled(kind, settings.kind, notes),
            scenario=texts.get("scenario") or constant(fixed.get("scenario"), self.rows),
            value=self._values(numbers),
            id=texts.get("id"),
            request=texts.get("request"),
            position=as_positions(numbers["position"]) if "position" in numbers else None,
            context=combine({name: codes.finish(self.rows) for name, codes in self._kept.items()},
                            texts.get("context")),
        )
        unit = self._moments.unit if self._moments is not None else "made"
        return Reading(columns, starts, unit, tuple(notes))

    def _values(self, numbers: dict[str, F64]) -> F32:
        if "value" not in numbers:
            text = self._mapping.constants.get("value", "nan")
            try:
                return np.full(self.rows, float(text), np.float32)
            except ValueError:
                raise DataError(f"The fixed text of 'value' must be a number; got '{text}'.") from None
        values = numbers["value"]
        return np.where(np.abs(values) <= MAX_VALUE, values, np.nan).astype(np.float32)

    def _made_times(self, numbers: dict[str, F64], settings: DataSettings, notes: list[str]) -> I64:
        by_line = self._mapping.constants.get("order") == LINE_ORDER
        order = np.arange(self.rows, dtype=np.float64) if by_line else numbers["order"]
        source = "the order of the lines" if by_line else f"the column '{self._mapping.columns['order']}'"
        if "period" in numbers:
            notes.append(f"There are no times: made from {source}, {settings.period_s:,g} s a period from 2000-01-01.")
            return times_by_period(order, numbers["period"], settings.period_s)
        notes.append(f"There are no times: made from {source}, {settings.order_step_s:,g} s apart from 2000-01-01.")
        return times_by_order(order, settings.order_step_s)


def times_by_order(order: F64, step_s: float) -> I64:
    """(B,) made times, one step apart in this order; equal ones keep the rows' order, missing ones have no time."""
    rank = np.empty(len(order), np.int64)
    rank[np.argsort(order, kind="stable")] = np.arange(len(order))
    return np.where(np.isnan(order), NO_TIME, MADE_START_MS + np.round(rank * (step_s * 1000)).astype(np.int64))


def times_by_period(order: F64, period: F64, period_s: float) -> I64:
    """(B,) made times: each period has its own span, over which its events are spread evenly in this order."""
    missing = np.isnan(order) | np.isnan(period)
    floor = np.where(missing, 0, np.floor(period)).astype(np.int64)
    sequence = np.lexsort((order, floor))
    values, counts = np.unique(floor, return_counts=True)
    if len(values) and (values[-1] - values[0]) * period_s > 3e9:
        raise DataError(f"Periods must be small whole numbers; got {values[0]} to {values[-1]}.")
    rank = np.empty(len(order), np.float64)
    rank[sequence] = np.concatenate([np.empty(0), *(np.arange(count) / count for count in counts)])
    first = values[0] if len(values) else 0
    made = MADE_START_MS + np.floor((floor - first + rank) * (period_s * 1000)).astype(np.int64)
    return np.where(missing, NO_TIME, made)


def _filled(kind: Coded, default: str, notes: list[str]) -> Coded:
    missing = kind.codes < 0
    count = int(np.count_nonzero(missing))
    if not count:
        return kind
    notes.append(f"Events without a kind: {count:,}; they become '{default}'.")
    names = kind.names if default in kind.names else [*kind.names, default]
    return Coded(np.where(missing, names.index(default), kind.codes).astype(np.int32), names)
