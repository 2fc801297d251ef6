"""`everbrook override STAGE`: whom the live weights serve, said by hand."""

from __future__ import annotations

import argparse
import json

from everbrook.cli import reaching


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("stage", help="shadow: nobody; canary: a share of the users; live: everybody")
    reaching.configure(parser)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Set the stage."""
    with reaching.reached(arguments) as engine:
        done = engine.override(arguments.stage)
    print(json.dumps(done) if arguments.json else f"The live weights are in the stage '{done['stage']}'.")
    return 0
