"""Texts that lie end to end as bytes, and a table that gives each distinct one a row; no Python object per text.

The table is exact for any bytes: the hash only says where to look. It is seeded anew in every process, so that nobody
can choose ids that all fall on one place; rows depend on the order of arrival alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from everbrook.events.text_kernels import EMPTY, GONE, U8, find, is_plain, move_slots, refill, take_in
from everbrook.types import I32, I64, NO_ROW

if TYPE_CHECKING:
    import pyarrow as pa

_SEED = int.from_bytes(os.urandom(7), "little")
_ALL = np.empty(0, np.int32)
_LEAST = 64  # slots


@dataclass(frozen=True, slots=True)
class Texts:
    """N texts as their UTF-8 bytes, end to end; neither array may be written to."""

    data: U8
    offsets: I64  # (N + 1,) where each begins

    def __post_init__(self) -> None:
        for array in (self.data, self.offsets):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Pack texts, also those with halves of surrogate pairs."""
        parts = [text.encode("utf-8", "surrogatepass") for text in texts]
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=offsets[1:])
        return cls(np.frombuffer(b"".join(parts), np.uint8), offsets)

    @classmethod
    def from_arrow(cls, array: pa.Array) -> Texts:
        """The texts of an Arrow array of strings; its bytes are shared, null is empty."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if array.null_count:
            array = pc.fill_null(array, "")
        _, offset_bytes, text_bytes = array.buffers()
        kind = np.int64 if pa.types.is_large_string(array.type) else np.int32
        stop = array.offset + len(array) + 1
        offsets = np.zeros(1, np.int64)
        if len(array):
            offsets = np.frombuffer(offset_bytes, kind)[array.offset : stop].astype(np.int64)
        return cls(np.frombuffer(text_bytes or b"", np.uint8), offsets)

    def to_arrow(self) -> pa.Array:
        """The same as Arrow text, without copying."""
        import pyarrow as pa

        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(pa.large_string(), len(self), buffers)

    def names(self) -> list[str]:
        """Each as a string.

        Raises:
            UnicodeDecodeError: when one is no UTF-8.
        """
        import pyarrow as pa

        try:
            names: list[str] = self.to_arrow().to_numpy(zero_copy_only=False).tolist()
        except (pa.ArrowException, UnicodeDecodeError):  # halves of surrogate pairs, or worse
            return [self.name(row) for row in range(len(self))]
        return names

    def name(self, row: int) -> str:
        """One as a string."""
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes().decode("utf-8", "surrogatepass")

    def longest_bytes(self) -> int:
        """The size of the longest; 0 of none."""
        return int(np.diff(self.offsets).max(initial=0))

    def some_empty(self, chosen: I32) -> bool:
        """Whether one of those chosen is empty."""
        return bool(np.any(self.offsets[chosen + 1] == self.offsets[chosen]))

    def are_plain(self) -> bool:
        """Whether nothing in them is other than lower-case ASCII, and none has a space at an end."""
        return bool(is_plain(self.data, self.offsets))


class TextTable:
    """Distinct texts, each with a row, in order of arrival."""

    def __init__(self, skip_empty: bool = False) -> None:
        self._skip_empty = skip_empty
        self._n = 0
        self._set(np.full(_LEAST, EMPTY, np.int64), np.zeros(_LEAST, np.int64), np.zeros(8 * _LEAST, np.uint8))

    def _set(self, table: I64, starts: I64, held: U8) -> None:
        """All three at once, so that whoever reads meanwhile has those that belong together."""
        self._arrays = (table, starts, held)

    def __len__(self) -> int:
        return self._n

    @classmethod
    def load(cls, texts: Texts) -> TextTable:
        """A table with a row for each of the texts, which must be distinct unless empty; empty ones are never found."""
        self, n = cls(), len(texts)
        size = _LEAST
        while size < 2 * (n + 1):
            size *= 2
        table, starts = np.full(size, EMPTY, np.int64), texts.offsets - texts.offsets[0]
        held = np.append(texts.data[texts.offsets[0] : texts.offsets[-1]], np.uint8(0))
        refill(n, _SEED, table, starts, held)
        self._n = n
        self._set(table, starts, held)
        return self

    def add(self, texts: Texts, chosen: I32 = _ALL) -> I32:
        """The row of each text, made where it is new.

        Args:
            texts: any.
            chosen: which of them; all where it is empty.
        """
        rows = np.empty(len(chosen) or len(texts), np.int32)
        self._make_room(len(rows), len(texts.data))
        done = 0
        while True:
            done, self._n = take_in(
                done, self._n, texts.data, texts.offsets, chosen, self._skip_empty, _SEED, *self._arrays, rows
            )
            if done == len(rows):
                return rows
            table, starts, held = self._arrays
            wider = np.full(2 * len(table) if self._n < 2**18 else 4 * len(table), EMPTY, np.int64)
            move_slots(table, wider)
            self._set(wider, starts, held)

    def _make_room(self, rows: int, n_bytes: int) -> None:
        """For so many more; memory that is not written to costs nothing."""
        table, starts, held = self._arrays
        least, least_bytes = self._n + rows + 1, int(starts[self._n]) + n_bytes + 1
        if least > len(starts):
            longer = np.empty(max(least, 2 * len(starts)), np.int64)
            longer[: self._n + 1] = starts[: self._n + 1]
            starts = longer
        if least_bytes > len(held):
            wider = np.empty(max(least_bytes, 2 * len(held)), np.uint8)
            wider[: starts[self._n]] = held[: starts[self._n]]
            held = wider
        self._set(table, starts, held)

    def find(self, text: str) -> int:
        """The row of a text; NO_ROW where it has none."""
        table, starts, held = self._arrays
        slot = find(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8), _SEED, table, starts, held)
        return NO_ROW if slot < 0 else int(table[slot]) & 0xFFFFFFFF

    def drop(self, row: int) -> None:
        """Forget a row's text: it is not found again, and its bytes are gone."""
        table, starts, held = self._arrays
        place = slice(int(starts[row]), int(starts[row + 1]))
        slot = find(np.frombuffer(held[place].tobytes(), np.uint8), _SEED, table, starts, held)
        if slot >= 0:
            table[slot] = GONE
        held[place] = 0

    def texts(self) -> Texts:
        """All in order of their rows; later additions do not show."""
        _, starts, held = self._arrays
        return Texts(held[: starts[self._n]], starts[: self._n + 1])
