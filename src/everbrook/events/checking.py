"""`check`: a user's data looked at before anything is learned from it. It runs the import's own cleaning and keeps
nothing, so what it announces is what an import does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everbrook.errors import EverbrookError
from everbrook.events.cleaning import Finding, clean
from everbrook.events.importing import Source, open_source, too_many_names
from everbrook.events.mapping import Mapping
from everbrook.events.reading import Progress, Reading
from everbrook.settings.data import DataSettings


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One line of a report."""

    level: str  # PASS, WARN, FAIL
    name: str
    count: int
    text: str
    action: str  # what an import does; empty where it does nothing
    where: str  # the first place concerned; empty where there is none


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found in a file or folder."""

    path: str
    mapping: dict[str, str]  # field to column, or to the fixed text in quotes
    notes: tuple[str, ...]
    lines: tuple[CheckLine, ...]
    events: int  # in the file
    kept: int  # that an import would take

    @property
    def ok(self) -> bool:
        """Whether an import would go through."""
        return all(line.level != "FAIL" for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        lines = [{name: getattr(line, name) for name in line.__slots__} for line in self.lines]
        return {"path": self.path, "ok": self.ok, "events": self.events, "kept": self.kept, "mapping": self.mapping,
                "notes": list(self.notes), "lines": lines}


def check(
    path: str | Path, mapping: Mapping | None = None, settings: DataSettings | None = None, now_ms: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Look for everything that an import would drop, change or stumble over.

    Args:
        path: as `open_source` takes it.
        mapping: what the columns mean, where their names do not tell.
        settings: what an import would do about what is found.
        now_ms: the present moment; None where no time is too late.
        progress: told bytes (Parquet: rows) read and their total.

    Returns:
        The report. A file that cannot be read at all is a report of one FAIL line.
    """
    settings = settings or DataSettings()
    try:
        source = open_source(path, mapping, settings, now_ms)
        if not source.files:
            return _described(source)
        reading = source.read(progress)
    except EverbrookError as error:
        return CheckReport(str(path), {}, (), (_failure("file", error.message),), 0, 0)
    columns, findings = clean(reading.columns, source.settings, now_ms)
    lines = [_mapped(source, reading), *(_line(finding, source, reading) for finding in findings)]
    lines += [_failure("names", f"events must have {told}") for told in too_many_names(columns)]
    if source.item_files or source.user_files:
        lines += _described(source).lines
    kept = len(columns) if all(line.level != "FAIL" for line in lines) else 0
    return CheckReport(
        str(path), _spelled(source.mapping), reading.notes, tuple(lines), len(reading.columns), kept
    )


def render(report: CheckReport) -> str:
    """The report as text: a line each, and a sentence at the end."""
    rows = [f"{line.level}  {line.name}: {line.text}{_tail(line)}" for line in report.lines]
    rows += [f"NOTE  {note}" for note in report.notes]
    counts = Counter(line.level for line in report.lines)
    verdict = (
        f"An import takes {report.kept:,} of {report.events:,} events." if report.ok
        else "An import would stop and keep nothing."
    )
    rows.append(f"{counts['PASS']} PASS, {counts['WARN']} WARN, {counts['FAIL']} FAIL. {verdict}")
    return "\n".join(rows)


def _tail(line: CheckLine) -> str:
    where = f" First: {line.where}." if line.where else ""
    return (f". Import {line.action}." if line.action else "") + (where if line.action else where and "." + where)


def _line(finding: Finding, source: Source, reading: Reading) -> CheckLine:
    where = reading.place(source.files, finding.row) if finding.row >= 0 else ""
    return CheckLine(finding.level, finding.name, finding.count, finding.found, finding.action, where)


def _failure(name: str, text: str) -> CheckLine:
    return CheckLine("FAIL", name, 1, text.rstrip("."), "stops", "")


def _spelled(mapping: Mapping) -> dict[str, str]:
    fixed = {field: f"'{text}'" for field, text in mapping.constants.items()}
    return mapping.columns | fixed | ({"context": ", ".join(mapping.keep)} if mapping.keep else {})


def _mapped(source: Source, reading: Reading) -> CheckLine:
    said = ", ".join(f"{field}={column}" for field, column in _spelled(source.mapping).items())
    unit = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "text": "dates"}
    times = f"; times are {unit[reading.time_unit]}" if reading.time_unit in unit else ""
    unused = _unused(source)
    left = f"; not used: {', '.join(unused[:10])}{', …' if len(unused) > 10 else ''}" if unused else ""
    return CheckLine("PASS", "columns", len(source.mapping.names), said + times + left, "", "")


def _unused(source: Source) -> Sequence[str]:
    used = set(source.mapping.names)
    return [name for name in source.files[0].names() if name not in used]


def _described(source: Source) -> CheckReport:
    """Items and users, without events."""
    items = _items_report(source) if source.item_files or not source.user_files else None
    if not source.user_files:
        assert items is not None
        return items
    try:
        found = [change.id for changes in source.users() for change in changes]
    except EverbrookError as error:
        line = _failure("users", error.message)
    else:
        line = CheckLine("PASS" if found else "FAIL", "users", len(set(found)), f"{len(set(found)):,} users", "", "")
    return CheckReport(str(source.path), {}, (), (*(items.lines if items else ()), line), 0, 0)


def _items_report(source: Source) -> CheckReport:
    """The items alone."""
    ids: Counter[str] = Counter()
    untitled = 0
    try:
        for changes in source.items():
            ids.update(change.id for change in changes)
            untitled += sum(not change.title for change in changes)
    except EverbrookError as error:
        return CheckReport(str(source.path), {}, (), (_failure("items", error.message),), 0, 0)
    lines = [CheckLine("PASS" if ids else "FAIL", "items", len(ids), f"{len(ids):,} items", "", "")]
    if untitled:
        lines.append(CheckLine("WARN", "items title", untitled, f"{untitled:,} items have no title", "", ""))
    again = ids.total() - len(ids)
    if again:
        found = f"{again:,} rows describe an item again"
        lines.append(CheckLine("WARN", "items repeated", again, found, "lets the later row win, field by field", ""))
    return CheckReport(str(source.path), {}, (), tuple(lines), 0, 0)
