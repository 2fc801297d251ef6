"""Events written to one file, run by run, as JSON lines or Parquet."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from everbrook.events.columns import EventColumns

TEXTS = ("user", "session", "item", "kind", "scenario", "id", "request", "context")


class EventFile:
    """A file of events, open for writing.

    Args:
        path: the file; it is made.
        form: 'jsonl' or 'parquet'.
    """

    def __init__(self, path: Path, form: str) -> None:
        self._path = path
        self._parquet = form == "parquet"
        self._encoder = msgspec.json.Encoder()

    def __enter__(self) -> EventFile:
        self._file: Any = self._parquet_writer() if self._parquet else self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, events: EventColumns) -> None:
        """Add a run of events."""
        if self._parquet:
            self._file.write_table(_filled(events.to_table(), self._schema))
        else:
            self._file.write(self._encoder.encode_lines(events.records()))

    def _parquet_writer(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet

        texts = [(name, pa.string()) for name in TEXTS]
        numbers = [("ts_ms", pa.int64()), ("value", pa.float32()), ("position", pa.int32())]
        self._schema = pa.schema([*numbers, *texts])
        return pyarrow.parquet.ParquetWriter(self._path, self._schema)


def _filled(table: Any, schema: Any) -> Any:
    """The table with every column of the schema, null where it had none."""
    import pyarrow as pa

    columns = [
        table.column(field.name).cast(field.type) if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
