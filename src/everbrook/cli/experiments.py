"""`everbrook experiments`: what runs and what came of it; `start` and `stop` begin and end one."""

from __future__ import annotations

import argparse
import json
from typing import Any

from everbrook.cli import reaching
from everbrook.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("action", nargs="?", choices=("show", "start", "stop"), default="show", help="what to do")
    parser.add_argument("name", nargs="?", help="the experiment's name")
    parser.add_argument(
        "--variant", action="append", default=[], metavar="NAME:SHARE[:WISH=VALUE,…]",
        help="a way to make lists, such as \"fresher:0.5:freshness=0.3,diversity=0.1\"; the first is what the others "
             "are held against",
    )  # fmt: skip
    parser.add_argument("--scenario", help="only lists of this scenario")
    parser.add_argument("--kinds", metavar="KIND,KIND", help="kinds of events that take something from a list")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Show, begin or end."""
    if arguments.action != "show" and not arguments.name:
        raise InputError(f"'everbrook experiments {arguments.action}' must be given a name; got none.")
    with reaching.reached(arguments) as engine:
        if arguments.action == "start":
            kinds = tuple(arguments.kinds.split(",")) if arguments.kinds else ()
            variants = [variant(text) for text in arguments.variant]
            found = [engine.start_experiment(arguments.name, variants, arguments.scenario, kinds)]
        elif arguments.action == "stop":
            found = [engine.stop_experiment(arguments.name)]
        else:
            found = engine.experiments()["experiments"]
    if arguments.json:
        print(json.dumps(found))
    else:
        print("\n".join(line for one in found for line in lines(one)) or "There are no experiments.")
    return 0


def variant(text: str) -> dict[str, Any]:
    """A variant as the option writes it.

    Raises:
        InputError: it is written in another way.
    """
    name, _, rest = text.partition(":")
    share, _, wishes = rest.partition(":")
    try:
        given = dict(part.split("=", 1) for part in wishes.split(",") if part)
        read = {key: json.loads(value) for key, value in given.items()}
        return {"name": name, "share": float(share), "wishes": read}
    except ValueError:
        raise InputError(f"--variant must be NAME:SHARE[:WISH=VALUE,…]; got '{text}'.") from None


def lines(one: dict[str, Any]) -> list[str]:
    """An experiment for people: each variant's rate, and how far it is from the first."""
    where = f", lists of '{one['scenario']}'" if one["scenario"] else ""
    told = [f"{one['name']}: {'runs' if one['running'] else 'stopped'}{where}"]
    for variant in one["variants"]:
        wishes = ", ".join(f"{name}={json.dumps(value)}" for name, value in variant["wishes"].items()) or "as asked"
        rate = f"{variant['click_rate']:.2%} of {variant['lists']} lists for {variant['people']} people"
        told.append(f"  {variant['name']} ({variant['share']:.0%}; {wishes}): {rate}{_against(variant, one)}")
    return told


def _against(variant: dict[str, Any], one: dict[str, Any]) -> str:
    if variant.get("verdict") is None:
        return ""
    if variant["low"] is None:
        return f"; {variant['difference']:+.2%}, {variant['verdict']}"
    bounds = f"{variant['low']:+.2%} to {variant['high']:+.2%} at {one['confidence']:.0%}"
    return f"; {variant['difference']:+.2%} ({bounds}, at any time): {variant['verdict']}"
