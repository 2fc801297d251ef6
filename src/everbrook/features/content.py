"""What items are about, as sparse TF-IDF rows: title, text, categories, tags and properties. No model: see `models`.

One code for all: an item that comes in, a typed query, and a batch of a million items pass through the same functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numba import njit

from everbrook.events.records import ItemChange
from everbrook.features.ragged import Ragged
from everbrook.features.text import label_column, merged, text_terms
from everbrook.settings.features import FeaturesSettings
from everbrook.types import F32, I32, I64, Arrays

_WORDS_OF_LABEL = 0.5
"""Weight of the words of a category or tag, by which a query finds them, against the words of a title."""


class ContentFeatures:
    """TF-IDF rows of items; how many items have a feature is counted as they come and go."""

    def __init__(self, settings: FeaturesSettings | None = None) -> None:
        self.settings = settings or FeaturesSettings()
        self.n_columns = 1 << self.settings.text_bits
        self.version = 0
        """Goes up with every change."""
        self._rows = Ragged()
        self._items_with: I32 = np.zeros(self.n_columns, np.int32)
        self._items = 0

    @property
    def n_rows(self) -> int:
        """One more than the highest row that was ever given content."""
        return self._rows.n_rows

    def update(self, rows: I32, records: Sequence[ItemChange | None]) -> None:
        """Give rows the content of their records, in place of what they had; None takes it away."""
        for row, record in zip(rows.tolist(), records, strict=True):
            columns, values = self.terms(record) if record is not None else self._rows.get(-1)
            before, _ = self._rows.get(row)
            self._items += (len(columns) > 0) - (len(before) > 0)
            self._items_with[before] -= 1
            self._items_with[columns] += 1
            self._rows.put(row, columns, values)
            self.version += 1

    def terms(self, record: ItemChange) -> tuple[I32, F32]:
        """An item's features with their damped frequencies, before any is weighed by how rare it is."""
        settings = self.settings
        parts = [
            (record.title or "", 1.0), (record.text or "", settings.text_weight),
            (" | ".join([*(record.categories or ()), *(record.tags or ())]), _WORDS_OF_LABEL),
        ]
        columns, weights = [], []
        for text, weight in parts:
            if text and weight > 0.0:
                found, strength = text_terms(text, settings.text_chars, settings.text_bits, settings.char_weight)
                columns.append(found)
                weights.append(strength * np.float32(weight))
        labels = [label_column(field, label, settings.text_bits) for field, label in _labels(record)]
        columns.append(np.array(labels, np.int32))
        weights.append(np.full(len(labels), settings.label_weight, np.float32))
        return merged(np.concatenate(columns), np.concatenate(weights))

    def rarity(self, columns: I32) -> F32:
        """The weight of features by how few items have them.

        Source: Robertson & Spärck Jones (1976) as BM25 uses it, kept above 0.
        """
        return _rarity(columns, self._items_with, self._items)

    def csr(self, rows: I32 | None = None) -> tuple[I64, I32, F32]:
        """Items as rows of length 1 (or 0 where nothing is known of them).

        Args:
            rows: which items, in this order; all where it is None.

        Returns:
            `indptr`, `indices` (ascending within a row) and `data`.
        """
        indptr, columns, values = self._rows.csr(rows)
        _weigh(indptr, columns, values, self._items_with, self._items)
        return indptr, columns, values

    def row_vector(self, row: int) -> tuple[I32, F32]:
        """One row of `csr`."""
        return self._unit(*self._rows.get(row))

    def record_vector(self, record: ItemChange) -> tuple[I32, F32]:
        """What `csr` would hold for an item, without taking it in."""
        return self._unit(*self.terms(record))

    def text_vector(self, text: str) -> tuple[I32, F32]:
        """A typed query as columns and values of length 1, in the space of the items."""
        return self.record_vector(ItemChange(id="-", title=text))

    def _unit(self, columns: I32, values: F32) -> tuple[I32, F32]:
        values = values.copy()
        _weigh(np.array([0, len(columns)], np.int64), columns, values, self._items_with, self._items)
        return columns.copy(), values

    def arrays(self) -> Arrays:
        """All rows."""
        return self._rows.arrays()

    def load(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._rows.load(arrays)
        indptr, columns, _ = self._rows.csr()
        self._items_with = np.bincount(columns, minlength=self.n_columns).astype(np.int32)
        self._items = int((np.diff(indptr) > 0).sum())
        self.version += 1


def _labels(record: ItemChange) -> Iterator[tuple[str, str]]:
    """Categories, tags and those properties that are names rather than numbers."""
    for field, labels in (("category", record.categories or ()), ("tag", record.tags or ())):
        yield from ((field, label) for label in labels)
    for name, value in (record.properties or {}).items():
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, str | bool):
                yield f"property {name}", str(one).casefold()


@njit(cache=True)
def _rarity(columns: I32, items_with: I32, items: int) -> F32:
    rarity = np.empty(len(columns), np.float32)
    for i in range(len(columns)):
        holders = items_with[columns[i]]
        rarity[i] = np.log(1.0 + (max(items, holders) - holders + 0.5) / (holders + 0.5))
    return rarity


@njit(cache=True)
def _weigh(indptr: I64, columns: I32, values: F32, items_with: I32, items: int) -> None:
    """Weigh by rarity and scale each row to length 1, in place."""
    for row in range(len(indptr) - 1):
        start, stop = indptr[row], indptr[row + 1]
        rarity = _rarity(columns[start:stop], items_with, items)
        squares = 0.0
        for i in range(start, stop):
            values[i] *= rarity[i - start]
            squares += values[i] * values[i]
        if squares > 0.0:
            values[start:stop] /= np.float32(np.sqrt(squares))
