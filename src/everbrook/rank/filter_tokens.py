"""Filters as words: names, numbers, spans of time, texts and signs, each with the character at which it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from everbrook.errors import InputError, unknown_name

MOST_CHARACTERS = 2000
_SHOWN = 40  # characters of a long filter on each side of the fault
UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
WORDS = ("and", "or", "not", "in", "true", "false")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>[A-Za-z]*)
    | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<name>[^\W\d][\w.-]*|`[^`]+`)
    | (?P<sign><=|>=|!=|<>|==|=|<|>|\(|\)|\[|\]|,)""",
    re.VERBOSE | re.DOTALL,
)
_SIGNS = {"==": "=", "<>": "!=", "[": "(", "]": ")"}

Kind = Literal["number", "span", "text", "name", "word", "sign", "end"]


class FilterError(InputError):
    """A filter cannot be read, or does not fit the catalogue; the message says at which character."""

    type = "bad_filter"


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a filter."""

    kind: Kind
    value: str | float
    at: int  # characters before it
    told: str  # as it was written


def tokens(text: str) -> list[Token]:
    """The words of a filter, and its end.

    Raises:
        FilterError: it is too long, or holds what is no word.
    """
    if len(text) > MOST_CHARACTERS:
        raise FilterError(f"A filter must have at most {MOST_CHARACTERS} characters; got {len(text)}.")
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            must = "the closing quote of a text" if text[at] in "'\"`" else "a name, a number, a text or a sign"
            raise fault(text, at, must, f"'{text[at]}'")
        if match.lastgroup != "space":
            found.append(_token(text, match))
        at = match.end()
    found.append(Token("end", "", len(text), "the end"))
    return found


def _token(text: str, match: re.Match[str]) -> Token:
    at, told = match.start(), match.group()
    if match["number"] is not None:
        unit = match["unit"]
        if not unit:
            return Token("number", float(match["number"]), at, told)
        if unit not in UNITS_MS:
            raise fault(text, match.end("number"), "a unit of time, one of s, m, h, d, w,", f"'{unit}'")
        return Token("span", float(match["number"]) * UNITS_MS[unit], at, told)
    if match["text"] is not None:
        return Token("text", re.sub(r"\\(.)", r"\1", told[1:-1], flags=re.DOTALL), at, told)
    if match["sign"] is not None:
        return Token("sign", _SIGNS.get(told, told), at, told)
    if told.lower() in WORDS:
        return Token("word", told.lower(), at, told)
    return Token("name", told.strip("`"), at, told)


def fault(text: str, at: int, must: str, got: str) -> FilterError:
    """The error that points at a character.

    Args:
        text: the whole filter.
        at: characters before the fault.
        must: what must stand there.
        got: what stands there.
    """
    return FilterError(f"A filter must have {must} at character {at + 1}; got {got}.", _pointed(text, at))


def unknown(text: str, at: int, what: str, got: str, known: Iterable[str]) -> FilterError:
    """The error about a name that nothing has; it tells the nearest right one."""
    error = FilterError(f"{unknown_name(what, got, known)} It stands at character {at + 1}.", _pointed(text, at))
    error.type = f"unknown_{what}"  # type: ignore[misc]  # what clients match on
    return error


def _pointed(text: str, at: int) -> str:
    """The filter around the fault, and a caret under it."""
    start = max(0, at - _SHOWN)
    line = "".join(" " if one.isspace() else one for one in text[start : at + _SHOWN])
    return f"{line}\n{' ' * (at - start)}^"
