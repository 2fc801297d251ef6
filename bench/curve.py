"""Quality against staleness on the real streams: the curves of docs/experiments.md, with a page for each.

    python bench/curve.py [articles] [news] [sessions] [--delays 0s,1h,1d,never] [--control] [--report DIR]

Without --whole it takes slices that cost a few minutes of processor time a delay: the second half of the articles, six
hours of news, one period of the sessions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from everbrook.evaluate.curve import CurveOptions, run_curve
from everbrook.evaluate.curve_data import Curve, sentences
from everbrook.evaluate.curve_page import save
from everbrook.evaluate.options import ReplayOptions, parse_delays, parse_span_ms
from everbrook.evaluate.report import Conditions
from everbrook.events.columns import EventColumns
from everbrook.settings import load_settings

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

SHOWN = ("hit_rate@20", "mrr@20", "log_loss")
EXPERTS = "mixture.experts=popularity,transitions,repeats,neighbours,collaborative,live"


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream, cut, and how it is replayed unless said otherwise."""

    columns: EventColumns
    options: ReplayOptions
    delays: str


def articles(whole: bool) -> Stream:
    """The second half of the events after the first, a twentieth of them scored; or half of them."""
    columns = data.articles()
    from_ms = int(columns.ts_ms[len(columns) // 2])
    options = ReplayOptions(from_ms=from_ms, sample=0.5 if whole else 0.05, warm_sample=0.05, taught=0.1)
    return Stream(columns, options, "0s,1d,1w,never")


def news(whole: bool) -> Stream:
    """The second six hours of day 5 after the first six; or days 5-8 after 1-4. What a reader had is left out."""
    columns = data.news("referrer")
    hour = (columns.ts_ms - columns.ts_ms[0]) // (data.DAY_MS // 24)
    first, start, stop = (0, 96, 192) if whole else (102, 108, 114)
    columns = columns.slice(*np.searchsorted(hour, (first, stop)).tolist())
    from_ms = int(columns.ts_ms[0]) + (start - first) * data.DAY_MS // 24
    options = ReplayOptions(
        from_ms=from_ms, sample=0.02, warm_sample=0.02, taught=0.05, exclude_seen=True, first_of_session=False
    )
    return Stream(columns, options, "0s,1m,10m,1h,never")


def sessions(whole: bool) -> Stream:
    """Period 9 as a stream after period 8; or periods 9-16 after 0-8."""
    columns, period = data.sessions()
    first, stop = (0, 17) if whole else (8, 10)
    start = int(np.searchsorted(period, 9))
    options = ReplayOptions(
        from_ms=int(columns.ts_ms[start]), sample=0.02, warm_sample=0.01, taught=0.05, first_of_session=False
    )
    return Stream(columns.slice(*np.searchsorted(period, (first, stop)).tolist()), options, "0s,1h,1d,never")


STREAMS: dict[str, Callable[[bool], Stream]] = {"articles": articles, "news": news, "sessions": sessions}


def main() -> None:
    """Draw the curves of the streams that are named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("streams", nargs="*", metavar="STREAM", help="articles, news, sessions")
    parser.add_argument("--delays", help="between an event and its effect, such as 0s,1h,never")
    parser.add_argument("--control", action="store_true", help="the shuffled control too")
    parser.add_argument("--shuffle", action="store_true", help="the shuffled control alone")
    parser.add_argument("--refit", help="the batch world beside it, such as 1d")
    parser.add_argument("--history-delay", default="0s", help="histories lag too")
    parser.add_argument("--sample", type=float, help="share of the events that are scored")
    parser.add_argument("--whole", action="store_true", help="the whole streams: hours of work")
    parser.add_argument("--report", type=Path, help="folder for curve.json, curve.csv and curve.html")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE")
    options = parser.parse_args()
    for name in options.streams or STREAMS:
        draw(name, STREAMS[name](options.whole), options)


def draw(name: str, stream: Stream, options: argparse.Namespace) -> None:
    """Draw one curve, write its page where asked, print its figures."""
    settings = load_settings(assignments=[EXPERTS, *options.assignments]).settings
    base = replace(
        stream.options, history_delay_ms=parse_span_ms(options.history_delay), shuffle=options.shuffle,
        refit_ms=parse_span_ms(options.refit) if options.refit else None,
        sample=stream.options.sample if options.sample is None else options.sample,
    )  # fmt: skip
    asked = CurveOptions(parse_delays(options.delays or stream.delays), options.control)
    words = Conditions(
        title=name.capitalize(), command="python bench/curve.py " + " ".join(sys.argv[1:]), commit=data.commit(),
        machine=data.machine(), data=name,
    )  # fmt: skip
    curve = run_curve(stream.columns, [], base, asked, settings, words, lambda label: _say(name, label))
    if options.report is not None:
        save(curve, options.report / name)
    tell(name, curve)
    for line in sentences(curve):
        print(f"# {name}: {line}", flush=True)


def _say(name: str, label: str) -> None:
    print(f"{name}: {label} ...", file=sys.stderr, flush=True)


def tell(name: str, curve: Curve) -> None:
    """Print every figure as a JSON line."""
    for order, points in (("", curve.points), ("shuffled/", curve.control or [])):
        for point in points:
            data.tell(f"{name}/{order}{point.label}/cpu", point.cpu_s, "s")
            for row in point.rows:
                for metric in SHOWN:
                    value = point.value(row.system, metric, row.slice)
                    if value is not None:
                        what = f"{name}/{order}{point.label}/{row.system}"
                        data.tell(what, value, metric, slice=row.slice, events=row.events)


if __name__ == "__main__":
    main()
