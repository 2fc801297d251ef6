"""`everbrook pause` and `everbrook resume`: whether the gate makes its moves by itself."""

from __future__ import annotations

import argparse
import json

from everbrook.cli import reaching


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Pause or resume."""
    with reaching.reached(arguments) as engine:
        done = engine.pause() if arguments.command == "pause" else engine.resume()
    if arguments.json:
        print(json.dumps(done))
    elif done.get("pending"):
        what = "paused" if done["paused"] else "resumed"
        print(f"The learner is starting: the gate is {what} as soon as it is there.")
    elif done["paused"]:
        print("Paused: the gate makes no moves by itself; learning goes on. `everbrook resume` ends it.")
    else:
        print("Resumed: the gate makes its moves again.")
    return 0
