"""`everbrook explain`: why an item stands where it stands in somebody's list, or what holds it back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from everbrook.cli import reaching

if TYPE_CHECKING:
    from everbrook.rank.requests import Explained

_MOST_EXPERTS = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("item", metavar="ITEM", help="the item")
    parser.add_argument("--user", metavar="ID", help="whose list")
    parser.add_argument("--session", metavar="ID", help="the visit the list is for")
    parser.add_argument("--scenario", help="the place where the list is shown")
    parser.add_argument("-k", "--k", type=int, default=20, help="how long the list is")
    parser.add_argument("--filter", metavar="TEXT", help="the list's filter")
    parser.add_argument(
        "--exclude-seen", action=argparse.BooleanOptionalAction, default=None, help="whether seen items are left out",
    )  # fmt: skip
    parser.add_argument("--at", metavar="TIME", help="the moment of the list: RFC 3339 or milliseconds since 1970")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    from everbrook.events.log_intake import read_moment

    at = arguments.at
    with reaching.reached(arguments) as engine:
        answer = engine.explain(
            arguments.item, arguments.user, session=arguments.session, scenario=arguments.scenario, k=arguments.k,
            filter=arguments.filter, exclude_seen=arguments.exclude_seen,
            at=None if at is None else read_moment(at),
        )  # fmt: skip
    if arguments.json:
        import msgspec

        print(msgspec.json.encode(answer).decode())
    else:
        print("\n".join(lines(answer)))
    return 0


def lines(answer: Explained) -> list[str]:
    """Place, what holds it back, who brought it, and because of what."""
    stands = "is in the list" if answer.shown else "is not in the list"
    ranked = f"ranked {answer.rank} of {answer.candidates}, probability {answer.probability:.3g}"
    told = [f"{answer.item} {stands}: {ranked}"]
    told += [f"  made under  variant '{one}' of experiment '{name}'" for name, one in answer.variants.items()]
    told += [f"  held back  {one.text}" for one in answer.hindrances]
    told += [f"  {one.share:6.1%}  of it from {one.expert}" for one in answer.experts[:_MOST_EXPERTS]]
    told += [f"  {one.share:6.1%}  of what the history adds from {one.item}" for one in answer.history]
    return told
