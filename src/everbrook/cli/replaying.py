"""`everbrook replay`: a past log through the engine that also serves, and a report on the lists it would have made.

With `--delay`, a curve instead: one replay for each delay between an event and its effect (see `curving`).
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from everbrook import __version__
from everbrook.cli import curving
from everbrook.cli.importing import mapping_options
from everbrook.cli.opening import loaded_settings
from everbrook.cli.progress import bar
from everbrook.errors import InputError

if TYPE_CHECKING:
    from everbrook.evaluate.options import ReplayOptions
    from everbrook.evaluate.report import Conditions, Report
    from everbrook.events.columns import EventColumns
    from everbrook.events.records import ItemChange
    from everbrook.settings import Settings

SHOWN = ("hit_rate@10", "hit_rate@20", "ndcg@10", "mrr@20", "log_loss")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("path", type=Path, help="a data directory, or a file or folder as `import` takes it")
    mapping_options(parser)
    parser.add_argument("--from", dest="start", metavar="TIME", help="events before it are learned, not scored")
    parser.add_argument("--to", dest="stop", metavar="TIME", help="events from it on are left out")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write report.html, .json and .csv there")
    parser.add_argument(
        "--refit", metavar="SPAN",
        help="fit the sequence model every so much time, such as 1d; beside --delay also the world that only refits",
    )  # fmt: skip
    curving.configure(parser)
    parser.add_argument("--sample", type=float, default=1.0, metavar="SHARE", help="seeded share of events to score")
    parser.add_argument(
        "--warm-sample", type=float, default=0.05, metavar="SHARE", help="the same before --from, to teach the mixture",
    )
    parser.add_argument("--seed", type=int, default=0, help="of every choice")
    parser.add_argument("--shuffle", action="store_true", help="events change places at random: the control")
    parser.add_argument("--control", action="store_true", help="replay in order and shuffled, both in one report")
    parser.add_argument("--exclude-seen", action="store_true", help="leave out what the user has had")
    parser.add_argument("--skip-first", action="store_true", help="do not score the first event of a session")
    parser.add_argument("--freeze", metavar="TIME", help="learn nothing more from there on")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Replay, write the report, print the figures."""
    import msgspec

    from everbrook.evaluate.page import save

    options = options_of(arguments)
    asked = curving.asked_of(arguments, options)
    settings = loaded_settings(arguments).settings
    columns, items = _past(arguments, settings)
    conditions = _conditions(arguments)
    if asked is not None:
        return curving.run((columns, items), options, asked, settings, conditions, arguments)
    report = _replayed(columns, items, options, settings, conditions)
    if arguments.control:
        shuffled = msgspec.structs.replace(conditions, title="Control")
        control = _replayed(columns, items, _shuffled(options), settings, shuffled)
        report = msgspec.structs.replace(report, control=[row for row in control.rows if row.slice == "all"])
    page = save(report, arguments.report) if arguments.report is not None else None
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(table(report) + (f"Report: {page}\n" if page is not None else ""), end="")
    return 0


def options_of(arguments: argparse.Namespace) -> ReplayOptions:
    """What the replay is asked to do."""
    from everbrook.evaluate.options import ReplayOptions, parse_span_ms

    for name in ("sample", "warm_sample", "taught"):
        share = getattr(arguments, name)
        if not 0.0 < share <= 1.0:
            raise InputError(f"--{name.replace('_', '-')} must be above 0 and at most 1; got {share}.")
    return ReplayOptions(
        from_ms=_moment("--from", arguments.start), to_ms=_moment("--to", arguments.stop),
        sample=arguments.sample, warm_sample=arguments.warm_sample,
        refit_ms=None if arguments.refit is None else parse_span_ms(arguments.refit), seed=arguments.seed,
        shuffle=arguments.shuffle, exclude_seen=arguments.exclude_seen, first_of_session=not arguments.skip_first,
        freeze_ms=_moment("--freeze", arguments.freeze), taught=arguments.taught,
        history_delay_ms=0 if arguments.history_delay is None else parse_span_ms(arguments.history_delay),
    )


def _moment(option: str, text: str | None) -> int | None:
    """A time as RFC 3339, a date alone, or milliseconds since 1970."""
    from everbrook.events.log_intake import parse_time_ms, read_moment

    if text is None:
        return None
    moment = read_moment(text)
    if isinstance(moment, int):
        return moment
    try:
        return parse_time_ms(text if "T" in text or " " in text else f"{text}T00:00:00Z")
    except ValueError:
        raise InputError(
            f"{option} must be a date, RFC 3339 text or milliseconds since 1970; got '{text}'.",
            "Such as 2026-01-31 or 2026-01-31T12:00:00Z.",
        ) from None


def _past(arguments: argparse.Namespace, settings: Settings) -> tuple[EventColumns, list[ItemChange]]:
    """The events in time order, and what is known of the items."""
    from everbrook.events.importing import open_source
    from everbrook.events.log_directory import FORMAT_FILE
    from everbrook.events.mapping import parse_mapping

    if (arguments.path / FORMAT_FILE).exists():
        return _from_log(arguments.path, settings)
    mapping = parse_mapping(arguments.map, arguments.map_file, arguments.keep, arguments.time)
    source = open_source(arguments.path, mapping, settings.data, int(time.time() * 1000))
    with bar("reading") as told:
        columns = source.load(told)
    return columns, [item for part in source.items() for item in part]


def _from_log(path: Path, settings: Settings) -> tuple[EventColumns, list[ItemChange]]:
    import numpy as np

    from everbrook.events.records import ItemChange
    from everbrook.events.sqlite_log import SqliteLog

    with SqliteLog.open(path, settings.log, create=False) as log:
        columns = log.read_events(leave_out=("id", "request", "position", "context"))
        records = [one for found in log.runs(0, types=("item",)) for one in found.records]
        columns = columns.take(np.argsort(columns.ts_ms, kind="stable"))
    return columns, [one for one in records if isinstance(one, ItemChange)]


def _replayed(
    columns: EventColumns, items: list[ItemChange], options: ReplayOptions, settings: Settings, conditions: Conditions
) -> Report:
    from everbrook.evaluate.replay import run_replay

    with bar("replaying shuffled" if options.shuffle else "replaying") as told:
        return run_replay(columns, items, options, settings, conditions, told)


def _shuffled(options: ReplayOptions) -> ReplayOptions:
    from dataclasses import replace

    return replace(options, shuffle=True)


def _conditions(arguments: argparse.Namespace) -> Conditions:
    from everbrook.evaluate.report import Conditions

    name = arguments.path.resolve().name
    command = shlex.join(["everbrook", *sys.argv[1:]])
    return Conditions(
        title=f"Replay of {name}", command=command, data=str(arguments.path), version=__version__,
        machine=f"{platform.machine()}, Python {platform.python_version()}",
    )


def table(report: Report) -> str:
    """The figures over all events: the mixture, its pools, the floors and every expert."""
    told = report.conditions
    lines = [
        f"{told.judged_events} of {told.learned_events} events scored, {told.start} to {told.end}"
        + (", shuffled (control)" if told.shuffled else ""),
        "".join([f"{'system':32}", *(f"{name:>13}" for name in SHOWN)]),
    ]
    rows = [row for row in report.rows if row.slice == "all"]
    order = {"mixture": 0, "pool": 1, "floor": 2, "expert": 3}
    for row in sorted(rows, key=lambda one: order.get(one.group, 4)):
        cells = (row.metrics.get(name) for name in SHOWN)
        numbers = ("–" if cell is None or cell != cell else f"{cell:.4f}" for cell in cells)
        lines.append(f"{row.system:32}" + "".join(f"{number:>13}" for number in numbers))
    return "\n".join(lines) + "\n"
