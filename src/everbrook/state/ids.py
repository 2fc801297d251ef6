"""Ids of the caller (any text) to rows of ours (dense int32, in order of arrival) and back; without collisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress

import numpy as np
from numba import njit

from everbrook.events.columns import Coded
from everbrook.events.text_table import Texts, TextTable
from everbrook.types import I32, NO_ROW, Arrays

_PENDING = -2
_FEW = 32
"""Up to so many events, plain dictionary look-ups cost less than arrays."""
_FEW_NEW = 4
"""Up to so many new ids are added one by one."""
_MOST = 2**31 - 1


class IdMap:
    """A two-way map between ids and rows; a row is never given twice.

    Ids that come by the million are kept as bytes in a table, without a Python object each; ids that come singly, and
    those of the table that were asked for singly, are in a dictionary, where they are found faster.

    Args:
        names: the first ids.
        most: how many rows there may be; an id that comes when there are so many has none, now and later.
    """

    def __init__(self, names: Iterable[str] = (), most: int = _MOST) -> None:
        self.most = most
        self._table = TextTable()  # the first rows
        self._names: list[str | None] = []  # None: so far only in the table
        self._rows: dict[str, int] = {}  # all rows beyond the table, and some of it
        self._forgotten: set[int] = set()
        self._buried: dict[str, int] = {}
        self._forget_coded()
        for name in names:
            self.add(name)

    def _forget_coded(self) -> None:
        self._coded_names: list[str] = []  # the list of names that `_coded_rows` was made for
        self._coded_rows: I32 = np.full(1, NO_ROW, np.int32)  # one longer: code -1 finds NO_ROW at the end

    def __len__(self) -> int:
        return len(self._names)

    @property
    def room(self) -> int:
        """How many ids more get a row."""
        return self.most - len(self._names)

    def __contains__(self, name: str) -> bool:
        return self.row(name) != NO_ROW

    def __iter__(self) -> Iterator[str]:
        gone = self._forgotten.union(self._buried.values())
        return compress(self.names(), (row not in gone for row in range(len(self))))

    def row(self, name: str) -> int:
        """The row of an id; NO_ROW where it is not known, or buried."""
        row = self._rows.get(name)
        if row is not None:
            return row
        if not len(self._table) or name in self._buried:
            return NO_ROW
        row = self._table.find(name)
        if row != NO_ROW:
            self._rows[name] = row
        return row

    def add(self, name: str) -> int:
        """The row of an id, made where it is unknown and there is room; a buried one has its own, and stays buried."""
        row = self.row(name)
        if row == NO_ROW and name in self._buried:
            return self._buried[name]
        if row == NO_ROW and len(self._names) < self.most:
            row = len(self._names)
            self._rows[name] = row
            self._names.append(name)
        return row

    def rows(self, names: list[str], create: bool = False) -> I32:
        """The row of each id, NO_ROW where it is not known and not to be made."""
        found = list(map(self._rows.get, names))
        if None in found:
            of = self.add if create else self.row
            found = [of(name) if row is None else row for name, row in zip(names, found, strict=True)]
        return np.array(found, np.int32)

    def coded_rows(self, coded: Coded) -> I32:
        """The row of each event's id, making rows in the order in which the events first name them.

        What was found is kept for the next call with the same list of names, so that a long stream cut into
        batches looks each name up once.

        Returns:
            (B,) rows; NO_ROW where the code is -1, and for ids that came when there was no room.
        """
        codes = coded.codes
        if not coded.names:
            return np.full(len(codes), NO_ROW, np.int32)
        if len(codes) <= _FEW and coded.names is not self._coded_names:
            known, names = self._rows.get, coded.names
            found = [known(names[code]) if code >= 0 else NO_ROW for code in codes.tolist()]
            if None in found:
                found = [self.add(names[code]) if code >= 0 else NO_ROW for code in codes.tolist()]
            return np.array(found, np.int32)
        if not codes.flags.writeable:
            codes = codes.copy()  # numba would compile a second time for read-only arrays
        rows = self._rows_of(coded.names)
        unknown = _unknown_codes(codes, rows)
        if len(unknown):
            rows[unknown] = self._rows_of_new(coded, unknown)
        return rows[codes]

    def _rows_of_new(self, coded: Coded, codes: I32) -> I32:
        """The rows of names that this list has not named before."""
        packed = coded.packed
        is_few = len(codes) <= _FEW_NEW or len(self) + len(codes) > self.most  # or perhaps more than there is room for
        if is_few or packed is None or len(packed) != len(coded.names) or packed.some_empty(codes):
            return self.rows([coded.names[code] for code in codes.tolist()], create=True)
        return self._take_in(packed, codes)

    def _take_in(self, texts: Texts, chosen: I32) -> I32:
        """Make rows of bytes, after those that came singly have been taken into the table too."""
        if len(self._table) < len(self._names):
            self._table.add(Texts.of(name or "" for name in self._names[len(self._table) :]))
        rows = self._table.add(texts, chosen)
        self._names.extend([None] * (len(self._table) - len(self._names)))
        return rows

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
        name = self._names[row]
        if name is None:
            name = self._names[row] = self._table.texts().name(row)
        return name

    def ids(self, rows: I32) -> list[str]:
        """The ids of rows; see `id`."""
        wanted = rows.tolist()
        if wanted and min(wanted) < 0:
            raise IndexError(f"A row must be an int >= 0; got {min(wanted)}.")
        held = self._names
        return [self.id(row) if (name := held[row]) is None else name for row in wanted]

    def names(self) -> list[str]:
        """All ids in the order of their rows; empty where forgotten."""
        packed = self._table.texts().names() if None in self._names else []
        return [packed[row] if name is None else name for row, name in enumerate(self._names)]

    def bury(self, name: str) -> int:
        """Let nobody find an id any more who asks for it, while events that name it go on having its row.

        Returns:
            The row; NO_ROW where it was not known.
        """
        row = self.row(name)
        if row != NO_ROW:
            del self._rows[name]
            self._buried[name] = row
        return row

    def unbury(self, names: Iterable[str]) -> None:
        """Let ids be found again; those that are not buried are left alone."""
        for name in names if self._buried else ():
            row = self._buried.pop(name, NO_ROW)
            if row != NO_ROW:
                self._rows[name] = row

    def bury_rows(self, rows: Iterable[int]) -> None:
        """Bury the ids of rows."""
        for row in rows:
            self.bury(self.id(row))

    def forget(self, name: str) -> int:
        """Drop an id; its row is never given again, also not to the same id.

        Returns:
            The row that it had; NO_ROW where it was not known.
        """
        row = self.row(name)
        if row != NO_ROW:
            del self._rows[name]
            self._names[row] = ""
            self._forgotten.add(row)
            if row < len(self._table):
                self._table.drop(row)
            self._forget_coded()
        return row

    def arrays(self) -> Arrays:
        """All ids, packed; which are buried is not among it."""
        texts, n = self._table.texts(), len(self._table)
        rest = Texts.of(name or "" for name in self._names[n:])
        data, sizes = np.concatenate([texts.data, rest.data]), np.diff(texts.offsets)
        gone = [row for row in self._forgotten if row < n]
        if gone:  # their bytes are zeroes, which are left out
            kept = np.ones(n, np.bool_)
            kept[gone] = False
            data = np.concatenate([texts.data[np.repeat(kept, sizes)], rest.data])
            sizes[gone] = 0
        offsets = np.zeros(len(self) + 1, np.int64)
        np.cumsum(np.concatenate([sizes, np.diff(rest.offsets)]), out=offsets[1:])
        return {"bytes": data, "offsets": offsets}

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        offsets = arrays["offsets"][: self.most + 1].astype(np.int64)
        empty = np.flatnonzero(np.diff(offsets) == 0).tolist()
        self._table = TextTable.load(Texts(arrays["bytes"][: offsets[-1]].copy(), offsets))
        self._names, self._rows, self._forgotten = [None] * len(self._table), {}, set(empty)
        self._buried = {}
        for row in empty:
            self._names[row] = ""
        self._forget_coded()


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
