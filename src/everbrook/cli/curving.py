"""`everbrook replay --delay`: what freshness is worth, as a curve of quality against staleness."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from everbrook.cli.progress import bars
from everbrook.errors import InputError

if TYPE_CHECKING:
    from everbrook.evaluate.curve import CurveOptions
    from everbrook.evaluate.curve_data import Curve, Point
    from everbrook.evaluate.options import ReplayOptions
    from everbrook.evaluate.report import Conditions
    from everbrook.events.columns import EventColumns
    from everbrook.events.records import ItemChange
    from everbrook.settings import Settings

SHOWN = {"hit_rate@20": "HR@20", "mrr@20": "MRR@20", "log_loss": "log-loss"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of a curve."""
    parser.add_argument(
        "--delay", metavar="SPANS",
        help="one replay for each delay between an event and its effect on all that is learned, such as "
        "0s,1s,10s,1m,10m,1h,6h,1d,never; --report then writes curve.html, .json and .csv",
    )  # fmt: skip
    parser.add_argument(
        "--history-delay", metavar="SPAN", help="histories lag too: lists are made without what is younger than that",
    )  # fmt: skip
    parser.add_argument(
        "--taught", type=float, default=1.0, metavar="SHARE",
        help="seeded share of the events that are not scored that teach the mixture while learning lags",
    )  # fmt: skip


def asked_of(arguments: argparse.Namespace, options: ReplayOptions) -> CurveOptions | None:
    """Which points are asked for; None where no curve is.

    Raises:
        InputError: the options contradict each other.
    """
    from everbrook.evaluate.curve import CurveOptions
    from everbrook.evaluate.options import parse_delays

    if arguments.delay is None:
        return None
    if options.freeze_ms is not None:
        raise InputError("--freeze must be left out beside --delay; got both.", "The frozen point is 'never'.")
    if options.shuffle and arguments.control:
        raise InputError("--shuffle and --control must not both stand beside --delay.", "--control draws both.")
    delays_ms = parse_delays(arguments.delay)
    if None in delays_ms and options.from_ms is None:
        raise InputError("--delay never must come with --from, before which it learns; got no --from.")
    return CurveOptions(delays_ms, arguments.control)


def run(
    past: tuple[EventColumns, list[ItemChange]], options: ReplayOptions, asked: CurveOptions, settings: Settings,
    conditions: Conditions, arguments: argparse.Namespace,
) -> int:  # fmt: skip
    """Draw the curve, write its page, print its figures."""
    import msgspec

    from everbrook.evaluate.curve import run_curve
    from everbrook.evaluate.curve_page import save

    with bars() as progress:

        def on_point(label: str) -> Callable[[int, int], None]:
            task = progress.add_task(f"replaying, {label}", total=None, note="")
            return lambda done, total: progress.update(task, completed=done, total=total)

        curve = run_curve(*past, options, asked, settings, conditions, on_point)
    page = save(curve, arguments.report) if arguments.report is not None else None
    if arguments.json:
        print(msgspec.json.encode(curve).decode())
    else:
        print(table(curve) + (f"Report: {page}\n" if page is not None else ""), end="")
    return 0


def table(curve: Curve) -> str:
    """The figures over all events: a line for each delay and system, then what they say."""
    from everbrook.evaluate.curve_data import sentences

    had = curve.conditions
    lines = [f"{curve.points[0].events} events scored at each delay, {had.start} to {had.end}"]
    lines += _lines(curve, curve.points, "delay")
    if curve.control:
        lines += ["", *_lines(curve, curve.control, "shuffled")]
    return "\n".join([*lines, "", *sentences(curve)]) + "\n"


def _lines(curve: Curve, points: list[Point], head: str) -> list[str]:
    lines = ["".join([f"{head:14}{'system':32}", *(f"{label:>10}" for label in SHOWN.values())])]
    for point in points:
        for system in curve.systems:
            values = (point.value(system, name) for name in SHOWN)
            cells = "".join(f"{'–' if value is None else f'{value:.4f}':>10}" for value in values)
            lines.append(f"{point.label:14}{system:32}{cells}")
    return lines
