"""Filters as operations on columns: a tree checked against what the catalogue's items carry, then compiled.

A value that an item does not have, or has of another type, matches no comparison, `!=` and `not in` neither; an empty
list is a value, and the built-in sets are there for every item. `not (...)` is whatever the inner part leaves. Each
compiled part gives a mask over all items.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from everbrook.rank.filter_parser import Both, Compare, Constant, Holds, Name, Not, OneOf, Tree, parse
from everbrook.rank.filter_tokens import FilterError, fault, unknown
from everbrook.state import State
from everbrook.state.catalogue import NEVER_MS
from everbrook.state.labels import Labels
from everbrook.state.property_columns import BOOLEAN, LIST, NUMBER, TEXT, ListColumn, members
from everbrook.state.text_column import TextColumn
from everbrook.types import F64, Bool

AGE, IDS, LABELS = "span", "id", "set"
BUILT_IN = {"age": AGE, "categories": LABELS, "tags": LABELS, "title": TEXT, "hidden": BOOLEAN, "id": IDS}
PREFIX = "properties."
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}
_WORDS = {AGE: "a span such as 7d", IDS: "a text", TEXT: "a text", NUMBER: "a number", BOOLEAN: "true or false",
          LABELS: "a text before 'in'", LIST: "a text or number before 'in'"}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a plan reads: the state, how many items there are, and the moment."""

    state: State
    n_items: int
    now_ms: int

    def age_ms(self) -> F64:
        """(N,) since when each item exists; NaN where nothing is known of it."""
        born = self.state.born_ms()
        return np.where(born == NEVER_MS, np.nan, (self.now_ms - born).astype(np.float64))

    def labels(self, name: str) -> Labels:
        """The sets of a built-in name."""
        catalogue = self.state.catalogue
        return catalogue.categories if name == "categories" else catalogue.tags


Part = Callable[[Scope], Bool]
Holder = Callable[[Scope], TextColumn | ListColumn]


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a name means: something built in, or a property, which may be called the same."""

    name: str
    types: set[str]  # of its values
    is_built_in: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled filter."""

    mask: Part
    by_age: bool  # whether the moment matters


def compile_filter(text: str, state: State) -> Plan:
    """Read a filter, check it against the catalogue and compile it.

    Raises:
        FilterError: it cannot be read, names what no item carries, or compares what cannot be compared.
    """
    compiler = _Compiler(text, state)
    part = compiler.part(parse(text))
    return Plan(part, compiler.by_age)


class _Compiler:
    """Turns a tree into parts."""

    def __init__(self, text: str, state: State) -> None:
        self._text, self._columns = text, state.catalogue.properties
        self.by_age = False

    def part(self, tree: Tree) -> Part:
        """One node with what is below it."""
        if isinstance(tree, Compare):
            return self._compare(tree)
        if isinstance(tree, OneOf):
            return self._one_of(tree)
        if isinstance(tree, Holds):
            return self._holds(tree)
        if isinstance(tree, Not):
            inner = self.part(tree.inner)
            return lambda scope: ~inner(scope)
        parts = [self.part(one) for one in tree.parts]
        joined = np.logical_and if isinstance(tree, Both) else np.logical_or
        return lambda scope: reduce(joined, (part(scope) for part in parts))  # few masks at a time: they are large

    # -- names ---------------------------------------------------------------------------------------------------

    def _meant(self, name: Name) -> _Meant:
        if name.name in BUILT_IN:
            return _Meant(name.name, {BUILT_IN[name.name]}, is_built_in=True)
        for meant in (name.name, name.name.removeprefix(PREFIX)):
            types = self._columns.types(meant)
            if types:
                return _Meant(meant, types, is_built_in=False)
        raise unknown(self._text, name.at, "property", name.name, {*BUILT_IN, *self._columns.names()})

    def _wrong(self, name: Name, types: set[str], at: int, got: str, must: str = "") -> FilterError:
        words = " or ".join(sorted({_WORDS[kind] for kind in types}))
        return fault(self._text, at, f"{must}{words} beside '{name.name}'", got)

    def _typed(self, value: Constant, types: set[str], name: Name) -> str:
        """The type under which a value is compared with a name."""
        if isinstance(value.value, bool):
            wanted = {BOOLEAN}
        elif isinstance(value.value, str):
            wanted = {TEXT, IDS}
        else:
            wanted = {AGE} if value.is_span else {NUMBER}
        found = types & wanted
        if not found:
            if value.at == name.at:  # a bare name
                raise self._wrong(name, types, value.at, "it alone", "a comparison with ")
            raise self._wrong(name, types, value.at, f"'{value.told}'")
        return found.pop()

    # -- comparisons ---------------------------------------------------------------------------------------------

    def _compare(self, tree: Compare) -> Part:
        meant = self._meant(tree.left)
        if isinstance(tree.right, Name):
            return self._compare_names(tree, meant, tree.right)
        kind = self._typed(tree.right, meant.types, tree.left)
        value, sign = tree.right.value, tree.sign
        if kind in (NUMBER, AGE):
            return _compared(self._numbers(meant, kind), sign, lambda _: value)
        if sign not in ("=", "!="):
            raise fault(self._text, tree.at, f"'=' or '!=' beside '{tree.left.name}'", f"'{sign}'")
        if kind == BOOLEAN:
            return self._boolean(meant, bool(value) == (sign == "="))
        return self._one_text(meant, kind, (str(value),), sign == "!=")

    def _compare_names(self, tree: Compare, meant: _Meant, right: Name) -> Part:
        other = self._meant(right)
        if NUMBER not in meant.types or NUMBER not in other.types:
            raise fault(self._text, right.at, f"a value, not a name, beside '{tree.left.name}'", f"'{right.name}'")
        return _compared(self._numbers(meant, NUMBER), tree.sign, self._numbers(other, NUMBER))

    def _numbers(self, meant: _Meant, kind: str) -> Callable[[Scope], F64]:
        if kind == AGE:
            self.by_age = True
            return Scope.age_ms
        column = self._columns.numbers[meant.name]
        return lambda scope: column.values(scope.n_items)

    def _boolean(self, meant: _Meant, value: bool) -> Part:
        if meant.is_built_in:
            return lambda scope: scope.state.catalogue.hidden(scope.n_items) == value
        column = self._columns.booleans[meant.name]
        return lambda scope: column.equal(value, scope.n_items)

    def _one_text(self, meant: _Meant, kind: str, texts: tuple[str, ...], negative: bool) -> Part:
        if kind == IDS:
            return lambda scope: _of_ids(scope, texts) != negative
        column = self._texts(meant)
        return lambda scope: _among(column(scope), texts, negative, scope.n_items)

    def _texts(self, meant: _Meant) -> Callable[[Scope], TextColumn]:
        if meant.is_built_in:
            return lambda scope: scope.state.catalogue.titles
        column = self._columns.texts[meant.name]
        return lambda scope: column

    # -- sets ----------------------------------------------------------------------------------------------------

    def _one_of(self, tree: OneOf) -> Part:
        meant = self._meant(tree.name)
        kinds = [self._typed(value, meant.types, tree.name) for value in tree.values]
        for kind, value in zip(kinds, tree.values, strict=True):
            if kind != kinds[0] or kind in (AGE, BOOLEAN):
                raise fault(self._text, value.at, "numbers alone or texts alone between its parentheses",
                            f"'{value.told}'")  # fmt: skip
        if kinds[0] != NUMBER:
            return self._one_text(meant, kinds[0], tuple(str(one.value) for one in tree.values), tree.negative)
        numbers, wanted = self._numbers(meant, NUMBER), np.array([one.value for one in tree.values], np.float64)

        def among(scope: Scope) -> Bool:
            values = numbers(scope)
            return np.isin(values, wanted) if not tree.negative else ~np.isin(values, wanted) & ~np.isnan(values)

        return among

    def _holds(self, tree: Holds) -> Part:
        meant, value = self._meant(tree.name), tree.value.value
        is_text = isinstance(value, str)
        if not is_text and (isinstance(value, bool) or tree.value.is_span):
            raise fault(self._text, tree.value.at, "a text or a number before 'in'", f"'{tree.value.told}'")
        if LABELS in meant.types:
            if not is_text:
                raise self._wrong(tree.name, meant.types, tree.value.at, f"'{tree.value.told}'")
            return lambda scope: _carried(scope.labels(meant.name), str(value), scope.n_items) != tree.negative
        holders: list[tuple[Holder, str]] = []
        if LIST in meant.types:
            lists = self._columns.lists[meant.name]
            holders.append((lambda _: lists, members([value])[0]))
        if TEXT in meant.types and is_text:
            holders.append((self._texts(meant), str(value)))
        if not holders:
            raise fault(self._text, tree.name.at, "a name of sets or texts after 'in'", f"'{tree.name.name}'")
        return lambda scope: reduce(np.logical_or, (
            _holding(column(scope), wanted, tree.negative, scope.n_items) for column, wanted in holders
        ))  # fmt: skip


def _compared(left: Callable[[Scope], F64], sign: str, right: Callable[[Scope], Any]) -> Part:
    if sign != "!=":
        compare = _ORDER[sign]
        return lambda scope: compare(left(scope), right(scope))

    def differ(scope: Scope) -> Bool:
        one, other = left(scope), right(scope)
        return np.asarray((one != other) & ~np.isnan(one) & ~np.isnan(other))

    return differ


def _among(column: TextColumn, texts: tuple[str, ...], negative: bool, n_items: int) -> Bool:
    found = column.equal(texts, n_items)
    return ~found & column.present(n_items) if negative else found


def _holding(column: TextColumn | ListColumn, wanted: str, negative: bool, n_items: int) -> Bool:
    found = column.holding(wanted, n_items)
    return ~found & column.present(n_items) if negative else found


def _of_ids(scope: Scope, ids: tuple[str, ...]) -> Bool:
    mask = np.zeros(scope.n_items, np.bool_)
    rows = scope.state.items.rows(list(ids))
    mask[rows[rows >= 0]] = True
    return mask


def _carried(labels: Labels, label: str, n_items: int) -> Bool:
    """A label that no item ever carried is no mistake: it matches nothing."""
    return labels.carried((label,), n_items) if label in labels.names else np.zeros(n_items, np.bool_)
