"""`everbrook trending`: the items with which most happened lately."""

from __future__ import annotations

import argparse

from everbrook.cli import reaching


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("-k", "--k", type=int, default=20, help="how many items at most")
    parser.add_argument("--scenario", help="only what happened there")
    parser.add_argument("--window", default="1d", metavar="SPAN", help="how far back, such as 1h, 1d or 7d")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    with reaching.reached(arguments) as engine:
        answer = engine.trending(arguments.k, scenario=arguments.scenario, window=arguments.window)
    if arguments.json:
        import msgspec

        print(msgspec.json.encode(answer).decode())
        return 0
    for place, one in enumerate(answer.items, 1):
        print(f"{place:3}  {one.score:10.2f}  {one.id}  {one.title or ''}".rstrip())
    if not answer.items:
        print(f"Nothing happened within {answer.window}.")
    return 0
