"""Filters as trees. Knows nothing of what items carry: see `filter_plans`.

    either  = both {"or" both}
    both    = one {"and" one}
    one     = "not" one | "(" either ")" | operand [sign operand | ["not"] "in" set]
    set     = name | "(" value {"," value} ")"
    operand = name | value
    value   = number | span | text | "true" | "false"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from everbrook.rank.filter_tokens import Token, fault, tokens

MOST_DEPTH = 40
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Name:
    """What is asked of each item."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that was written."""

    value: float | str | bool
    is_span: bool  # milliseconds
    at: int
    told: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A name beside a value or another name; a bare name is compared with true."""

    left: Name
    sign: str
    right: Name | Constant
    at: int  # of the sign


@dataclass(frozen=True, slots=True)
class OneOf:
    """Whether a name's value is one of some."""

    name: Name
    values: tuple[Constant, ...]
    negative: bool


@dataclass(frozen=True, slots=True)
class Holds:
    """Whether a name's set or text holds a value."""

    value: Constant
    name: Name
    negative: bool


@dataclass(frozen=True, slots=True)
class Not:
    """Whatever the inner one leaves."""

    inner: Tree


@dataclass(frozen=True, slots=True)
class Both:
    """All of them."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of them."""

    parts: tuple[Tree, ...]


Tree: TypeAlias = Compare | OneOf | Holds | Not | Both | Either


def parse(text: str) -> Tree:
    """Read a filter.

    Raises:
        FilterError: something else must stand where it says.
    """
    reader = _Reader(text)
    tree = reader.either()
    reader.expect_end()
    return tree


class _Reader:
    """Goes through the words once, one ahead."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens = text, tokens(text)
        self._place, self._depth = 0, 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        self._place += 1
        return self._tokens[self._place - 1]

    def _took(self, kind: str, value: str) -> bool:
        if self._next.kind == kind and self._next.value == value:
            self._place += 1
            return True
        return False

    def _need(self, sign: str, must: str) -> None:
        if not self._took("sign", sign):
            raise self._wrong(must)

    def _wrong(self, must: str, token: Token | None = None) -> Exception:
        token = token or self._next
        return fault(self._text, token.at, must, token.told if token.kind == "end" else f"'{token.told[:40]}'")

    def expect_end(self) -> None:
        """Nothing may follow."""
        if self._next.kind != "end":
            raise self._wrong("'and', 'or' or its end")

    def either(self) -> Tree:
        """Parts joined by 'or'."""
        parts = [self._both()]
        while self._took("word", "or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Tree:
        parts = [self._one()]
        while self._took("word", "and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self) -> Tree:
        token = self._next
        negative = self._took("word", "not")
        if not negative and not self._took("sign", "("):
            return self._comparison()
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise self._wrong(f"at most {MOST_DEPTH} levels of parentheses and 'not'", token)
        if negative:
            tree: Tree = Not(self._one())
        else:
            tree = self.either()
            self._need(")", "')'")
        self._depth -= 1
        return tree

    def _comparison(self) -> Tree:
        first = self._take()
        left = self._operand(first)
        sign = self._next
        if sign.kind == "sign" and sign.value in COMPARISONS:
            self._take()
            second = self._take()
            return self._compared(left, sign, self._operand(second), second)
        negative = self._took("word", "not")
        if self._took("word", "in"):
            return self._member(left, negative, first)
        if negative:
            raise self._wrong("'in' after 'not'")
        if isinstance(left, Constant):
            raise self._wrong("a comparison or 'in'")
        return Compare(left, "=", Constant(True, False, left.at, "true"), left.at)

    def _operand(self, token: Token) -> Name | Constant:
        if token.kind == "name":
            return Name(str(token.value), token.at)
        constant = _constant(token)
        if constant is None:
            raise self._wrong("a name or a value", token)
        return constant

    def _compared(self, left: Name | Constant, sign: Token, right: Name | Constant, last: Token) -> Compare:
        if isinstance(left, Name):
            return Compare(left, str(sign.value), right, sign.at)
        if isinstance(right, Constant):
            raise self._wrong("a name on one side of a comparison", last)
        return Compare(right, TURNED[str(sign.value)], left, sign.at)

    def _member(self, left: Name | Constant, negative: bool, first: Token) -> Tree:
        if self._next.kind == "name":
            name = self._take()
            if isinstance(left, Name):
                raise self._wrong("a value before 'in' and a name, or a name before 'in' and values", first)
            return Holds(left, Name(str(name.value), name.at), negative)
        self._need("(", "a name or '(' after 'in'")
        if isinstance(left, Constant):
            raise self._wrong("a name before 'in' and values", first)
        values = [self._value()]
        while self._took("sign", ","):
            values.append(self._value())
        self._need(")", "',' or ')'")
        return OneOf(left, tuple(values), negative)

    def _value(self) -> Constant:
        token = self._take()
        constant = _constant(token)
        if constant is None:
            raise self._wrong("a value", token)
        return constant


def _constant(token: Token) -> Constant | None:
    if token.kind == "word" and token.value in ("true", "false"):
        return Constant(token.value == "true", False, token.at, token.told)
    if token.kind in ("number", "span", "text"):
        return Constant(token.value, token.kind == "span", token.at, token.told)
    return None
