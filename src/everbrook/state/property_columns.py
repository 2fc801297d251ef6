"""Properties of items as columns: one array for each name and type, kept up to date as records change.

A name may carry values of several types over time; each has an array of its own, in which other items are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from everbrook.state.labels import Labels
from everbrook.state.text_column import TextColumn
from everbrook.types import F64, I16, Bool

NUMBER, TEXT, BOOLEAN, LIST = "number", "text", "boolean", "list"
_MISSING = -1
_THERE = "l"  # on every list; no member is called so


class NumberColumn:
    """One number an item; NaN where there is none."""

    def __init__(self) -> None:
        self._values: F64 = np.full(64, np.nan)

    def put(self, row: int, value: float | None) -> None:
        """Give a row its value; None takes it away."""
        if row >= len(self._values):
            self._values = self.values(max(row + 1, int(1.5 * len(self._values))))
        try:
            self._values[row] = np.nan if value is None else value
        except OverflowError:  # an int beyond every float, which older versions let into the log: no number
            self._values[row] = np.nan

    def values(self, n_items: int) -> F64:
        """(N,) the values; the caller must not write into it."""
        if n_items <= len(self._values):
            return self._values[:n_items]
        return np.concatenate([self._values, np.full(n_items - len(self._values), np.nan)])


class BooleanColumn:
    """True or false an item; missing where there is neither."""

    def __init__(self) -> None:
        self._values: I16 = np.full(64, _MISSING, np.int16)

    def put(self, row: int, value: bool | None) -> None:
        """Give a row its value; None takes it away."""
        if row >= len(self._values):
            self._values = self._longer(max(row + 1, int(1.5 * len(self._values))))
        self._values[row] = _MISSING if value is None else value

    def equal(self, value: bool, n_items: int) -> Bool:
        """(N,) which items carry this value."""
        return np.asarray(self._longer(n_items) == int(value))

    def _longer(self, n_items: int) -> I16:
        if n_items <= len(self._values):
            return self._values[:n_items]
        return np.concatenate([self._values, np.full(n_items - len(self._values), _MISSING, np.int16)])


class ListColumn:
    """The members of one list an item; missing where there is none, which an empty list is not."""

    def __init__(self) -> None:
        self._labels = Labels("member")

    def put(self, row: int, values: Iterable[Any] | None) -> None:
        """Give a row its list; None takes it away."""
        self._labels.put(row, () if values is None else (_THERE, *members(values)))

    def holding(self, member: str, n_items: int) -> Bool:
        """(N,) which items' lists hold a member, named as `members` does; the caller must not write into it."""
        labels = self._labels
        return labels.carried((member,), n_items) if member in labels.names else np.zeros(n_items, np.bool_)

    def present(self, n_items: int) -> Bool:
        """(N,) which items carry a list at all; the caller must not write into it."""
        return self.holding(_THERE, n_items)


_MADE: dict[str, Callable[[], Any]] = {
    NUMBER: NumberColumn, TEXT: TextColumn, BOOLEAN: BooleanColumn, LIST: ListColumn,
}


class PropertyColumns:
    """The columns of all properties by name."""

    def __init__(self) -> None:
        self.shape = 0
        """Goes up with every new name, and every new type of one."""
        self.numbers: dict[str, NumberColumn] = {}
        self.texts: dict[str, TextColumn] = {}
        self.booleans: dict[str, BooleanColumn] = {}
        self.lists: dict[str, ListColumn] = {}
        self._by_type: dict[str, dict[str, Any]] = {
            NUMBER: self.numbers, TEXT: self.texts, BOOLEAN: self.booleans, LIST: self.lists,
        }

    def types(self, name: str) -> set[str]:
        """Which types of values a name ever carried; none of an unknown one."""
        return {kind for kind, columns in self._by_type.items() if name in columns}

    def carried(self) -> list[str]:
        """Every name that any item ever carried with its type, as 'type:name'."""
        return [f"{kind}:{name}" for kind, columns in self._by_type.items() for name in columns]

    def carry(self, carried: Iterable[str]) -> None:
        """Know what `carried` gave, before any item carries it again."""
        for kind, _, name in (one.partition(":") for one in carried):
            self._of(self._by_type[kind], name, _MADE[kind])

    def names(self) -> set[str]:
        """All names that any item ever carried."""
        return {*self.numbers, *self.texts, *self.booleans, *self.lists}

    def put(self, row: int, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Change what a row carries.

        Args:
            row: the item.
            before: its properties so far.
            after: its properties from now on.
        """
        for name in before.keys() - after.keys():
            self._set(row, name, before[name], None)
        for name, value in after.items():
            known = before.get(name)
            if known is None or type(known) is not type(value) or known != value:
                self._set(row, name, known, value)

    def _set(self, row: int, name: str, before: Any, value: Any) -> None:
        if before is not None and (value is None or type_of(before) != type_of(value)):
            self._put(row, name, type_of(before), None)
        if value is not None:
            self._put(row, name, type_of(value), value)

    def _put(self, row: int, name: str, kind: str, value: Any) -> None:
        self._of(self._by_type[kind], name, _MADE[kind]).put(row, value)

    def _of(self, columns: dict[str, Any], name: str, made: Any) -> Any:
        column = columns.get(name)
        if column is None:
            column = columns[name] = made()
            self.shape += 1
        return column


def type_of(value: Any) -> str:
    """What a property's value counts as."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int | float):
        return NUMBER
    return TEXT if isinstance(value, str) else LIST


def members(values: Iterable[Any]) -> Sequence[str]:
    """A list's texts and numbers as labels that tell one from the other."""
    return [f"t{one}" if isinstance(one, str) else f"n{float(one)!r}" for one in values]
