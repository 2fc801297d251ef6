"""`everbrook versions`: what answers, and what can be gone back to."""

from __future__ import annotations

import argparse
import json
from typing import Any

from everbrook.cli import reaching
from everbrook.cli.spans import span, when


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    with reaching.reached(arguments) as engine:
        found = engine.versions()
    print(json.dumps(found, default=str) if arguments.json else "\n".join(lines(found)))
    return 0


def lines(found: dict[str, Any]) -> list[str]:
    """One line a version, newest first, then how the gate stands and what it decided."""
    shot, live, gate = found["published"], found["live"], found["gate"]
    told = [f"published  {shot['name']}  up to offset {shot['offset']}, {span(shot['age_ms'])} ago"]
    if found["previous"]:
        told.append(f"before it  {found['previous']['version']}  (everbrook rollback {found['previous']['version']})")
    if live is None:
        told.append(f"live       none: {found.get('note', 'nothing learns live here')}")
    else:
        told.append(f"live       {live['version']}  up to offset {live['offset']}, {live['events']} events learned")
        told += [f"  point    {one['version']}  {span(one['age_ms'])} old" for one in found["points"]]
        if found["anchor"]:
            told.append(f"  anchor   up to offset {found['anchor']['offset']}, {span(found['anchor']['age_ms'])} old")
        paused = ", paused" if gate["paused"] else ""
        told.append(f"gate       {gate['stage']}{paused}, {gate['events']} events compared")
    return told + decisions(found["decisions"])


def decisions(found: list[dict[str, Any]]) -> list[str]:
    """One line a decision, newest first."""
    told = []
    for one in found:
        to = f" to {one['to']}" if "to" in one else ""
        why = f": {one['because']}" if "because" in one else ""
        told.append(f"  {when(one['ts_ms'])}  {one['action']}{to} ({one['version']}){why}")
    return ["lately:", *told] if told else []
