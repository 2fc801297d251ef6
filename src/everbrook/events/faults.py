"""Where a broken text file is broken: a slow second look that names the line. Only failures come here."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from everbrook.errors import DataError

Opener = Callable[[Path], Any]


def text_fault(path: Path, opener: Opener) -> DataError:
    """The first line that is not UTF-8, and the byte in it."""
    with opener(path) as stream:
        for number, line in enumerate(_lines(stream), 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return DataError(
                    f"'{path}' must be UTF-8 text; line {number} has the byte 0x{line[error.start]:02X} at place "
                    f"{error.start + 1}. Save the file as UTF-8."
                )
    return DataError(f"'{path}' must be UTF-8 text; it is not.")


def csv_fault(path: Path, opener: Opener, delimiter: str, cells: int, cause: str) -> DataError:
    """The first line of a CSV file that is not text, has too few or too many cells, or never closes its quote.

    Args:
        path: the file.
        opener: gives its bytes.
        delimiter: the mark between cells.
        cells: how many the heading has.
        cause: what the fast reader said, used where the second look finds nothing.
    """
    try:
        for line, row in csv_rows(path, opener, delimiter):
            if len(row) != cells:
                return DataError(f"In '{path}' line {line} must have {cells} cells; got {len(row)}.")
    except UnicodeDecodeError:
        return text_fault(path, opener)
    except (csv.Error, OSError, EOFError) as error:
        return DataError(f"'{path}' is broken: {error}.")
    return DataError(f"'{path}' is not a CSV file that can be read: {cause.splitlines()[0]}")


def csv_rows(path: Path, opener: Opener, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows below the heading, each with the line on which it starts (blank lines are no rows)."""
    with opener(path) as stream:
        reader = csv.reader(_decoded(stream), delimiter=delimiter)
        last = 0
        for place, row in enumerate(reader):
            line, last = last + 1, reader.line_num
            if place and row:
                yield line, row


def json_fault(path: Path, opener: Opener, kind: Any, cause: str) -> DataError:
    """The first line that is not one whole JSON object."""
    decoder = msgspec.json.Decoder(kind)
    with opener(path) as stream:
        for number, line in enumerate(_lines(stream), 1):
            if not line.strip():
                continue
            try:
                decoder.decode(line)
            except UnicodeDecodeError:
                return text_fault(path, opener)
            except msgspec.DecodeError as error:
                if not _is_text(line):
                    return text_fault(path, opener)
                return DataError(f"In '{path}' line {number} must be one JSON object; {error}.")
    return DataError(f"'{path}' must have one JSON object a line; {cause}.")


def line_of_row(path: Path, form: str, opener: Opener, delimiter: str, row: int) -> str:
    """'line 1042' of a text file's row, or 'row 1041' of a file without lines; rows count from 0."""
    if form == "csv":
        for place, (line, _) in enumerate(csv_rows(path, opener, delimiter)):
            if place == row:
                return f"line {line}"
    if form == "jsonl":
        with opener(path) as stream:
            full = (number for number, line in enumerate(_lines(stream), 1) if line.strip())
            for place, number in enumerate(full):
                if place == row:
                    return f"line {number}"
    return f"row {row + 1}"


def _is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lines(stream: Any) -> Iterator[bytes]:
    yield from io.BufferedReader(stream, 1 << 20)


def _decoded(stream: Any) -> Iterator[str]:
    for line in _lines(stream):
        yield line.decode("utf-8")
