"""A replay or a check in a process of its own: `python -m everbrook.evaluate.job_process`, the order on standard input.

It reads the log beside the server that writes it, stands back behind everything else, and tells how far it is on
standard output, a JSON line at a time. Not who starts it (see `jobs`).
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from everbrook import __version__
from everbrook.engine.side_process import Tell, obey
from everbrook.evaluate.jobs import CHECK, Order
from everbrook.evaluate.options import ReplayOptions, parse_delays
from everbrook.evaluate.report import ALL, Conditions
from everbrook.events.cleaning import clean
from everbrook.events.columns import EventColumns
from everbrook.events.log_files import write_durably
from everbrook.events.log_follower import LogFollower
from everbrook.events.records import ItemChange

TOLD_S = 0.25  # between two signs of life
DAY_MS = 86_400_000


def run(order: Order, tell: Tell) -> None:
    """Do it, and leave the files.

    Args:
        order: what to do.
        tell: told how far it is.
    """
    tell({"step": "reading", "done": 0, "total": 0})
    with LogFollower(Path(order.path)) as log:
        columns = log.read_events(leave_out=("request", "position", "context", "id"))
        records = [one for found in log.runs(0, types=("item",)) for one in found.records]
    items = [one for one in records if isinstance(one, ItemChange)]
    if order.kind == "check":
        _check(order, columns, items)
        return
    _replay(order, columns, items, tell)


def _replay(order: Order, columns: EventColumns, items: list[ItemChange], tell: Tell) -> None:
    """What the lists would have been, in order or for each delay; what this needs is loaded here, for it takes long."""
    from everbrook.evaluate import curve_page, page
    from everbrook.evaluate.curve import CurveOptions, run_curve
    from everbrook.evaluate.replay import run_replay

    columns = columns.take(np.argsort(columns.ts_ms, kind="stable"))
    begins_ms = int(columns.ts_ms[int(0.9 * len(columns))]) if len(columns) else 0
    if order.days:
        begins_ms = int(columns.ts_ms[-1] - order.days * DAY_MS)
    options = ReplayOptions(from_ms=begins_ms, sample=order.sample)
    words = Conditions(
        title=order.name, command=_command(order, begins_ms), data=Path(order.path).name, version=__version__,
        machine=f"{platform.machine()}, Python {platform.python_version()}",
    )  # fmt: skip
    if order.kind == "curve":
        asked = CurveOptions(parse_delays(order.delays), order.control)
        curve = run_curve(columns, items, options, asked, order.settings, words, lambda label: _steps(tell, label))
        curve_page.save(curve, Path(order.out))
        return
    report = run_replay(columns, items, options, order.settings, words, _steps(tell, "in order"))
    if order.control:
        shuffled = msgspec.structs.replace(words, title="Control")
        options = ReplayOptions(from_ms=begins_ms, sample=order.sample, shuffle=True)
        control = run_replay(columns, items, options, order.settings, shuffled, _steps(tell, "shuffled (control)"))
        report = msgspec.structs.replace(report, control=[row for row in control.rows if row.slice == ALL])
    page.save(report, Path(order.out))


def _check(order: Order, columns: EventColumns, items: list[ItemChange]) -> None:
    """What is in the log, looked at as `everbrook check` looks at a file."""
    kept, findings = clean(columns, order.settings.data, order.now_ms)
    lines: list[dict[str, Any]] = [
        {"level": one.level, "name": one.name, "count": one.count, "text": one.found, "action": one.action}
        for one in findings
    ]
    known = {one.id for one in items}
    untitled = len(known - {one.id for one in items if one.title})
    told: dict[str, Any] = {"level": "PASS" if known else "WARN", "name": "items", "count": len(known),
            "text": f"{len(known):,} items have a record", "action": ""}  # fmt: skip
    lines.append(told)
    if untitled:
        lines.append({"level": "WARN", "name": "items title", "count": untitled,
                      "text": f"{untitled:,} items have no title", "action": ""})  # fmt: skip
    found = {"events": len(columns), "kept": len(kept), "lines": lines, "made_ms": order.now_ms}
    Path(order.out).mkdir(parents=True, exist_ok=True)
    write_durably(Path(order.out) / CHECK, msgspec.json.encode(found))


def _command(order: Order, begins_ms: int) -> str:
    """The command that does the same; on a directory that no server holds."""
    more = f" --delay {order.delays}" if order.kind == "curve" else ""
    more += f" --sample {order.sample:g}" if order.sample < 1.0 else ""
    return f"everbrook replay {Path(order.path).name} --from {begins_ms}{more}{' --control' if order.control else ''}"


def _steps(tell: Tell, step: str) -> Callable[[int, int], None]:
    last_s = 0.0

    def told(done: int, total: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= TOLD_S or done == total:
            last_s = now_s
            tell({"step": step, "done": done, "total": total})

    return told


def main() -> int:
    """Do what standard input says; gives the exit code."""
    return obey(Order, run)


if __name__ == "__main__":
    sys.exit(main())
