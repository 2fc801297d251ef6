"""`everbrook status`: offsets, what learns live and how the gate stands, the experts' weights, versions, errors."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from typing import Any

from everbrook.cli import reaching
from everbrook.cli.spans import span
from everbrook.cli.versions import decisions

NESTED = (
    "mixture", "kinds", "scenarios", "live", "refit", "decisions", "version", "last_errors", "log", "clock",
    "freshness",
)
MOST_S = 86400.0  # between two looks
SHOWN_WEIGHTS = 5  # the largest, of each layer and scenario; --json tells all


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--watch", action="store_true", help="show it again and again until interrupted")
    parser.add_argument("--every", type=_seconds, default=1.0, metavar="SECONDS", help="how often, with --watch")


def _seconds(text: str) -> float:
    """Seconds that can be waited for."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds <= MOST_S:
        raise argparse.ArgumentTypeError(f"must be seconds from 0 to {MOST_S:g}; got {text!r}")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Print where everything stands."""
    with reaching.reached(arguments) as engine:
        if arguments.watch:
            return watch(engine, arguments.every)
        status = engine.status()
    if arguments.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(status), indent=2).decode())
    else:
        print("\n".join(rendered(status)))
    return 0


def watch(engine: reaching.Reached, every_s: float, times: int | None = None) -> int:
    """Show where everything stands again and again, in the same place of the terminal.

    Args:
        engine: asked each time.
        every_s: between two looks.
        times: how often; until interrupted where None.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    before: tuple[float, dict[str, Any]] | None = None
    with Live(console=Console(), auto_refresh=False, vertical_overflow="crop") as shown:
        for turn in itertools.count():
            status, now_s = engine.status(), time.monotonic()
            told = [rates(status, *before, now_s)] if before is not None else []
            shown.update(Text("\n".join([*told, *rendered(status)])), refresh=True)
            before = now_s, status
            if turn + 1 == times:
                return 0
            time.sleep(every_s)
    return 0


def rates(status: dict[str, Any], then_s: float, earlier: dict[str, Any], now_s: float) -> str:
    """Events and lists a second between two looks, in words."""
    past_s = max(now_s - then_s, 1e-9)
    events, lists = ((status[name] - earlier[name]) / past_s for name in ("events", "lists"))
    return f"now: {events:.1f} events/s, {lists:.1f} lists/s"


def rendered(status: dict[str, Any]) -> list[str]:
    """A status for people: the counts, what answers, what learns, the experts, what went wrong."""
    shot = status["version"]
    told = lines({name: value for name, value in status.items() if name not in NESTED})
    told += lines({name: status[name] for name in ("kinds", "scenarios")})
    told.append(f"version: {shot['name']}, up to offset {shot['offset']}, published {span(shot['age_ms'])} ago")
    if status.get("freshness", {}).get("event_to_list", {}).get("measured"):
        fresh = status["freshness"]["event_to_list"]
        told.append(f"event to list: p50 {fresh['p50_ms']} ms, p99 {fresh['p99_ms']} ms ({fresh['measured']} measured)")
    told += live(status["live"]) + refit(status["refit"]) + decisions(status["decisions"])
    told += lines({"mixture": _largest(status["mixture"])})
    return [*told, "last errors:", *(f"  {text}" for text in _errors(status) or ["none"])]


def _largest(mixture: dict[str, Any]) -> dict[str, Any]:
    """The numbers as they are, and of each table of weights the largest in one line."""
    told: dict[str, Any] = {}
    for name, value in mixture.items():
        if not isinstance(value, dict):
            told[name] = value
        elif any(isinstance(inner, dict) for inner in value.values()):
            told[name] = _largest(value)
        else:
            top = sorted(value.items(), key=lambda one: -one[1])[:SHOWN_WEIGHTS]
            told[name] = ", ".join(f"{expert} {weight:.3g}" for expert, weight in top)
    return told


def live(found: dict[str, Any]) -> list[str]:
    """What learns live: where, how fresh, how the gate and drift stand."""
    told = [f"live: learns {'nowhere' if found['mode'] == 'off' else found['mode']}, stage {found.get('stage', 'off')}"]
    if "note" in found:
        told.append(f"  {found['note']}")
    process = found.get("process")
    if process:
        fresh = process["freshness"]
        told.append(f"  process: {process['state']}, pid {process['pid']}, {process['behind']} records behind, "
                    f"started {process['starts']} times, hung {process['hangs']} times")
        if fresh["measured"]:
            told.append(f"  event to weights: p50 {fresh['p50_ms']} ms, p99 {fresh['p99_ms']} ms "
                        f"({fresh['measured']} measured)")
    if "published" in found:
        shown = found["published"]
        told.append(f"  published: {shown['version']}, up to offset {shown['offset']}, {span(shown['age_ms'])} ago")
    if "gate" in found:
        told += _gate(found["gate"]) + _drift(found["drift"])
        points = ", ".join(one["version"] for one in found["versions"])
        told.append(f"  points to go back to: {points or 'none'}")
    return told


def _gate(gate: dict[str, Any]) -> list[str]:
    counts = ", ".join(f"{count} {kind}" for kind, count in gate["counts"].items() if count)
    told = [f"  gate: {gate['stage']}{', paused' if gate['paused'] else ''}, {gate['events']} events compared"
            + (f"; so far {counts}" if counts else "")]
    return told + [
        f"    {one['claim']} against {one['against']}: {_number(one['nats'])} of {_number(one['needed_nats'])} nats; "
        f"lately {_nats(one['mean_nats'])}"
        for one in gate["readings"] if one["scenario"] < 0
    ]


def _number(nats: float | None) -> str:
    """An amount of evidence; it is null where it is not finite."""
    return "–" if nats is None or not math.isfinite(nats) else f"{nats:.2f}"


def _nats(mean: float | None) -> str:
    """A mean difference; it is null or not a number before there is one."""
    return "nothing" if mean is None or math.isnan(mean) else f"{mean:+.4f} nats an event"


def _drift(drift: dict[str, Any]) -> list[str]:
    return [f"  drift: rates × {drift['factor']:.2f}, {drift['rises']} rises, {drift['falls']} falls of the loss"]


def refit(found: dict[str, Any]) -> list[str]:
    """How the fits of the large model in the background stand."""
    told = f"refit: {found['state']}, {found['fits']} done, {found['failures']} failed"
    if found.get("progress"):
        at = found["progress"]
        told += f"; epoch {at['epoch'] + 1} of {at['epochs']}, step {at['step']} of {at['steps']}"
    if "candidate" in found:
        candidate = found["candidate"]
        told += f"; candidate of offset {candidate['offset']}: {candidate.get('judged', 0)} events compared, "
        told += f"{_nats(candidate.get('mean_nats'))}"
    return [told, *([f"  {found['last']['failed']}"] if "failed" in found.get("last", {}) else [])]


def _errors(status: dict[str, Any]) -> list[str]:
    return [*status["last_errors"], *status["live"].get("process", {}).get("last_errors", [])]


def lines(status: dict[str, Any], indent: str = "") -> list[str]:
    """A nested status as lines, tables inside tables indented."""
    found: list[str] = []
    for name, value in status.items():
        if isinstance(value, dict):
            found += [f"{indent}{name}:", *lines(value, indent + "  ")]
        elif isinstance(value, float):
            found.append(f"{indent}{name}: {value:.4g}")
        elif isinstance(value, list | tuple):
            found.append(f"{indent}{name}: {json.dumps(value, ensure_ascii=False, default=str)}")
        else:
            found.append(f"{indent}{name}: {value}")
    return found
