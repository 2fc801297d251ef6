"""Events as columns: the shape in which millions of them are read, folded and learned.

Columns do not check what they hold; records are checked on their way in (`log_intake`, the importers).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from everbrook.events.records import Event
from everbrook.events.text_table import Texts
from everbrook.types import F32, I32, I64

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

MISSING = -1
REQUIRED_TEXTS = ("user", "session", "item", "kind", "scenario")
OPTIONAL_TEXTS = ("id", "request", "context")


@dataclass(frozen=True, slots=True)
class Coded:
    """Texts as codes into a list of distinct names."""

    codes: I32  # (B,) -1 where missing
    names: list[str]
    packed: Texts | None = None  # the names once more as bytes, where they came so: what takes millions uses these

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Coded:
        """Code texts, the names in order of first appearance."""
        texts = list(texts)
        if texts and texts.count(texts[0]) == len(texts):  # all alike, often all missing
            return cls.missing(len(texts)) if texts[0] is None else cls(np.zeros(len(texts), np.int32), [texts[0]])
        index: dict[str | None, int] = {None: MISSING}
        codes = [index.setdefault(text, len(index) - 1) for text in texts]
        names = list(index)
        del names[0]
        return cls(np.array(codes, np.int32), names)  # type: ignore[arg-type]  # None was the first key

    @classmethod
    def missing(cls, size: int) -> Coded:
        """Texts of which none is there."""
        codes: I32 = np.empty(size, np.int32)
        codes.fill(MISSING)
        return cls(codes, [])

    @classmethod
    def concat(cls, parts: Sequence[Coded]) -> Coded:
        """One after the other, over one list of names."""
        if len(parts) == 1:
            return parts[0]
        if all(part.names is parts[0].names for part in parts):
            return cls(np.concatenate([part.codes for part in parts]), parts[0].names, parts[0].packed)
        index: dict[str, int] = {}
        codes = []
        for part in parts:
            rename = np.empty(len(part.names) + 1, np.int32)
            rename[:-1] = [index.setdefault(name, len(index)) for name in part.names]
            rename[-1] = MISSING  # where the code is -1
            codes.append(rename[part.codes])
        return cls(np.concatenate(codes) if codes else np.empty(0, np.int32), list(index))

    def compact(self) -> Coded:
        """The same texts without the names that none of them has."""
        used = np.zeros(len(self.names) + 1, np.bool_)
        used[self.codes] = True
        used[-1] = False
        if used[:-1].all():
            return self
        rename = np.cumsum(used, dtype=np.int32) - np.int32(1)
        rename[-1] = MISSING
        kept = np.flatnonzero(used).tolist()
        return Coded(rename[self.codes], [self.names[code] for code in kept])

    def texts(self) -> list[str | None]:
        """Each text, None where missing."""
        names: list[str | None] = [*self.names, None]
        return [names[code] for code in self.codes.tolist()]


@dataclass(frozen=True, slots=True)
class EventColumns:
    """B events in log order. Optional columns are None where no event has them, or where they were not asked for."""

    ts_ms: I64  # (B,)
    user: Coded
    session: Coded
    item: Coded
    kind: Coded
    scenario: Coded
    value: F32  # (B,) NaN where missing
    id: Coded | None = None
    request: Coded | None = None
    position: I32 | None = None  # -1 where missing
    context: Coded | None = None  # JSON text

    def __len__(self) -> int:
        return len(self.ts_ms)

    @classmethod
    def from_records(cls, events: Sequence[Event]) -> EventColumns:
        """Turn checked events, whose `ts` are ints, into columns."""
        if len(events) == 1:
            return _from_record(events[0])
        return cls(
            ts_ms=np.array([event.ts for event in events], np.int64),
            user=Coded.of([event.user for event in events]),
            session=Coded.of([event.session for event in events]),
            item=Coded.of([event.item for event in events]),
            kind=Coded.of([event.kind for event in events]),
            scenario=Coded.of([event.scenario for event in events]),
            value=_values([event.value for event in events]),
            id=_coded_if_any([event.id for event in events]),
            request=_coded_if_any([event.request for event in events]),
            position=_positions([event.position for event in events]),
            context=_coded_if_any([encode_context(event.context) if event.context else None for event in events]),
        )

    @classmethod
    def empty(cls) -> EventColumns:
        """No events."""
        return cls.from_records(())

    @classmethod
    def concat(cls, parts: Sequence[EventColumns]) -> EventColumns:
        """One after the other; an optional column is there where any part has it."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        columns: dict[str, Any] = {
            "ts_ms": np.concatenate([part.ts_ms for part in parts]),
            "value": np.concatenate([part.value for part in parts]),
        }
        for name in REQUIRED_TEXTS + OPTIONAL_TEXTS:
            if any(getattr(part, name) is not None for part in parts):
                columns[name] = Coded.concat([getattr(part, name) or Coded.missing(len(part)) for part in parts])
        if any(part.position is not None for part in parts):
            columns["position"] = np.concatenate(
                [np.full(len(part), MISSING, np.int32) if part.position is None else part.position for part in parts]
            )
        return cls(**columns)

    def slice(self, start: int, stop: int) -> EventColumns:
        """The events start..stop-1, as views that share the names."""
        return self._chosen(slice(start, stop))

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> EventColumns:
        """The events at `rows` (or where a mask is true), in that order; they share the names."""
        return self._chosen(rows)

    def _chosen(self, rows: Any) -> EventColumns:
        def chosen(column: Any) -> Any:
            if isinstance(column, Coded):
                return Coded(column.codes[rows], column.names, column.packed)
            return None if column is None else column[rows]

        columns: list[Any] = [chosen(getattr(self, name)) for name in self.__slots__]
        return EventColumns(*columns)

    def compact(self) -> EventColumns:
        """The same events without names that no event has, as after `slice` or `take`."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        texts = {name: column.compact() for name, column in columns.items() if isinstance(column, Coded)}
        return EventColumns(**(columns | texts))

    def records(self) -> list[Event]:
        """Each event by itself."""
        return list(self._each())

    def _each(self) -> Iterator[Event]:
        names = [name for name in (*REQUIRED_TEXTS, "id", "request") if getattr(self, name) is not None]
        texts = zip(*(getattr(self, name).texts() for name in names), strict=True)
        context = _decoded(self.context, len(self))
        positions = [None] * len(self) if self.position is None else self.position.tolist()
        rest = zip(texts, self.ts_ms.tolist(), self.value.tolist(), positions, context, strict=True)
        for text, ts, value, position, ctx in rest:
            yield Event(
                **dict(zip(names, text, strict=True)), ts=ts, value=None if value != value else value,
                position=None if position == MISSING else position, context=ctx,
            )

    def to_table(self) -> pa.Table:
        """An Arrow table with dictionary columns; what is missing is null."""
        import pyarrow as pa

        columns: dict[str, Any] = {"ts_ms": pa.array(self.ts_ms)}
        for name in self.__slots__[1:]:
            column = getattr(self, name)
            if isinstance(column, Coded):
                columns[name] = _dictionary(column)
            elif name == "value":
                columns[name] = pa.array(column, mask=np.isnan(column))
            elif column is not None:
                columns[name] = pa.array(column, mask=column == MISSING)
        return pa.table(columns)

    @classmethod
    def from_table(cls, table: pa.Table, leave_out: Iterable[str] = ()) -> EventColumns:
        """Take a table as `to_table` makes it; without copying where it is in one piece and nothing is missing.

        Args:
            table: the table; text columns may be plain or dictionaries.
            leave_out: optional columns that are not wanted.
        """
        size, there = len(table), set(table.column_names).difference(leave_out)
        columns: dict[str, Any] = {
            "ts_ms": _plain(table.column("ts_ms"), None, np.int64),
            "value": _plain(table.column("value"), np.nan, np.float32),
        }
        for name in REQUIRED_TEXTS + OPTIONAL_TEXTS:
            if name in there:
                columns[name] = _coded(table.column(name))
            elif name in REQUIRED_TEXTS:
                columns[name] = Coded.missing(size)
        if "position" in there:
            columns["position"] = _plain(table.column("position"), MISSING, np.int32)
        return cls(**columns)


def encode_context(context: dict[str, Any]) -> str:
    """The JSON text of a context, the same for equal contexts."""
    return msgspec.json.encode(context, order="deterministic").decode()


_ONE = np.zeros(1, np.int32)
_NONE = Coded(np.full(1, MISSING, np.int32), [])
_NO_VALUE = np.full(1, np.nan, np.float32)
for _shared in (_ONE, _NONE.codes, _NO_VALUE):
    _shared.flags.writeable = False


def _from_record(event: Event) -> EventColumns:
    """The columns of one event: its path is hot when events come singly, so what can be shared is."""
    return EventColumns(
        np.array((event.ts,), np.int64),
        _NONE if event.user is None else Coded(_ONE, [event.user]),
        _NONE if event.session is None else Coded(_ONE, [event.session]),
        Coded(_ONE, [event.item]),
        Coded(_ONE, [event.kind]),
        _NONE if event.scenario is None else Coded(_ONE, [event.scenario]),
        _NO_VALUE if event.value is None else np.array((event.value,), np.float32),
        None if event.id is None else Coded(_ONE, [event.id]),
        None if event.request is None else Coded(_ONE, [event.request]),
        None if event.position is None else np.array((event.position,), np.int32),
        Coded(_ONE, [encode_context(event.context)]) if event.context else None,
    )


def _coded_if_any(texts: list[str | None]) -> Coded | None:
    return Coded.of(texts) if any(texts) else None


def _values(values: list[float | None]) -> F32:
    if values.count(None) == len(values):
        return np.full(len(values), np.nan, np.float32)
    return np.array(values, np.float32)  # None becomes NaN


def _positions(values: list[int | None]) -> I32 | None:
    if values.count(None) == len(values):
        return None
    return np.array([MISSING if value is None else value for value in values], np.int32)


def _decoded(context: Coded | None, size: int) -> list[Any]:
    if context is None:
        return [None] * size
    decoded = [*(msgspec.json.decode(name) for name in context.names), None]
    return [decoded[code] for code in context.codes.tolist()]


def _dictionary(column: Coded) -> pa.Array:
    import pyarrow as pa

    missing = column.codes < 0
    indices = pa.array(column.codes, mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array(column.names, pa.string()))


def _coded(column: pa.ChunkedArray) -> Coded:
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # no rows: some versions keep the chunks
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], column.type)
    indices = whole.indices
    codes = indices.fill_null(MISSING) if indices.null_count else indices
    names = whole.dictionary
    packed = Texts.from_arrow(names) if pa.types.is_string(names.type) and not names.null_count else None
    return Coded(codes.to_numpy(zero_copy_only=False).astype(np.int32, copy=False), names.to_pylist(), packed)


def _plain(column: pa.ChunkedArray, missing: Hashable, dtype: type) -> NDArray[Any]:
    if column.null_count:
        column = column.fill_null(missing)
    return column.to_numpy().astype(dtype, copy=False)
