"""`everbrook recommend`: one list, as a table or as JSON."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from everbrook.cli.opening import opened

if TYPE_CHECKING:
    from everbrook.rank.requests import Recommend, Recommendation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--user", metavar="ID", help="whom the list is for")
    parser.add_argument("--session", metavar="ID", help="the visit the list is for")
    parser.add_argument("--item", metavar="ID", help="the item whose page the list stands on")
    parser.add_argument("--items", metavar="ID,ID", help="the contents of a cart or playlist")
    parser.add_argument("-k", type=int, default=20, help="how many items")
    parser.add_argument("--scenario", help="the place where the list is shown")
    parser.add_argument("--exclude", metavar="ID,ID", help="leave these out")
    parser.add_argument("--categories", metavar="NAME,NAME", help="only items of one of these categories")
    parser.add_argument(
        "--exclude-seen", action=argparse.BooleanOptionalAction, default=None, help="leave out what the user has had",
    )
    parser.add_argument("--at", metavar="TIME", help="the moment the list is for: RFC 3339 or milliseconds since 1970")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    with opened(arguments) as engine:
        answer = engine.recommend(wish(arguments))
    if arguments.json:
        import msgspec

        print(msgspec.json.encode(answer).decode())
    else:
        print(table(answer), end="")
    return 0


def wish(arguments: argparse.Namespace) -> Recommend:
    """The request that the options make."""
    from everbrook.rank.requests import Recommend

    at = arguments.at
    return Recommend(
        user=arguments.user, session=arguments.session, k=arguments.k, scenario=arguments.scenario,
        item=arguments.item, items=_ids(arguments.items), exclude=_ids(arguments.exclude),
        exclude_seen=arguments.exclude_seen, categories=_ids(arguments.categories),
        at=int(at) if at is not None and at.isdigit() else at,
    )


def _ids(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in (text or "").split(",") if part)


def table(answer: Recommendation) -> str:
    """One line an item: place, probability, id, title, reasons."""
    lines = []
    for place, one in enumerate(answer.items, 1):
        reasons = "; ".join(reason.text for reason in one.reasons)
        title = f"{one.title}  " if one.title else ""
        lines.append(f"{place:3}  {one.score:8.5f}  {one.id}  {title}{f'({reasons})' if reasons else ''}".rstrip())
    lines.append(f"version {answer.model.version} at offset {answer.model.offset}, {answer.took_ms:.1f} ms")
    return "\n".join(lines) + "\n"
