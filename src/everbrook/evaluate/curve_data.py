"""What a curve of quality against staleness found, as data: written as JSON and CSV, and read off in sentences."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec

from everbrook.errors import DataError
from everbrook.evaluate.report import ALL, Conditions, Row

FORMAT = 1
TOLERATED = 0.005  # share that live may lose against frozen on the shuffled control


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """By how much the first point's metric is above another's on the same events, with 95 % bounds.

    Of log-loss the difference is that of log-probabilities: above 0 the first point is better there too.
    """

    system: str
    metric: str
    estimate: float
    low: float
    high: float


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One replay: all metrics that are drawn, for one delay."""

    label: str
    delay_s: float | None  # None: nothing is learned after the warm-up
    batch: bool = False  # everything waits for the next of the refits that lie `delay_s` apart
    events: int = 0
    rows: list[Row] = []  # msgspec copies it
    lost: list[Gain] = []
    cpu_s: float = 0.0
    notes: tuple[str, ...] = ()

    def value(self, system: str, metric: str, slice_: str = ALL) -> float | None:
        """One figure; None where there is none."""
        for row in self.rows:
            if (row.system, row.slice) == (system, slice_):
                value = row.metrics.get(metric)
                return None if value is None or value != value else value
        return None

    def events_of(self, slice_: str) -> int:
        """How many events a slice has."""
        return next((row.events for row in self.rows if row.slice == slice_), 0)


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it."""

    conditions: Conditions
    points: list[Point]
    control: list[Point] | None = None  # of the same stream with its order shuffled
    history_delay_s: float = 0.0
    micro_batch_s: float = 0.0  # mean wait for a micro-batch of the live model to fill, which adds to every delay
    format: int = FORMAT

    @property
    def systems(self) -> list[str]:
        """The systems that are drawn: those that said something in any point, the mixture first."""
        names = list(dict.fromkeys(row.system for point in self.points for row in point.rows))
        heard = [
            name
            for name in names
            if any((point.value(name, "awake") or 0.0) > 0.0 or _is_floor(point, name) for point in self.points)
        ]
        return sorted(heard, key=lambda name: _RANKS.index(_kind(name)))

    @property
    def slices(self) -> list[str]:
        """The slices that have events."""
        return list(dict.fromkeys(row.slice for point in self.points for row in point.rows if row.events))


_RANKS = ("mixture", "live", "sequence", "floor")


def _kind(system: str) -> str:
    first = system.split("/")[0]
    return first if first in _RANKS else "floor"


def _is_floor(point: Point, system: str) -> bool:
    return any(row.system == system and row.group == "floor" for row in point.rows)


def sentences(curve: Curve) -> list[str]:
    """What the curve says of freshness, and whether its control holds; one sentence a line."""
    said = _freshness(curve.points, "Shuffled" if curve.conditions.shuffled else "In order")
    if curve.conditions.shuffled:
        said += _control(curve.points)
    if curve.control:
        said += _freshness(curve.control, "Shuffled")
        said += _control(curve.control)
    return said


def ends(points: list[Point]) -> tuple[Point, Point] | None:
    """The freshest point and the frozen one, or the stalest where none is frozen; None where there are not two."""
    plain = [point for point in points if not point.batch]
    return (plain[0], plain[-1]) if len(plain) > 1 else None


def _freshness(points: list[Point], order: str) -> list[str]:
    both = ends(points)
    if both is None:
        return []
    fresh, stale = both
    said = []
    for system in ("mixture", "live/served"):
        parts = [
            f"{name} {100 * change:+.2f} %"
            for name, metric in (("HR@20", "hit_rate@20"), ("MRR@20", "mrr@20"))
            if (change := relative(fresh, stale, system, metric)) is not None
        ]
        losses = [point.value(system, "log_loss") for point in both]
        if losses[0] is not None and losses[1] is not None:
            parts.append(f"log-loss {losses[0] - losses[1]:+.4f} nats")
        if parts:
            said.append(f"{order}, {system}, {fresh.label} against {stale.label}: {', '.join(parts)}.")
    return said


def _control(points: list[Point]) -> list[str]:
    both = ends(points)
    if both is None:
        return []
    said = []
    for system in ("mixture", "live/served"):
        changes = [
            change for metric in ("hit_rate@20", "mrr@20") if (change := relative(*both, system, metric)) is not None
        ]
        if changes:
            holds = "holds" if min(changes) > -TOLERATED else "FAILS"
            said.append(
                f"Control: shuffled, {system} loses less than {100 * TOLERATED:g} % when it learns at once: {holds} "
                f"(worst {100 * min(changes):+.2f} %)."
            )
    return said


def relative(fresh: Point, stale: Point, system: str, metric: str) -> float | None:
    """By what share the fresh point's figure is above the stale one's."""
    new, old = fresh.value(system, metric), stale.value(system, metric)
    return None if new is None or old is None or not old else new / old - 1.0


def save_json(curve: Curve, path: Path) -> None:
    """Write the curve as JSON; what is not a number becomes null."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(curve), indent=1))


def load_json(path: Path) -> Curve:
    """Read what `save_json` wrote.

    Raises:
        DataError: when the file is no curve of this format.
    """
    try:
        curve = msgspec.json.decode(path.read_bytes(), type=Curve)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"'{path}' must be a replay's curve.json; {error}.") from error
    if curve.format != FORMAT:
        raise DataError(f"'{path}' must be a curve of format {FORMAT}; got format {curve.format}.")
    return curve


def save_csv(curve: Curve, path: Path) -> None:
    """Write one line for each point, system and slice."""
    metrics = ("hit_rate@20", "mrr@20", "log_loss", "awake")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["order", "point", "delay_s", "batch", "system", "group", "slice", "events", *metrics])
        for order, points in (("real", curve.points), ("shuffled", curve.control or [])):
            for point in points:
                head = [order, point.label, "" if point.delay_s is None else f"{point.delay_s:g}", int(point.batch)]
                for row in point.rows:
                    values = [point.value(row.system, name, row.slice) for name in metrics]
                    numbers = ["" if value is None else f"{value:.6g}" for value in values]
                    writer.writerow([*head, row.system, row.group, row.slice, row.events, *numbers])
