"""Ids of the caller (any text) to rows of ours (dense int32, in order of arrival) and back; without collisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numba import njit

from everbrook.events.columns import Coded
from everbrook.state.texts import pack, unpack
from everbrook.types import I32, NO_ROW, Arrays

_PENDING = -2
_FEW = 32
"""Up to so many events, plain dictionary look-ups cost less than arrays."""


class IdMap:
    """A two-way map between ids and rows; a row is never given twice."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._rows: dict[str, int] = {}
        self._names: list[str] = []
        self._coded_names: list[str] = []  # the list of names that `_coded_rows` was made for
        self._coded_rows: I32 = np.full(1, NO_ROW, np.int32)  # one longer: code -1 finds NO_ROW at the end
        for name in names:
            self.add(name)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def row(self, name: str) -> int:
        """The row of an id; NO_ROW where it is not known."""
        return self._rows.get(name, NO_ROW)

    def add(self, name: str) -> int:
        """The row of an id, which is made where it is not known."""
        row = self._rows.get(name)
        if row is None:
            row = len(self._names)
            self._rows[name] = row
            self._names.append(name)
        return row

    def rows(self, names: list[str], create: bool = False) -> I32:
        """The row of each id, NO_ROW where it is not known and not to be made."""
        get = self._rows.get
        if create:
            first = len(self._names)
            if self._add_all(names) == len(names):  # all new, as in an import
                return np.arange(first, first + len(names), dtype=np.int32)
        return np.fromiter((get(name, NO_ROW) for name in names), np.int32, len(names))

    def coded_rows(self, coded: Coded) -> I32:
        """The row of each event's id, making rows in the order in which the events first name them.

        What was found is kept for the next call with the same list of names, so that a long stream cut into
        batches looks each name up once.

        Returns:
            (B,) rows; NO_ROW where the code is -1.
        """
        codes = coded.codes
        if not coded.names:
            return np.full(len(codes), NO_ROW, np.int32)
        if len(codes) <= _FEW and coded.names is not self._coded_names:
            add, names = self.add, coded.names
            return np.array([add(names[code]) if code >= 0 else NO_ROW for code in codes.tolist()], np.int32)
        if not codes.flags.writeable:
            codes = codes.copy()  # numba would compile a second time for read-only arrays
        rows = self._rows_of(coded.names)
        unknown = _unknown_codes(codes, rows)
        if len(unknown):
            names = [coded.names[code] for code in unknown.tolist()]
            rows[unknown] = self.rows(names, create=True)
        return rows[codes]

    def _add_all(self, names: list[str]) -> int:
        """Make rows for those that have none, in order; loops in C, for imports bring millions.

        Returns:
            How many rows were made.
        """
        known, first = self._rows, len(self._names)
        if known.keys().isdisjoint(names):  # all new, as in an import: no need to look at each
            before = len(known)
            known.update(zip(names, range(first, first + len(names)), strict=True))
            if len(known) - before == len(names):
                self._names.extend(names)
                return len(names)
            for name in names:  # one comes twice: begin again
                known.pop(name, None)
        fresh = dict.fromkeys([name for name in names if name not in known])
        known.update(zip(fresh, range(first, first + len(fresh)), strict=True))
        self._names.extend(fresh)
        return len(fresh)

    def _rows_of(self, names: list[str]) -> I32:
        known = self._coded_rows[:-1] if names is self._coded_names else self._coded_rows[:0]
        if names is not self._coded_names or len(known) != len(names):
            rows = np.full(len(names) + 1, NO_ROW, np.int32)
            rows[: len(known)] = known
            self._coded_names, self._coded_rows = names, rows
        return self._coded_rows

    def id(self, row: int) -> str:
        """The id of a row; empty where it was forgotten.

        Raises:
            IndexError: there is no such row.
        """
        if row < 0:
            raise IndexError(f"A row must be an int >= 0; got {row}.")
        return self._names[row]

    def ids(self, rows: I32) -> list[str]:
        """The ids of rows."""
        names = self._names
        return [names[row] for row in rows.tolist()]

    def names(self) -> list[str]:
        """All ids in the order of their rows; empty where forgotten."""
        return list(self._names)

    def forget(self, name: str) -> int:
        """Drop an id; its row is never given again, also not to the same id.

        Returns:
            The row that it had; NO_ROW where it was not known.
        """
        row = self._rows.pop(name, NO_ROW)
        if row != NO_ROW:
            self._names[row] = ""
            self._coded_names, self._coded_rows = [], np.full(1, NO_ROW, np.int32)
        return row

    def arrays(self) -> Arrays:
        """All ids, packed."""
        return pack(name.encode("utf-8", "surrogatepass") for name in self._names)

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._names = [part.decode("utf-8", "surrogatepass") for part in unpack(arrays)]
        self._rows = {name: row for row, name in enumerate(self._names) if name}
        self._coded_names, self._coded_rows = [], np.full(1, NO_ROW, np.int32)


@njit(cache=True)
def _unknown_codes(codes: I32, rows: I32) -> I32:
    """The codes whose row is not known yet, each once, in order of first occurrence; marks them pending."""
    found = np.empty(16, np.int32)
    n = 0
    for code in codes:
        if code >= 0 and rows[code] == NO_ROW:
            rows[code] = _PENDING
            if n == len(found):
                wider = np.empty(2 * n, np.int32)
                wider[:n] = found
                found = wider
            found[n] = code
            n += 1
    return found[:n]
