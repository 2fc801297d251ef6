"""`everbrook rollback TO`: back to what the weights were."""

from __future__ import annotations

import argparse
import json

from everbrook.cli import reaching


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("to", metavar="TO", help="a version as `everbrook versions` tells it, or 'anchor'")
    reaching.configure(parser)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Go back, and say how far."""
    with reaching.reached(arguments) as engine:
        done = engine.rollback(arguments.to)
    if arguments.json:
        print(json.dumps(done))
    else:
        print(f"Back to {done['to']}: learned up to offset {done['to_offset']}, {done['rows']} item rows written.")
    return 0
