"""What a replay found, as data: written as JSON and CSV here, as a page by `page`."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec

from everbrook.errors import DataError

FORMAT = 1
ALL = "all"


class Conditions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Under what conditions the figures came about; whoever has them can make the figures again."""

    title: str = "Replay"
    command: str = ""
    commit: str = ""
    settings_digest: str = ""
    data: str = ""
    start: str = ""  # RFC 3339
    end: str = ""
    sample: float = 1.0  # share of events judged
    seed: int = 0
    shuffled: bool = False
    delay_s: float | None = 0.0  # between an event and its effect; None for never
    learned_events: int = 0
    judged_events: int = 0
    machine: str = ""
    version: str = ""
    notes: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """All metrics of one system in one slice."""

    system: str
    group: str  # 'mixture', 'pool', 'expert' or 'floor'
    slice: str
    events: int
    metrics: dict[str, float | None]  # 'hit_rate@20', …, 'log_loss'; None where there is no number


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How much better the mixture is than another system on the same events, with 95 % bounds."""

    system: str
    measure: str  # 'hit_rate', 'mrr' or 'log_likelihood'
    estimate: float | None
    low: float | None
    high: float | None


class OverTime(msgspec.Struct, frozen=True, kw_only=True):
    """Quality by span of time; each series has one number a span."""

    span_hours: int
    start_ms: list[int]
    events: list[int]
    series: dict[str, dict[str, list[float]]]  # system -> 'hit_rate', 'mrr' -> numbers


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """The mixture's weights over time."""

    names: list[str]
    ts_ms: list[int]
    values: list[list[float]]  # (samples, names)


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """What the first place promised against how often it came true, by bins of the promise."""

    error: float | None  # expected calibration error
    edges: list[float]
    events: list[int]
    promised: list[float | None]
    happened: list[float | None]


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """What a part of the work cost."""

    part: str
    seconds: float
    events: int

    @property
    def us_per_event(self) -> float:
        """Microseconds an event."""
        return 1e6 * self.seconds / self.events if self.events else float("nan")


class Delay(msgspec.Struct, frozen=True, kw_only=True):
    """The mixture's quality when an event takes effect so much later."""

    delay_s: float | None  # None for never
    metrics: dict[str, float | None]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it."""

    conditions: Conditions
    rows: list[Row]
    differences: list[Difference]
    over_time: OverTime
    weights: Weights | None = None
    reliability: Reliability | None = None
    timings: list[Timing] = []  # msgspec copies it
    ratings: dict[str, float | None] | None = None
    clicks: dict[str, float | None] | None = None
    control: list[Row] | None = None  # rows over all events of the same stream in shuffled order
    delays: list[Delay] | None = None
    format: int = FORMAT

    def row(self, system: str, slice_: str = ALL) -> Row:
        """The row of one system in one slice.

        Raises:
            KeyError: when there is none.
        """
        for row in self.rows:
            if row.system == system and row.slice == slice_:
                return row
        raise KeyError((system, slice_))

    def best(self, metric: str, group: str = "expert", slice_: str = ALL) -> Row | None:
        """The row that is best at a metric among a group (floors count as experts); None where there is none."""
        groups = (group, "floor") if group == "expert" else (group,)
        found = [
            row
            for row in self.rows
            if row.slice == slice_ and row.group in groups and row.metrics.get(metric) is not None
        ]
        sign = -1.0 if metric == "log_loss" else 1.0
        return max(found, key=lambda row: sign * (row.metrics[metric] or 0.0), default=None)


def save_json(report: Report, path: Path) -> None:
    """Write the report as JSON; what is not a number becomes null."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))


def load_json(path: Path) -> Report:
    """Read what `save_json` wrote.

    Raises:
        DataError: when the file is no report of this format.
    """
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"'{path}' must be a replay's report.json; {error}.") from error
    if report.format != FORMAT:
        raise DataError(f"'{path}' must be a report of format {FORMAT}; got format {report.format}.")
    return report


def save_csv(report: Report, path: Path) -> None:
    """Write one line for each system and slice, with all metrics."""
    metrics = list(dict.fromkeys(name for row in report.rows for name in row.metrics))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["system", "group", "slice", "events", *metrics])
        for row in report.rows:
            numbers = [row.metrics.get(name) for name in metrics]
            writer.writerow([row.system, row.group, row.slice, row.events, *(_cell(number) for number in numbers)])


def _cell(number: float | None) -> str:
    return "" if number is None or number != number else f"{number:.6g}"
