"""`everbrook recommend`: one list, as a table or as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from everbrook.cli import reaching
from everbrook.errors import InputError

if TYPE_CHECKING:
    from everbrook.rank.requests import Recommend, Recommendation


INFLUENCES = {
    "diversity": "0..1: how far likeness to what stands above counts against an item",
    "calibration": "0..1: how far the list keeps to the asker's own mix of categories",
    "freshness": "-1..1: how far young items gain",
    "popularity": "-1..1: how far popular items gain",
    "explore": "0..1: share of places that are drawn from the items below",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("--user", metavar="ID", help="whom the list is for")
    parser.add_argument("--session", metavar="ID", help="the visit the list is for")
    parser.add_argument("--item", metavar="ID", help="the item whose page the list stands on")
    parser.add_argument("--items", metavar="ID,ID", help="the contents of a cart or playlist")
    parser.add_argument("--query", metavar="TEXT", help="a typed text: only items that match, in the asker's order")
    parser.add_argument("-k", "--k", type=int, default=20, help="how many items")
    parser.add_argument("--scenario", help="the place where the list is shown")
    parser.add_argument("--exclude", metavar="ID,ID", help="leave these out")
    parser.add_argument("--categories", metavar="NAME,NAME", help="only items of one of these categories")
    parser.add_argument(
        "--exclude-seen", action=argparse.BooleanOptionalAction, default=None, help="leave out what the user has had",
    )
    parser.add_argument("--candidates", metavar="ID,ID", help="rank only these")
    parser.add_argument("--filter", metavar="TEXT", help="only items that match, such as \"price < 20 and not hidden\"")
    parser.add_argument(
        "--boost", action="append", default=[], metavar="BY:FILTER",
        help="multiply the probability of items that match, such as \"1.5:brand = 'x'\"; may be given often",
    )
    parser.add_argument(
        "--pin", action="append", default=[], metavar="PLACE:ID", help="an item for a place, from 0; repeatable",
    )
    for name, told in INFLUENCES.items():
        parser.add_argument(f"--{name}", type=float, metavar="X", help=told)
    parser.add_argument("--at", metavar="TIME", help="the moment the list is for: RFC 3339 or milliseconds since 1970")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    with reaching.reached(arguments) as engine:
        answer = engine.recommend(wish(arguments))
    if arguments.json:
        import msgspec

        print(msgspec.json.encode(answer).decode())
    else:
        print(table(answer), end="")
    return 0


def wish(arguments: argparse.Namespace) -> Recommend:
    """The request that the options make."""
    from everbrook.events.log_intake import read_moment
    from everbrook.rank.requests import Boost, Pin, Recommend

    at = arguments.at
    boosts = [_split(one, "--boost", "BY:FILTER", float) for one in arguments.boost]
    pins = [_split(one, "--pin", "PLACE:ID", int) for one in arguments.pin]
    return Recommend(
        user=arguments.user, session=arguments.session, k=arguments.k, scenario=arguments.scenario,
        item=arguments.item, items=_ids(arguments.items), query=arguments.query, exclude=_ids(arguments.exclude),
        exclude_seen=arguments.exclude_seen, categories=_ids(arguments.categories),
        candidates=None if arguments.candidates is None else _ids(arguments.candidates),
        filter=arguments.filter, boost=tuple(Boost(filter=text, by=float(by)) for by, text in boosts),
        pin=tuple(Pin(item=item, position=int(place)) for place, item in pins),
        at=None if at is None else read_moment(at),
        **{name: getattr(arguments, name) for name in INFLUENCES},
    )  # fmt: skip


def _split(text: str, option: str, form: str, number: Callable[[str], float]) -> tuple[float, str]:
    """The number before the first colon, and the text behind it."""
    first, colon, rest = text.partition(":")
    try:
        return number(first if colon else ""), rest
    except ValueError:
        raise InputError(f"'{option}' must be {form}; got '{text}'.") from None


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
