"""Files and folders as sources: opened, read whole into columns, cleaned, and handed over in chunks.

A source holds all of its events as codes (about 40 bytes an event, and each distinct id once), since times must be
sorted and repeats found across the whole of it. So nothing is handed over before the last line was read and found
good. What an engine does with the chunks is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from everbrook.errors import DataError
from everbrook.events.cleaning import Finding, clean, refuse
from everbrook.events.columns import EventColumns
from everbrook.events.exported import as_it_was, is_exported
from everbrook.events.formats import SUFFIXES, File, guess_format
from everbrook.events.items import is_item_file, read_items
from everbrook.events.mapping import Mapping, resolve
from everbrook.events.movielens import is_movielens, movielens_items
from everbrook.events.reading import Progress, Reading, read_events
from everbrook.events.records import MAX_NAMES, ItemChange, UserChange
from everbrook.events.users import is_user_file, read_users
from everbrook.settings.data import DataSettings

ITEM_STEMS = ("items", "item", "movies", "products", "catalogue", "catalog")
AT_ONCE = 1_000  # items or users


@dataclass(slots=True)
class Source:
    """Events, and perhaps items and users, of a file or folder; nothing is read before one of its methods is called."""

    path: Path
    files: tuple[File, ...]
    item_files: tuple[File, ...]
    mapping: Mapping
    settings: DataSettings
    now_ms: int | None = None
    user_files: tuple[File, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    columns: EventColumns | None = None

    @property
    def total(self) -> int:
        """Events that `chunks` hands over; before loading, bytes (Parquet: rows) to be read."""
        return sum(file.total for file in self.files) if self.columns is None else len(self.columns)

    @property
    def cleaning(self) -> list[Finding]:
        """What was found wrong and what was done about it, with counts; empty before loading."""
        return [finding for finding in self.findings if finding.level != "PASS"]

    def read(self, progress: Progress | None = None) -> Reading:
        """The events as the files have them, nothing cleaned."""
        return read_events(self.files, self.mapping, self.settings, progress)

    def load(self, progress: Progress | None = None) -> EventColumns:
        """All events, cleaned and in time order; read once.

        Args:
            progress: told bytes (Parquet: rows) read and their total.

        Raises:
            DataError: when something is wrong that the settings do not allow to set right; it names the line.
        """
        if self.columns is None:
            if not self.files:
                self.columns = EventColumns.empty()
                return self.columns
            reading = self.read(progress)
            columns, findings = clean(reading.columns, self.settings, self.now_ms)
            refuse(findings, lambda row: reading.place(self.files, row))
            for told in too_many_names(columns):
                raise DataError(f"The events of '{self.path}' must have {told}.")
            self.findings, self.notes, self.columns = tuple(findings), reading.notes, columns
        return self.columns

    def chunks(self, progress: Progress | None = None) -> Iterator[EventColumns]:
        """The events in time order, some at a time: views that share one list of names a column.

        Args:
            progress: told events handed over and their total.
        """
        columns = self.load()
        total = len(columns)
        for start in range(0, total, self.settings.chunk_events):
            stop = min(start + self.settings.chunk_events, total)
            yield columns.slice(start, stop)
            if progress is not None:
                progress(stop, total)

    def items(self) -> Iterator[list[ItemChange]]:
        """The items of the folder's item files, some at a time, all read before the first is handed over.

        Raises:
            DataError: when a row is no item; it names the row.
        """
        if is_movielens(self.path):
            changes = list(movielens_items(self.path))
        else:
            changes = [change for file in self.item_files for change in read_items(file)]
        for start in range(0, len(changes), AT_ONCE):
            yield changes[start : start + AT_ONCE]

    def users(self) -> Iterator[list[UserChange]]:
        """The users of the files of users, some at a time, all read before the first is handed over.

        Raises:
            DataError: when a row is no user; it names the row.
        """
        changes = [change for file in self.user_files for change in read_users(file)]
        for start in range(0, len(changes), AT_ONCE):
            yield changes[start : start + AT_ONCE]


def too_many_names(columns: EventColumns) -> list[str]:
    """How many kinds or scenarios there may be and are, where they are more than any state has rows for."""
    named = {"kinds": columns.kind, "scenarios": columns.scenario}
    return [
        f"at most {MAX_NAMES:,} different {name}; they have {len(coded.names):,}"
        for name, coded in named.items() if len(coded.names) > MAX_NAMES
    ]  # fmt: skip


def open_source(
    path: str | Path, mapping: Mapping | None = None, settings: DataSettings | None = None, now_ms: int | None = None
) -> Source:
    """Find out what a file or folder is, and which of its columns mean what.

    Args:
        path: a CSV, JSON-lines or Parquet file (perhaps packed as .gz, .bz2, .zst), a folder of such files (those
            called items, movies, products or catalogue hold items, those called users, customers or people hold
            users), what `export` wrote, which is taken back as it was, or a MovieLens folder.
        mapping: what the columns mean, where their names do not tell.
        settings: how it is cleaned.
        now_ms: the present moment, after which no event may be; None allows any.

    Raises:
        DataError: when there is no such file, its format cannot be told, or a needed column cannot be found.
    """
    path, settings, mapping = Path(path), settings or DataSettings(), mapping or Mapping()
    if not path.exists():
        raise DataError(f"'{path}' does not exist.")
    if is_exported(path):
        settings, mapping = as_it_was(settings, mapping)
    events, items, users = (_folder(path) if path.is_dir() else _file(path, mapping))
    if events:
        mapping = resolve(mapping, events[0].names(), str(events[0].path), settings.kind)
    return Source(path, tuple(events), tuple(items), mapping, settings, now_ms, tuple(users))


def _file(path: Path, mapping: Mapping) -> tuple[list[File], list[File], list[File]]:
    file = File(path, guess_format(path))
    if not mapping.columns and is_user_file(file):
        return [], [], [file]
    if not mapping.columns and is_item_file(file.names()):
        return [], [file], []
    return [file], [], []


def _folder(path: Path) -> tuple[list[File], list[File], list[File]]:
    """The files of events, of items and of users."""
    if is_movielens(path):
        return [File(path / "ratings.csv", "csv")], [File(path / "movies.csv", "csv")], []
    files = [File(inner, guess_format(inner)) for inner in sorted(path.iterdir()) if _holds_data(inner)]
    items = [file for file in files if file.path.name.split(".")[0].lower() in ITEM_STEMS]
    users = [file for file in files if is_user_file(file)]
    events = [file for file in files if file not in items and file not in users]
    if not files:
        raise DataError(f"The folder '{path}' must hold CSV, JSON-lines or Parquet files; it holds none.")
    return _same_columns(events), items, users


def _holds_data(path: Path) -> bool:
    known = [suffix for suffix in path.suffixes if suffix.lower() in SUFFIXES and suffix.lower() != ".txt"]
    return path.is_file() and bool(known) and not path.name.startswith((".", "_"))


def _same_columns(files: Sequence[File]) -> list[File]:
    """Refuse a folder whose event files do not belong together."""
    for file in files[1:]:
        if file.format != files[0].format or (file.format != "jsonl" and set(file.names()) != set(files[0].names())):
            raise DataError(
                f"The files '{files[0].path.name}' and '{file.path.name}' of '{files[0].path.parent}' have different "
                f"columns; import them one by one (files of items are called items, products or catalogue)."
            )
    return list(files)
