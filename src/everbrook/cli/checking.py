"""`everbrook check`: a file inspected before anything is learned from it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from everbrook.cli.importing import mapping_options
from everbrook.cli.opening import loaded_settings
from everbrook.cli.progress import bar
from everbrook.errors import DataError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("path", type=Path, help="a CSV, JSON-lines or Parquet file, or a folder of them")
    mapping_options(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print PASS, WARN and FAIL lines; the exit code tells whether an import would go through."""
    from everbrook.events.checking import check, render
    from everbrook.events.mapping import parse_mapping

    mapping = parse_mapping(arguments.map, arguments.map_file, arguments.keep, arguments.time)
    settings = loaded_settings(arguments).settings.data
    with bar("reading") as told:
        report = check(arguments.path, mapping, settings, int(time.time() * 1000), told)
    print(json.dumps(report.to_dict(), ensure_ascii=False) if arguments.json else render(report))
    return 0 if report.ok else DataError.exit_code
