"""`everbrook export`: the log's records as files that `everbrook import` takes back."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everbrook.cli.opening import data_path, loaded_settings
from everbrook.cli.progress import bar

if TYPE_CHECKING:
    from everbrook.cli.progress import Told
    from everbrook.events.log import Log
    from everbrook.events.records import ItemChange, UserChange

FORMATS = ("jsonl", "parquet")
REST = "rest"
"""The folder of what an import does not take: users, deletions, lists that were shown, versions."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("path", type=Path, help="folder to write to; it must be new or empty")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="of the events and items")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write everything, and say how much it was."""
    from everbrook.errors import DataError
    from everbrook.events.sqlite_log import SqliteLog

    folder = Path(arguments.path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"The folder to export to must be new or empty; '{folder}' is not.")
    settings = loaded_settings(arguments).settings.log
    with SqliteLog.open(data_path(arguments), settings, create=False) as log:
        folder.mkdir(parents=True, exist_ok=True)
        with bar("exporting") as told:
            counts = write_all(log, folder, arguments.format, told)
    if arguments.json:
        print(json.dumps(counts))
    else:
        print(f"Exported to {folder}: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + ".")
    return 0


def write_all(log: Log, folder: Path, form: str, told: Told | None = None) -> dict[str, int]:
    """Write each type of record to its file; items and users as they are now, after all changes.

    Args:
        log: what is written.
        folder: where to; it exists.
        form: one of FORMATS.
        told: told records written and their total.

    Returns:
        How many of each there were.
    """
    import msgspec

    from everbrook.cli.event_files import EventFile

    counts: dict[str, int] = {}
    changes: dict[str, dict[str, Any]] = {"item": {}, "user": {}}
    with EventFile(folder / f"events.{form}", form) as events:
        for run in log.runs(0):
            if run.events is not None:
                events.write(run.events)
            elif run.type in changes:
                for one in run.records:
                    _merge(changes[run.type], one)
            else:
                lines = msgspec.json.Encoder().encode_lines(run.records)
                _append(folder / REST / f"{run.type}s.jsonl", lines)
            if run.type == "deletion":
                for one in run.records:
                    _forget(changes, one)
            name = f"{run.type}s"
            counts[name] = counts.get(name, 0) + len(run)
            if told is not None:
                told(int(run.offsets[-1]) + 1, log.end)
    items = list(changes["item"].values())
    if items:
        _write_items(folder / f"items.{form}", items, form)
    if changes["user"]:
        _append(folder / REST / "users.jsonl", msgspec.json.Encoder().encode_lines(changes["user"].values()))
    return counts


def _merge(known: dict[str, Any], change: Any) -> None:
    from everbrook.events.records import merge

    before = known.get(change.id)
    known[change.id] = change if before is None else merge(before, change)


def _forget(known: dict[str, dict[str, Any]], deletion: Any) -> None:
    known[deletion.what].pop(deletion.id, None)


def _append(path: Path, lines: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(lines)


def _write_items(path: Path, items: list[ItemChange | UserChange], form: str) -> None:
    import msgspec

    if form == "jsonl":
        _append(path, msgspec.json.Encoder().encode_lines(items))
        return
    import pyarrow as pa
    import pyarrow.parquet

    rows = [msgspec.to_builtins(item) for item in items]
    for row in rows:
        for name in ("properties", "vectors"):
            if name in row:
                row[name] = json.dumps(row[name], ensure_ascii=False)
    text, texts = pa.string(), pa.list_(pa.string())
    schema = pa.schema([
        ("id", text), ("title", text), ("text", text), ("categories", texts), ("tags", texts), ("properties", text),
        ("vectors", text), ("ts", pa.int64()), ("expires", pa.int64()), ("hidden", pa.bool_()),
    ])
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema), path)
