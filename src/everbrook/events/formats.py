"""CSV, JSON lines and Parquet as batches of Arrow columns. What the columns mean is not known here."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from everbrook.errors import DataError
from everbrook.events.faults import csv_fault, json_fault, line_of_row, text_fault

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 1 << 23
BATCH_ROWS = 1 << 20  # large, since each batch's dictionary is merged into the whole's
SAMPLE_BYTES = 1 << 22

SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".tab": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
}
PACKED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}

Batch = tuple["pa.RecordBatch", int]  # and how much of File.total has been read


@dataclass(frozen=True, slots=True)
class File:
    """One file of a known format."""

    path: Path
    format: str

    @property
    def total(self) -> int:
        """What `batches` counts up to: rows of Parquet, bytes of the others."""
        if self.format != "parquet":
            return self.path.stat().st_size
        return int(_parquet(self.path).metadata.num_rows)

    def names(self) -> list[str]:
        """The columns."""
        return _NAMES[self.format](self.path)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The named columns in the file's order. CSV cells are text; the others keep their types.

        Raises:
            DataError: when the file is broken; the message names the line.
        """
        return _BATCHES[self.format](self.path, list(columns))


def row_name(file: File, row: int) -> str:
    """'line 1042' of a text file, 'row 1041' of Parquet; found slowly, for messages.

    Args:
        file: of any format.
        row: counted from 0, the heading and blank lines left out.
    """
    delimiter = csv_header(file.path)[1] if file.format == "csv" else ","
    return line_of_row(file.path, file.format, open_bytes, delimiter, row)


def guess_format(path: Path) -> str:
    """'csv', 'jsonl' or 'parquet', by the name and, failing that, by the first bytes.

    Raises:
        DataError: when it is none of them.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    if suffixes and suffixes[-1] in SUFFIXES:
        return SUFFIXES[suffixes[-1]]
    with open_bytes(path) as stream:
        start = bytes(stream.read(4096))
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.lstrip().startswith(b"{"):
        return "jsonl"
    if any(mark in start.split(b"\n")[0] for mark in (b",", b"\t", b";")):
        return "csv"
    raise DataError(f"'{path}' must be CSV, JSON lines or Parquet, or a folder of them; neither its name nor its start "
                    "says so.")


def open_bytes(path: Path) -> Any:
    """The file's bytes, unpacked where the name says it is packed."""
    import pyarrow as pa

    packing = PACKED.get(path.suffix.lower())
    return pa.input_stream(str(path), compression=packing)


def csv_delimiter(line: str) -> str:
    """The mark between the cells of a heading: the most frequent of , ; tab |."""
    return max(",;\t|", key=line.count)


def csv_header(path: Path) -> tuple[list[str], str]:
    """The heading's cells and the delimiter."""
    start = _sample(path, 1 << 16)
    if not start.strip():
        raise DataError(f"'{path}' is empty; it must have a line of column names and events below it.")
    try:
        line = start.split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        raise text_fault(path, open_bytes) from None
    delimiter = csv_delimiter(line)
    names = next(csv.reader([line], delimiter=delimiter))
    if all(_numeric(name) for name in names if name):
        raise DataError(f"The first line of '{path}' must name the columns; got '{line[:80]}'.")
    return names, delimiter


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sample(path: Path, size_bytes: int) -> bytes:
    with open_bytes(path) as stream:
        return bytes(stream.read(size_bytes))


def _csv_names(path: Path) -> list[str]:
    return csv_header(path)[0]


def _csv_batches(path: Path, columns: list[str]) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    names, delimiter = csv_header(path)
    twice = [name for name in columns if names.count(name) > 1]
    if twice:
        raise DataError(f"The column '{twice[0]}' must be in the heading of '{path}' once; got it more often.")
    convert = arrow_csv.ConvertOptions(
        include_columns=columns, column_types=dict.fromkeys(columns, pa.string()), null_values=[""],
        strings_can_be_null=True, quoted_strings_can_be_null=True,
    )
    parse = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    raw = pa.OSFile(str(path))
    packing = PACKED.get(path.suffix.lower())
    stream = pa.CompressedInputStream(raw, packing) if packing else raw
    try:
        with arrow_csv.open_csv(stream, arrow_csv.ReadOptions(block_size=BLOCK_BYTES), parse, convert) as reader:
            for batch in reader:
                yield batch, raw.tell()
    except (pa.ArrowInvalid, OSError) as error:
        raise csv_fault(path, open_bytes, delimiter, len(names), str(error)) from None


def _json_names(path: Path) -> list[str]:
    sample = _sample(path, SAMPLE_BYTES)
    if not sample.strip():
        raise DataError(f"'{path}' is empty; it must have one JSON object a line.")
    whole = sample if len(sample) < SAMPLE_BYTES else sample.rpartition(b"\n")[0] or sample
    try:
        rows = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode_lines(whole)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise json_fault(path, open_bytes, dict[str, msgspec.Raw], str(error)) from None
    return list(dict.fromkeys(name for row in rows for name in row))


def _json_batches(path: Path, columns: list[str]) -> Iterator[Batch]:
    import pyarrow as pa

    fields = [f"f{i}" for i in range(len(columns))]
    line = msgspec.defstruct(
        "Line", [(field, Any, None) for field in fields], rename=dict(zip(fields, columns, strict=True))
    )
    decoder = msgspec.json.Decoder(line)
    for block, done in _json_blocks(path):
        try:
            rows = decoder.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise json_fault(path, open_bytes, line, str(error)) from None
        arrays = [_json_column([getattr(row, field) for row in rows]) for field in fields]
        yield pa.RecordBatch.from_arrays(arrays, names=columns), done


def _json_blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Blocks of whole lines."""
    done, rest = 0, b""
    with open_bytes(path) as stream:
        while block := bytes(stream.read(BLOCK_BYTES)):
            done += len(block)
            whole, mark, rest = (rest + block).rpartition(b"\n")
            if mark:
                yield whole, done
    if rest.strip():
        yield rest, done


def _json_column(values: list[Any]) -> pa.Array:
    """Numbers, texts, lists of either, or (of objects and mixed values) the JSON of each."""
    import pyarrow as pa

    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_json_text(value) for value in values], pa.string())
    if pa.types.is_struct(array.type) or (pa.types.is_nested(array.type) and pa.types.is_nested(array.type.value_type)):
        return pa.array([_json_text(value) for value in values], pa.string())
    return array


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"'{path}' must be a whole Parquet file; {str(error).splitlines()[0]}") from None


def _parquet_names(path: Path) -> list[str]:
    return list(_parquet(path).schema_arrow.names)


def _parquet_batches(path: Path, columns: list[str]) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = _parquet(path)
    schema = whole.schema_arrow
    texts = [name for name in columns if pa.types.is_string(schema.field(name).type)
             or pa.types.is_large_string(schema.field(name).type)]
    written_out = _written_out(whole.metadata)
    done = 0
    try:
        with pq.ParquetFile(path, read_dictionary=[name for name in texts if name not in written_out]) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                done += len(batch)
                yield batch, done
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"'{path}' is broken after row {done}: {str(error).splitlines()[0]}") from None


def _written_out(metadata: Any) -> set[str]:
    """The columns with so many distinct texts that the writer gave up the dictionary: their pages hold texts.

    Codes need at most 4 bytes a row, and a dictionary is given up at about a megabyte. Only speed depends on it.
    """
    found = set()
    for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
        for column in (group.column(i) for i in range(metadata.num_columns)):
            if column.total_uncompressed_size > 4 * column.num_values + (1 << 20):
                found.add(column.path_in_schema)
    return found


_NAMES: dict[str, Callable[[Path], list[str]]] = {"csv": _csv_names, "jsonl": _json_names, "parquet": _parquet_names}
_BATCHES: dict[str, Callable[[Path, list[str]], Iterator[Batch]]] = {
    "csv": _csv_batches, "jsonl": _json_batches, "parquet": _parquet_batches,
}
