"""What is wrong with a file's events, and the same events without it, step by step.

`check` and every import run these very steps, so what a check announces is what an import does. The steps work on
whole columns; the only loops over events are the two kernels of `rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from everbrook.errors import DataError
from everbrook.events.columns import Coded, EventColumns
from everbrook.events.encoding import recode
from everbrook.events.moments import NO_TIME
from everbrook.events.records import MAX_ID_BYTES, MAX_TIME_MS
from everbrook.events.rows import fast_rows, repeated_rows
from everbrook.settings.data import DataSettings
from everbrook.types import I64, Bool

Level = Literal["PASS", "WARN", "FAIL"]
ID_FIELDS = ("user", "session", "item", "kind", "scenario", "id", "request")
_PERSONAL = ("user", "session")
OLD_MS = 631_152_000_000  # 1990-01-01


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked for: how often it was found and what is done about it."""

    name: str
    level: Level
    count: int
    found: str
    action: str = ""  # what an import does; empty where it does nothing
    row: int = -1  # the first row of the file concerned, counted from 0; -1 where there is none


@dataclass(frozen=True, slots=True)
class Draft:
    """Events on their way: what is left of the file, and from which of its rows."""

    columns: EventColumns
    rows: I64  # (B,) row in the file
    settings: DataSettings
    now_ms: int | None  # None: nothing is in the future

    def keep(self, mask: Bool) -> Draft:
        """Only the rows where the mask is true."""
        if mask.all():
            return self
        return replace(self, columns=self.columns.take(mask), rows=self.rows[mask])

    def first(self, mask: Bool) -> int:
        """The file's row of the first true; -1 where none is."""
        return int(self.rows[mask.argmax()]) if mask.any() else -1


Step = Callable[[Draft], tuple[Draft, list[Finding]]]


def clean(columns: EventColumns, settings: DataSettings, now_ms: int | None) -> tuple[EventColumns, list[Finding]]:
    """Look for everything and set right what the settings say.

    Args:
        columns: all events of a source in its own order; a missing time is NO_TIME.
        settings: what to do about what is found.
        now_ms: the present moment; None where no time is too late.

    Returns:
        The events that remain, in time order, those of equal time in the source's order; and the findings. Where a
        finding is FAIL an import must not use the events.
    """
    draft = Draft(columns, np.arange(len(columns), dtype=np.int64), settings, now_ms)
    findings: list[Finding] = []
    for step in STEPS:
        draft, found = step(draft)
        findings += found
    return draft.columns, findings


def need_some(draft: Draft) -> tuple[Draft, list[Finding]]:
    """There must be events."""
    n = len(draft.columns)
    if n == 0:
        return draft, [Finding("rows", "FAIL", 0, "there are no events", "stops: there is nothing to learn from")]
    parts = [f"{n:,} events"]
    for field, noun in (("user", "users"), ("session", "sessions"), ("item", "items"), ("kind", "kinds")):
        names = len(getattr(draft.columns, field).names)
        if names:
            parts.append(f"{names:,} {noun if names > 1 else noun[:-1]}")
    if n < draft.settings.short_events:
        return draft, [Finding("rows", "WARN", n, ", ".join(parts) + "; so few teach little")]
    return draft, [Finding("rows", "PASS", n, ", ".join(parts))]


def unite_ids(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Ids that look alike but for spaces or case, and ids longer than the log keeps."""
    findings: list[Finding] = []
    changed: dict[str, Any] = {}
    for field in ID_FIELDS:
        coded: Coded | None = getattr(draft.columns, field)
        if coded is not None and coded.names:
            fixed, found = _unite(field, coded, draft)
            findings += found
            if fixed is not coded:
                changed[field] = fixed
    if not findings:
        findings = [Finding("ids", "PASS", 0, "no ids look alike but for spaces or case")]
    return replace(draft, columns=replace(draft.columns, **changed)) if changed else draft, findings


def _unite(field: str, coded: Coded, draft: Draft) -> tuple[Coded, list[Finding]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    settings, packed = draft.settings, coded.packed
    findings: list[Finding] = []
    if packed is not None and packed.longest_bytes() <= MAX_ID_BYTES and packed.are_plain():
        return coded, findings  # as most ids are
    names = pa.array(coded.names, pa.string()) if packed is None else packed.to_arrow()
    stripped = pc.utf8_trim_whitespace(names)
    spaced = _differ(names, stripped)
    if spaced:
        action = f"removes the spaces of {spaced:,}" if settings.strip_spaces else "keeps them as different ids"
        found = many(spaced, "id has spaces around it", "ids have spaces around them")
        findings.append(Finding(f"{field} spaces", "WARN", spaced, found, action))
    lower = pc.utf8_lower(stripped)
    cased = 0 if field == "id" else _differ(stripped, lower)
    alike = len(pc.unique(stripped)) - len(pc.unique(lower)) if cased else 0
    if alike:
        action = "writes all in lower case" if settings.fold_case else "keeps them as different ids"
        found = many(alike, "id differs", "ids differ") + " from another only in case"
        findings.append(Finding(f"{field} case", "WARN", alike, found, action))
    if pc.max(pc.binary_length(names)).as_py() > MAX_ID_BYTES:
        findings.append(_long(field, coded, draft))
    if cased and settings.fold_case:
        return recode(coded, (lower if settings.strip_spaces else pc.utf8_lower(names)).to_pylist()), findings
    if spaced and settings.strip_spaces:
        return recode(coded, stripped.to_pylist()), findings
    return coded, findings


def _differ(before: Any, after: Any) -> int:
    """How many texts changed; compared one by one only where it is not plain that none did."""
    import pyarrow.compute as pc

    if before.equals(after):
        return 0
    return int(pc.sum(pc.not_equal(before, after)).as_py())


def _long(field: str, coded: Coded, draft: Draft) -> Finding:
    long = [code for code, name in enumerate(coded.names) if len(name.encode()) > MAX_ID_BYTES]
    mask = np.isin(coded.codes, long)
    count = int(np.count_nonzero(mask))
    found = many(count, "event has", "events have")
    found += f" {_a(field)} of more than {MAX_ID_BYTES} bytes: '{coded.names[long[0]][:40]}…'"
    return Finding(f"{field} length", "FAIL", count, found,
                   "stops: a quote may be left open, or the column is the wrong one", draft.first(mask))


def drop_missing(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Item, time, and user or session must be there (a kind is made up where none is given)."""
    columns = draft.columns
    lacking = {
        "item": columns.item.codes < 0,
        "time": columns.ts_ms == NO_TIME,
        "user and session": (columns.user.codes < 0) & (columns.session.codes < 0),
    }
    stop = draft.settings.missing == "stop"
    findings, bad = [], np.zeros(len(columns), np.bool_)
    for what, mask in lacking.items():
        count = int(np.count_nonzero(mask))
        if count:
            bad |= mask
            findings.append(Finding(
                f"missing {what}", "FAIL" if stop or count == len(columns) else "WARN", count,
                f"{many(count, 'event', 'events')} ({count / len(columns):.2%}) without {what}",
                "stops" if stop else f"drops {count:,}", draft.first(mask),
            ))
    if not findings:
        return draft, [Finding("missing", "PASS", 0, "item, time, and user or session are always there")]
    return draft.keep(~bad), findings


def drop_repeated(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Rows that repeat an earlier one in every column, or its id."""
    mask = repeated_rows(draft.columns)
    count = int(np.count_nonzero(mask))
    if not count:
        return draft, [Finding("duplicates", "PASS", 0, "no event comes twice")]
    drop = draft.settings.duplicates == "drop"
    action = f"drops {count:,}" if drop else "keeps them"
    found = many(count, "event repeats", "events repeat") + " an earlier one exactly"
    finding = Finding("duplicates", "WARN", count, found, action, draft.first(mask))
    return draft.keep(~mask) if drop else draft, [finding]


def judge_times(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Times of this age: not in the future, not before 1990."""
    ts, settings = draft.columns.ts_ms, draft.settings
    if not len(ts):
        return draft, []
    latest = MAX_TIME_MS if draft.now_ms is None else min(MAX_TIME_MS, draft.now_ms + round(settings.future_s * 1000))
    late, early = ts > latest, ts < OLD_MS
    impossible = (ts < 0) | (ts > MAX_TIME_MS)
    findings, bad = [], np.zeros(len(ts), np.bool_)
    for name, mask, words in (("future", late, "in the future"), ("old", early, "before 1990")):
        count = int(np.count_nonzero(mask))
        if not count:
            continue
        bad |= mask
        stop = settings.times == "stop" or (settings.times == "keep" and bool((mask & impossible).any()))
        said = ", such as " + _spell(int(ts[mask.argmax()]))
        wrong_unit = "; the unit may be wrong" if count > len(ts) // 2 else ""
        action = "stops" if stop else "keeps them" if settings.times == "keep" else f"drops {count:,}"
        found = f"{many(count, 'time is', 'times are')} {words}{said}{wrong_unit}"
        findings.append(
            Finding(f"times {name}", "FAIL" if stop else "WARN", count, found, action, draft.first(mask))
        )
    if not findings:
        return draft, [Finding("times", "PASS", 0, f"from {_spell(int(ts.min()))} to {_spell(int(ts.max()))}")]
    return draft.keep(~bad) if settings.times == "drop" else draft, findings


def sort_times(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Time order."""
    ts = draft.columns.ts_ms
    if len(ts) < 2 or bool(np.all(ts[1:] >= ts[:-1])):
        return draft, [Finding("order", "PASS", 0, "the events are in time order")]
    late = ts < np.maximum.accumulate(ts)
    count = int(np.count_nonzero(late))
    order = np.argsort(ts, kind="stable")
    found = many(count, "event comes", "events come") + " after a later one"
    finding = Finding("order", "WARN", count, found, "sorts by time", draft.first(late))
    return replace(draft, columns=draft.columns.take(order), rows=draft.rows[order]), [finding]


def tame_outliers(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Values outside Tukey's fences: quartiles ± a multiple of the interquartile range."""
    value = draft.columns.value
    known = value[np.isfinite(value)]
    if len(known) < 8:
        return draft, []
    low, high = fences(known.astype(np.float64), draft.settings.outlier_fence)
    mask = (value < low) | (value > high)
    count = int(np.count_nonzero(mask))
    span = f"{low:,.6g} … {high:,.6g}"
    if not count:
        return draft, [Finding("outliers", "PASS", 0, f"all values lie within the fences {span}")]
    how = draft.settings.outliers
    action = {"keep": "keeps them", "clip": f"clips {count:,} to the fences", "drop": f"drops {count:,}"}[how]
    found = (f"{many(count, 'value', 'values')} ({count / len(known):.2%}) outside the fences {span} "
             f"(smallest {known.min():,.6g}, largest {known.max():,.6g})")
    finding = Finding("outliers", "WARN", count, found, action, draft.first(mask))
    if how == "clip":
        clipped = np.clip(value, np.float32(low), np.float32(high))
        return replace(draft, columns=replace(draft.columns, value=clipped)), [finding]
    return draft.keep(~mask) if how == "drop" else draft, [finding]


def fences(values: np.ndarray[Any, np.dtype[np.float64]], times: float) -> tuple[float, float]:
    """Tukey's fences: the quartiles widened by so many interquartile ranges.

    Source: Tukey, Exploratory Data Analysis (1977), chapter 2.
    """
    first, third = np.percentile(values, [25, 75])
    reach = times * (third - first)
    return float(first - reach), float(third + reach)


def drop_bots(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Actors that act faster than people can."""
    limit = draft.settings.bot_rate
    mask, actors = fast_rows(draft.columns, limit)
    if not actors:
        return draft, [Finding("bots", "PASS", 0, f"no actor has more than {limit:,} events in a minute")]
    count, drop = int(np.count_nonzero(mask)), draft.settings.bots == "drop"
    finding = Finding(
        "bots", "WARN", actors,
        f"{many(actors, 'actor has', 'actors have')} more than {limit:,} events in a minute ({count:,} events in all)",
        f"drops their {count:,} events" if drop else "keeps them", draft.first(mask),
    )
    return draft.keep(~mask) if drop else draft, [finding]


def note_constant(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Columns that say the same of every event say nothing."""
    columns, findings = draft.columns, []
    if len(columns) < 2:
        return draft, []
    for field in ("user", "session", "item", "request"):
        coded = getattr(columns, field)
        if coded is not None and coded.codes[0] >= 0 and bool(np.all(coded.codes == coded.codes[0])):
            name = f"the {field} '{coded.names[coded.codes[0]][:40]}'"
            told = f"the same {field}" if field in _PERSONAL else name  # reports are kept, and may not name a person
            findings.append(Finding(f"constant {field}", "WARN", 1, f"every event has {told}"))
    if columns.ts_ms[0] != NO_TIME and bool(np.all(columns.ts_ms == columns.ts_ms[0])):
        found = f"every event has the time {_spell(int(columns.ts_ms[0]))}"
        findings.append(Finding("constant time", "WARN", 1, found))
    if bool(np.all(columns.value == columns.value[0])):
        findings.append(Finding("constant value", "WARN", 1, f"every event has the value {float(columns.value[0]):g}"))
    return draft, findings or [Finding("constant", "PASS", 0, "no column is the same for all events")]


def need_rest(draft: Draft) -> tuple[Draft, list[Finding]]:
    """Something must remain."""
    if len(draft.columns):
        return draft, []
    return draft, [Finding("rest", "FAIL", 0, "no event remains", "stops: there is nothing to learn from")]


def refuse(findings: list[Finding], place: Callable[[int], str]) -> None:
    """Raise for the first finding that stops an import.

    Args:
        findings: as `clean` gave them.
        place: names a row, such as "'events.csv' line 1042".

    Raises:
        DataError: naming what, where and the way out.
    """
    for finding in findings:
        if finding.level == "FAIL":
            raise DataError(f"{place(finding.row)}: {finding.found}. Nothing was imported. {_way_out(finding)}".strip())


def _way_out(finding: Finding) -> str:
    if finding.name.startswith("missing"):
        return "Set data.missing=drop to leave them out."
    if finding.name.startswith("times"):
        return "Give the unit of the times, or set data.times=drop to leave them out."
    return ""


def many(count: int, one: str, more: str) -> str:
    """A count and the words that fit it."""
    return f"{count:,} {one if count == 1 else more}"


def _spell(ts_ms: int) -> str:
    try:
        return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{ts_ms:,} ms"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


STEPS: tuple[Step, ...] = (
    need_some, unite_ids, drop_missing, drop_repeated, judge_times, sort_times, note_constant,
    tame_outliers, drop_bots, need_rest,
)
