"""`everbrook export`: the log's records as files that `everbrook import` takes back."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everbrook.cli.opening import data_path
from everbrook.cli.progress import bar

if TYPE_CHECKING:
    from everbrook.cli.progress import Told
    from everbrook.events.columns import EventColumns
    from everbrook.events.log import Readable, Run
    from everbrook.events.records import ItemChange, Record, UserChange

FORMATS = ("jsonl", "parquet")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("path", type=Path, help="folder to write to; it must be new or empty")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="of the events, items and users")
    parser.add_argument("--user", metavar="ID", help="only what is stored of this person")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write everything, and say how much it was."""
    from everbrook.errors import DataError
    from everbrook.events.log_directory import prepare_directory
    from everbrook.events.log_follower import LogFollower

    folder = Path(arguments.path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"The folder to export to must be new or empty; '{folder}' is not.")
    path = data_path(arguments)
    prepare_directory(path, create=False)
    with LogFollower(path) as log:  # also while a server holds the directory
        folder.mkdir(parents=True, exist_ok=True)
        with bar("exporting") as told:
            chosen = Everything() if arguments.user is None else OnePerson(log, arguments.user)
            counts = write_all(log, folder, arguments.format, told, chosen)
    if arguments.json:
        print(json.dumps(counts))
    else:
        print(f"Exported to {folder}: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + ".")
    return 0


class Everything:
    """All records are written."""

    def events(self, run: Run) -> EventColumns:
        """Those of a run's events that are written."""
        assert run.events is not None
        return run.events

    def records(self, run: Run) -> tuple[Record, ...]:
        """Those of a run's records that are written."""
        return run.records


class OnePerson(Everything):
    """Only what is stored of one person, as a guest too."""

    def __init__(self, log: Readable, user_id: str) -> None:
        from everbrook.events.erasing import Person

        self._person = Person(user_id, log.end)
        for run in log.runs(0, types=("event",)):
            if run.events is not None:
                self._person.find_sessions(run.events)
        for run in log.runs(0, types=("event",)):
            if run.events is not None:
                self._person.find_owners(run.events, run.offsets)

    def events(self, run: Run) -> EventColumns:
        """The person's events."""
        columns = super().events(run)
        return columns.take(self._person.rows(columns, run.offsets)).compact()

    def records(self, run: Run) -> tuple[Record, ...]:
        """The person's properties and the lists that were shown."""
        both = zip(run.records, run.offsets.tolist(), strict=True)
        return tuple(record for record, offset in both if self._person.owns(record, offset))


def write_all(
    log: Readable, folder: Path, form: str, told: Told | None = None, chosen: Everything | None = None
) -> dict[str, int]:
    """Write each type of record to its file; items and users as they are now, after all changes.

    Args:
        log: what is written.
        folder: where to; it exists.
        form: one of FORMATS.
        told: told records written and their total.
        chosen: what is written; everything where None.

    Returns:
        How many of each were written.
    """
    from everbrook.cli.event_files import EventFile
    from everbrook.events.exported import mark_exported

    mark_exported(folder)
    counts: dict[str, int] = {}
    changes: dict[str, dict[str, Any]] = {"item": {}, "user": {}}
    chosen = chosen or Everything()
    with EventFile(folder / f"events.{form}", form) as events:
        for run in log.runs(0):
            if run.events is not None:
                columns = chosen.events(run)
                events.write(columns)
                count = len(columns)
            else:
                count = _write_records(run.type, chosen.records(run), changes, folder)
            if count and run.type not in changes:
                counts[f"{run.type}s"] = counts.get(f"{run.type}s", 0) + count
            if told is not None:
                told(int(run.offsets[-1]) + 1, log.end)
    for kind, known in changes.items():
        if known:
            counts[f"{kind}s"] = len(known)
            _write_changes(folder / f"{kind}s.{form}", list(known.values()), form)
    return counts


def _write_records(
    kind: str, records: tuple[Record, ...], changes: dict[str, dict[str, Any]], folder: Path
) -> int:
    """Keep changes until all are known, and write other records; how many there were."""
    import msgspec

    from everbrook.events.deletions import REST

    if kind in changes:
        for one in records:
            _merge(changes[kind], one)
    elif records:
        _append(folder / REST / f"{kind}s.jsonl", msgspec.json.Encoder().encode_lines(records))
    if kind == "deletion":
        for one in records:
            _forget(changes, one)
    return len(records)


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


def _write_changes(path: Path, changed: list[ItemChange | UserChange], form: str) -> None:
    import msgspec

    if form == "jsonl":
        _append(path, msgspec.json.Encoder().encode_lines(changed))
        return
    import pyarrow as pa
    import pyarrow.parquet

    rows = [msgspec.to_builtins(one) for one in changed]
    for row in rows:
        for name in ("properties", "vectors"):
            if name in row:
                row[name] = json.dumps(row[name], ensure_ascii=False)
    text, texts = pa.string(), pa.list_(pa.string())
    types = {
        "id": text, "title": text, "text": text, "categories": texts, "tags": texts, "properties": text,
        "vectors": text, "ts": pa.int64(), "expires": pa.int64(), "hidden": pa.bool_(),
    }  # fmt: skip
    schema = pa.schema([(name, types[name]) for name in changed[0].__struct_fields__])
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema), path)
