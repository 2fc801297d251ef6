"""Prequential replays of the real streams: the figures of docs/experiments.md, with the report as a page beside them.

    python bench/streams.py [news] [news-shuffled] [sessions] [articles] [--sample 0.05] [--report DIR]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
import numpy as np

from everbrook.evaluate.options import ReplayOptions
from everbrook.evaluate.page import save
from everbrook.evaluate.replay import run_replay
from everbrook.evaluate.report import ALL, Conditions, Report
from everbrook.settings import Settings, load_settings

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

SHOWN = ("hit_rate@20", "mrr@20", "log_loss")


def news(options: argparse.Namespace, settings: Settings) -> Report:
    """Days 5-8 after a warm-up of days 1-4; what a reader had is left out, a session's first click is not scored."""
    columns = data.news(None if options.no_scenario else "referrer")
    day = (columns.ts_ms - columns.ts_ms[0]) // data.DAY_MS
    first, last = (3, 4) if options.tune else (4, 8)
    asked = ReplayOptions(
        from_ms=int(columns.ts_ms[day >= first][0]), to_ms=int(columns.ts_ms[0] + last * data.DAY_MS),
        sample=options.sample, warm_sample=options.warm, refit_ms=(options.refit or 0) * data.DAY_MS or None,
        exclude_seen=True, first_of_session=False, shuffle=options.stream == "news-shuffled",
    )  # fmt: skip
    return run_replay(columns, [], asked, settings, Conditions(title="News clicks, days 5-8"))


def sessions(options: argparse.Namespace, settings: Settings) -> Report:
    """Periods 9-16 as a stream after periods 0-8, the sequence model refitted each week."""
    columns, period = data.sessions()
    weeks = 1 if options.refit is None else options.refit
    first, last = (7, 9) if options.tune else (9, 17)
    columns = columns.slice(0, int(np.searchsorted(period, last)))
    asked = ReplayOptions(
        from_ms=int(columns.ts_ms[np.searchsorted(period, first)]), sample=options.sample, warm_sample=options.warm,
        refit_ms=weeks * data.WEEK_MS or None, first_of_session=False,
    )  # fmt: skip
    return run_replay(columns, [], asked, settings, Conditions(title="Shop sessions, periods 9-16 as a stream"))


def articles(options: argparse.Namespace, settings: Settings) -> Report:
    """The second half of the events after the first."""
    columns = data.articles()
    n = len(columns)
    first, last = (n * 3 // 10, n // 2) if options.tune else (n // 2, n)
    columns = columns.slice(0, last)
    asked = ReplayOptions(
        from_ms=int(columns.ts_ms[first]), sample=options.sample, warm_sample=options.warm,
        refit_ms=(options.refit or 0) * data.DAY_MS or None,
    )  # fmt: skip
    return run_replay(columns, [], asked, settings, Conditions(title="Articles, second half"))


STREAMS = {"news": news, "news-shuffled": news, "sessions": sessions, "articles": articles}


def main() -> None:
    """Replay the streams that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("streams", nargs="*", metavar="STREAM", help=", ".join(STREAMS))
    parser.add_argument("--sample", type=float, default=0.05, help="share of the events that are scored")
    parser.add_argument("--warm", type=float, default=0.05, help="share of earlier events that teach the mixture")
    parser.add_argument("--refit", type=int, help="days (sessions: weeks, 1 by default) between fits; 0: none")
    parser.add_argument("--tune", action="store_true", help="the end of the warm-up instead, to choose on")
    parser.add_argument("--no-scenario", action="store_true", help="news without the referrer as scenario")
    parser.add_argument("--report", type=Path, help="folder for report.json, report.csv and report.html")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE")
    options = parser.parse_args()
    for name in options.streams or STREAMS:
        options.stream = name
        replay(options)


def replay(options: argparse.Namespace) -> None:
    """Replay one stream, write its report where asked, print its figures."""
    report = STREAMS[options.stream](options, load_settings(assignments=options.assignments).settings)
    conditions = msgspec.structs.replace(
        report.conditions, command="python bench/streams.py " + " ".join(sys.argv[1:]), commit=data.commit(),
        machine=data.machine(), data=options.stream,
    )  # fmt: skip
    report = msgspec.structs.replace(report, conditions=conditions)
    if options.report is not None:
        save(report, options.report / options.stream)
    for row in report.rows:
        if row.slice == ALL:
            for name in SHOWN:
                value = row.metrics.get(name)
                if value is not None and np.isfinite(value):
                    data.tell(f"{options.stream}/{row.system}", value, name, events=row.events, group=row.group)
    for one in report.timings:
        cost_us = 1e6 * one.seconds / max(one.events, 1)
        data.tell(f"{options.stream}/cost/{one.part}", cost_us, "us/event", events=one.events)


if __name__ == "__main__":
    main()
