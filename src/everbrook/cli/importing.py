"""`everbrook import`: files into the log, cleaned as the settings say, and folded into the state."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everbrook.cli.opening import loaded_settings, opened
from everbrook.cli.progress import bar

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.events.importing import Source


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "path", type=Path,
        help="a CSV, JSON-lines or Parquet file, a folder of them (what 'export' wrote too), or a MovieLens folder; "
             "files called items or users hold those",
    )
    mapping_options(parser)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def mapping_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a file's columns mean."""
    parser.add_argument(
        "--map", action="append", default=[], metavar="FIELD=COLUMN",
        help="which column is which field, such as user=visitorid; kind=\"'view'\" in quotes is one text for all",
    )
    parser.add_argument("--map-file", type=Path, metavar="FILE", help="the same as a TOML file")
    parser.add_argument("--keep", action="append", default=[], metavar="COLUMN", help="keep a column as context")
    parser.add_argument("--time", metavar="UNIT", help="unit of times: s, ms, us, ns, text, or a strptime format")


def source_of(arguments: argparse.Namespace) -> Source:
    """The files that a command names, not yet read."""
    from everbrook.events.importing import open_source
    from everbrook.events.mapping import parse_mapping

    mapping = parse_mapping(arguments.map, arguments.map_file, arguments.keep, arguments.time)
    settings = loaded_settings(arguments).settings.data
    return open_source(arguments.path, mapping, settings, now_ms=int(time.time() * 1000))


def run(arguments: argparse.Namespace) -> int:
    """Import, and say what came in."""
    source = source_of(arguments)
    started = time.perf_counter()
    with bar("reading") as told:
        source.load(told)
    with opened(arguments, must_exist=False) as engine:
        outcome = bring_in(engine, source)
        print("Learning the counts …", file=sys.stderr, flush=True)
        engine.update()
    outcome["took_s"] = round(time.perf_counter() - started, 3)
    outcome["cleaning"] = [
        {"name": one.name, "count": one.count, "found": one.found, "action": one.action} for one in source.cleaning
    ]
    if arguments.json:
        print(json.dumps(outcome, ensure_ascii=False))
        return 0
    for one in source.cleaning:
        print(f"  {one.name}: {one.count} × {one.found}" + (f"; {one.action}" if one.action else ""))
    deletions = outcome["deletions"]
    deleted = f"; {deletions} deleted item{'s' if deletions > 1 else ''} stayed deleted" if deletions else ""
    print(
        f"Imported {outcome['events']} events ({outcome['duplicates']} were there already), {outcome['items']} items "
        f"and {outcome['users']} users in {outcome['took_s']:.1f} s{deleted}."
    )
    return 0


def bring_in(engine: Recommender, source: Source) -> dict[str, Any]:
    """Feed a loaded source into an engine's log: items and users first, so that the events find them.

    What was deleted is known first and deleted last, so that events about it do not bring it back, also later ones.

    What came in is durable; `update` or `fit` learns it.

    Returns:
        How many items, users, new events, known events and deletions of items there were.
    """
    from everbrook.events.deletions import deleted_items
    from everbrook.events.records import ItemChange

    deletions = deleted_items(source.path, source.items())
    counts: dict[str, Any] = {"items": 0, "users": 0, "events": 0, "duplicates": 0, "deletions": len(deletions)}
    for items in source.items():
        engine.put_items(items)
        counts["items"] += len(items)
    if deletions:
        engine.put_items([ItemChange(id=one.id) for one in deletions])
    for users in source.users():
        engine.put_users(users)
        counts["users"] += len(users)
    with bar("writing") as told:
        for chunk in source.chunks(told):
            receipt = engine.import_columns(chunk, learn=False)
            counts["events"] += receipt.accepted
            counts["duplicates"] += receipt.duplicates
    if deletions:
        engine.log.append(deletions)
    return counts
