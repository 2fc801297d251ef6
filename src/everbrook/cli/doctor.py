"""`everbrook doctor`: look over a data directory and say what is wrong with it; nothing is changed."""

from __future__ import annotations

import argparse
from pathlib import Path

from everbrook.cli.opening import data_path, loaded_settings
from everbrook.errors import DataError

MARKS = {"fine": "ok  ", "note": "note", "wrong": "BAD "}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("directory", type=Path, nargs="?", metavar="DIR", help="data directory; the same as --data")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell: exit code 0 where nothing is wrong, else that of bad data."""
    settings = loaded_settings(arguments).settings
    path = arguments.directory or data_path(arguments)

    from everbrook.engine.checkup import as_json, is_healthy, look_over

    found = look_over(path, settings)
    if arguments.json:
        print(as_json(path, found).decode())
    else:
        for one in found:
            print(f"{MARKS[one.level]}  {one.message}" + (f"\n      -> {one.hint}" if one.hint else ""))
        wrong = sum(one.level == "wrong" for one in found)
        print(f"{path} is in good order." if not wrong else f"{path} has trouble in {wrong} places.")
    return 0 if is_healthy(found) else DataError.exit_code
