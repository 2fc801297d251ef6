"""`everbrook similar`: the items that are most like one."""

from __future__ import annotations

import argparse

from everbrook.cli import reaching


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("item", metavar="ID", help="the item")
    parser.add_argument("-k", "--k", type=int, default=20, help="how many items at most")
    parser.add_argument("--filter", metavar="TEXT", help="only items that match, such as \"price < 20\"")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    with reaching.reached(arguments) as engine:
        answer = engine.similar(arguments.item, arguments.k, filter=arguments.filter)
    if arguments.json:
        import msgspec

        print(msgspec.json.encode(answer).decode())
        return 0
    for place, one in enumerate(answer.items, 1):
        shares = ", ".join(f"{name} {share:.2f}" for name, share in one.shares.items() if share > 0.0)
        print(f"{place:3}  {one.score:.3f}  {one.id}  {one.title or ''}  ({shares})")
    if not answer.items:
        print(f"Nothing is known to be like '{arguments.item}'.")
    return 0
