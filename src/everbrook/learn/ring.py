"""The ring: points in time to which learned rows can go back, a few for each span (10 s, 1 min, ... 1 day).

Between two points lies what the rows that changed in between had been at the older one. Going back writes those rows;
what did not change costs nothing. A point that is no longer wanted is merged away: its rows join those of the time
before it, where the older value wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from everbrook.errors import DataError, UnknownNameError
from everbrook.learn.overlay import KeptRows, Overlay, Tables
from everbrook.types import I32, I64, Arrays

FORMAT = 1
SPANS_S = (10.0, 60.0, 600.0, 3600.0, 86_400.0)
LIMIT_BYTES = 1 << 30
KEPT_OF_A_SPAN = 2  # the older one's age lies between one and two spans


@dataclass(frozen=True, slots=True)
class Point:
    """A moment to which the rows can go back."""

    version: str
    offset: int  # of the log, up to which had been learned
    ts_ms: int
    dense: Arrays  # everything else that was learned, whole
    age_ms: int = 0  # of the ring's own time, which no jump of the clock turns back
    spans: tuple[int, ...] = ()  # the spans for which it is kept while it is young enough


@dataclass(slots=True)
class _Segment:
    """A point and what was changed after it, up to the next point."""

    point: Point
    kept: KeptRows = field(repr=False)


class Ring:
    """Undo segments between points in time, newest last; the newest one is open."""

    def __init__(
        self, rows: int, *widths: int, spans_s: Sequence[float] = SPANS_S, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        """Begin without a point.

        Args:
            rows: N, how many rows the tables have.
            spans_s: about how old the points are that are kept, ascending.
            limit_bytes: the oldest points are given up beyond so much memory.
            widths: D of each table; 1 for an array of shape (N,).
        """
        self._open = Overlay(rows, *widths)
        self._widths = widths
        self._spans_ms = tuple(max(1, int(span_s * 1000)) for span_s in spans_s)
        self._limit_bytes = limit_bytes
        self._segments: list[_Segment] = []  # the newest one's rows are in `_open`
        self._now_ms, self._age_ms = 0, 0

    @property
    def size_bytes(self) -> int:
        """Memory that the undo segments hold."""
        return self._open.size_bytes + sum(_size_bytes(segment) for segment in self._segments)

    def grow(self, rows: int) -> None:
        """Make room for row numbers below `rows`."""
        self._open.grow(rows)

    def note(self, tables: Tables, rows: I32 | I64) -> None:
        """Keep what rows are, just before they change. Before the first point there is nothing to go back to."""
        if self._segments:
            self._open.note(tables, rows)

    def point(self, version: str, offset: int, ts_ms: int, dense: Arrays) -> None:
        """Make now a point to go back to; points that no span wants any more are merged away.

        Args:
            version: its name; an older point of the same name can no longer be named.
            offset: of the log, up to which was learned.
            ts_ms: the time.
            dense: everything else that was learned; it is copied.
        """
        before_ms = self._age_ms
        if self._segments:
            self._age_ms += max(0, ts_ms - self._now_ms)
            self._segments[-1].kept = self._open.take()
        crossed = tuple(
            k for k, span_ms in enumerate(self._spans_ms)
            if not self._segments or self._age_ms // span_ms != before_ms // span_ms
        )
        self._now_ms = ts_ms
        copied = {name: array.copy() for name, array in dense.items()}
        new = Point(version, offset, ts_ms, copied, self._age_ms, crossed)
        self._segments.append(_Segment(new, KeptRows(self._widths, 0)))
        self._thin()

    def points(self) -> tuple[Point, ...]:
        """The points that there are, newest first."""
        return tuple(segment.point for segment in reversed(self._segments))

    def rows_since(self, version: str) -> I32:
        """The rows that going back to a point would write, ascending.

        Raises:
            UnknownNameError: no point has this version.
        """
        at = self._at(version)
        parts = [segment.kept.rows for segment in self._segments[at:-1]]
        return np.unique(np.concatenate([*parts, self._open.rows()])).astype(np.int32)

    def _at(self, version: str) -> int:
        """Position of the newest point of a version."""
        versions = [segment.point.version for segment in self._segments]
        if version not in versions:
            raise UnknownNameError("version", version, versions)
        return len(versions) - 1 - versions[::-1].index(version)

    def rollback(self, tables: Tables, to_version: str) -> tuple[I32, Arrays, Point]:
        """Write rows back to what they were at a point, which becomes the newest one.

        Args:
            tables: as they are now; changed in place.
            to_version: the point's version.

        Returns:
            (R,) the rows that were written, the dense part (a copy), and the point.

        Raises:
            UnknownNameError: no point has this version.
        """
        at = self._at(to_version)
        self._segments[-1].kept = self._open.take()
        undone = self._segments[at].kept
        for segment in self._segments[at + 1 :]:
            undone.take_over(segment.kept, self._open.place)
        undone.write_back(tables)
        point = self._segments[at].point
        del self._segments[at + 1 :]
        self._segments[at].kept = KeptRows(self._widths, 0)
        return undone.rows, {name: array.copy() for name, array in point.dense.items()}, point

    def state(self) -> Arrays:
        """Everything, as named arrays."""
        points = [
            {"version": one.version, "offset": one.offset, "ts_ms": one.ts_ms, "age_ms": one.age_ms,
             "spans": one.spans} for one in reversed(self.points())
        ]  # fmt: skip
        head = {"format": FORMAT, "now_ms": self._now_ms, "age_ms": self._age_ms, "points": points}
        arrays: Arrays = {"ring": np.frombuffer(msgspec.json.encode(head), np.uint8)}
        for i, segment in enumerate(self._segments):
            is_open = i == len(self._segments) - 1
            arrays[f"{i}.rows"] = self._open.rows() if is_open else segment.kept.rows
            for k in range(len(self._widths)):
                arrays[f"{i}.values.{k}"] = self._open.values(k) if is_open else segment.kept.values[k]
            arrays |= {f"{i}.dense.{name}": array for name, array in segment.point.dense.items()}
        return arrays

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave.

        Raises:
            DataError: it is of another format, or its tables have other widths.
        """
        head = msgspec.json.decode(arrays["ring"].tobytes())
        if head["format"] != FORMAT:
            raise DataError(f"A ring must have format {FORMAT}; got {head['format']}.")
        self._segments = [
            _Segment(Point(dense=_under(f"{i}.dense.", arrays), **_typed(one)), self._kept(arrays, i))
            for i, one in enumerate(head["points"])
        ]
        self._now_ms, self._age_ms = head["now_ms"], head["age_ms"]
        self._open.clear()
        if self._segments:
            newest = self._segments[-1]
            if newest.kept.count:
                self._open.grow(int(newest.kept.rows.max()) + 1)
            self._open.put(newest.kept)
            newest.kept = KeptRows(self._widths, 0)

    def _kept(self, arrays: Arrays, i: int) -> KeptRows:
        rows = arrays[f"{i}.rows"]
        kept = KeptRows(self._widths, len(rows))
        kept.row_buffer[:], kept.count = rows, len(rows)
        for k, buffer in enumerate(kept.buffers):
            values = arrays[f"{i}.values.{k}"]
            if values.shape != buffer.shape:
                raise DataError(f"A ring's rows must have the shape {buffer.shape}; got {values.shape}.")
            buffer[:] = values
        return kept

    def _thin(self) -> None:
        """Keep the newest point and the newest two of each span; of the others, and of what is too much, the rows."""
        wanted = {len(self._segments) - 1}
        for k in range(len(self._spans_ms)):
            having = [i for i, segment in enumerate(self._segments) if k in segment.point.spans]
            wanted.update(having[-KEPT_OF_A_SPAN:])
        kept: list[_Segment] = []
        for i, segment in enumerate(self._segments):
            if i in wanted:
                kept.append(segment)
            elif kept:
                kept[-1].kept.take_over(segment.kept, self._open.place)
        while len(kept) > 1 and sum(map(_size_bytes, kept)) > self._limit_bytes:
            del kept[0]
        self._segments = kept


def _size_bytes(segment: _Segment) -> int:
    return segment.kept.size_bytes + sum(array.nbytes for array in segment.point.dense.values())


def _typed(point: dict[str, Any]) -> dict[str, Any]:
    return point | {"spans": tuple(point["spans"])}


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
