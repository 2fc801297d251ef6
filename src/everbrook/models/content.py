"""Content similarity: items whose text, labels, given vectors or numbers resemble the history or a typed query.

It learns nothing from events, so it answers before there are any, and an item has its place as soon as it has a title.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everbrook.events.records import ItemChange
from everbrook.features.content import ContentFeatures
from everbrook.features.numbers import Numbers
from everbrook.features.vectors import GivenVectors
from everbrook.models import content_kernels as kernels
from everbrook.models.best import best_places
from everbrook.models.content_index import ContentIndex, Profile
from everbrook.models.content_scan import NumberScan, Scan, VectorScan
from everbrook.models.lately import Lately
from everbrook.models.members import among
from everbrook.models.neighbours_query import latest, look_up
from everbrook.settings.content import ContentSettings
from everbrook.types import F32, F64, I32, I64, NO_ROW, Arrays, Bool, Query, Step

_NO_ROWS = np.zeros(0, np.int32)
_NOTHING = (_NO_ROWS, np.zeros(0, np.float32))
_ENTRIES = 32  # of an item, about
_MORE_POSTINGS = 8  # times as many entries are read where too few of the items may be shown
NO_PROFILE = Profile(np.zeros(0, np.int32), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Part:
    """Some columns' items and probabilities."""

    items: I32  # (C,)
    mass: F32  # (C, columns)
    rest: F32  # (columns,)


class Content:
    """Columns 'content/<temperature>' over text and labels, 'content/vectors' and 'content/numbers'.

    Items that the asker has are left out, except where something was typed. `observe` learns nothing and reports all
    columns as asleep; `put` tells what items are about.

    Args:
        settings: how much is looked at.
        features: turns records into rows; with its default settings where None.
    """

    def __init__(self, settings: ContentSettings | None = None, features: ContentFeatures | None = None) -> None:
        self.settings = settings or ContentSettings()
        self.features = features or ContentFeatures()
        temperatures = self.settings.temperatures
        self.names = (*(f"content/{t:g}" for t in temperatures), "content/vectors", "content/numbers")
        self._temperatures: F64 = np.array(temperatures, np.float64)
        self._index = ContentIndex(self.features.n_columns)
        self._vectors = GivenVectors()
        self._numbers = Numbers(self.features.settings.number_clip, self.features.settings.number_names)
        self._scans: tuple[tuple[Scan, F64], ...] = (
            (VectorScan(self._vectors), np.array([self.settings.vector_temperature])),
            (NumberScan(self._numbers, self.settings.number_width), np.array([self.settings.number_temperature])),
        )
        self._place: I32 = np.zeros(0, np.int32)
        self._lately: Lately[tuple[Part, ...]] = Lately()
        self._is_empty = True  # nothing is known of any item, so that nothing is like anything

    def vector_width(self, name: str) -> int:
        """How many numbers the given vectors of a name have; 0 where there is none yet."""
        return self._vectors.width(name)

    def put(self, rows: I32, records: Sequence[ItemChange | None]) -> None:
        """Say what items are about, in place of what was known; None takes it away."""
        rows = np.ascontiguousarray(rows, np.int32)
        if not len(rows):
            return
        self.grow(int(rows.max()) + 1, 0)
        self.features.update(rows, records)
        self._index.put(rows, *self.features.csr(rows))
        for row, record in zip(rows.tolist(), records, strict=True):
            self._vectors.put(row, (record.vectors or {}) if record is not None else {})
            self._numbers.put(row, (record.properties or {}) if record is not None else {})
        self._changed()

    def text(self, typed: str) -> F32:
        """(D,) a typed query as `Query.text` wants it."""
        columns, values = self.features.text_vector(typed)
        dense = np.zeros(self.features.n_columns, np.float32)
        dense[columns] = values
        return dense

    def search(
        self, text: F32, limit: int, allowed: Bool | None = None, left_out: I32 = _NO_ROWS, least: int = 0
    ) -> tuple[I32, F32]:
        """What a typed text alone matches, whoever asks.

        Args:
            text: (D,) as `text` gives it.
            limit: the most rows.
            allowed: (N,) rows that count, all where it is None: what does not count takes nobody's place.
            left_out: rows that do not count either.
            least: while fewer rows are found, more entries than the settings say are read, up to all there are.

        Returns:
            (M,) rows, best first, and (M,) the probability of each at the sharpest temperature; none without a match.
        """
        typed = self._typed(text)
        budget, whole = self.settings.postings, self._index.entries(typed)
        while True:
            items, cosines = self._index.alike(typed, left_out, budget)
            if allowed is not None:
                counts = allowed[items]
                items, cosines = items[counts], cosines[counts]
            if len(items) >= least or budget >= whole:
                return self._ranked(items, cosines, limit)
            if allowed is not None and _ENTRIES * np.count_nonzero(allowed) < whole:  # to look at these costs less
                rows = np.flatnonzero(allowed).astype(np.int32)
                found, alike = self.search_among(text, rows[~among(rows, left_out)])
                return found[:limit], alike[:limit]
            budget *= _MORE_POSTINGS

    def search_among(self, text: F32, rows: I32) -> tuple[I32, F32]:
        """The same of some rows alone, (R,), of which no match is passed over."""
        cosines = self._index.cosines(self._typed(text), rows)
        alike = cosines > 0
        return self._ranked(rows[alike], cosines[alike], len(rows))

    def _typed(self, text: F32) -> Profile:
        """What was typed, most telling first."""
        typed = _sparse(text, self.features.n_columns)
        order = np.argsort(-typed.values, kind="stable")
        return Profile(typed.columns[order], typed.values[order])

    def _ranked(self, items: I32, cosines: F32, limit: int) -> tuple[I32, F32]:
        found = self._soft(items, cosines, self._temperatures)
        best = np.lexsort((found.items, -found.mass[:, 0]))[:limit]
        return found.items[best], found.mass[best, 0]

    def grow(self, items: int, actors: int) -> None:
        """Make room for item rows below `items`."""
        if items > self._index.n_items:
            self._index.grow(max(items, 2 * self._index.n_items))
            self._place = np.zeros(self._index.n_items, np.int32)
        self._lately.clear()

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Nothing is learned; all columns stay asleep."""
        mass[:] = 0.0
        rest[:] = np.nan

    def propose(self, query: Query, limit: int) -> I32:
        """The most similar items, those by text, by vectors and by numbers in turn; equal ones in row order."""
        ranked = [_first(part.items, part.mass[:, 0], limit) for part in self._find(query) if len(part.items)]
        if len(ranked) <= 1:
            return ranked[0] if ranked else _NO_ROWS
        rows = np.concatenate(ranked)
        turn = np.concatenate([len(ranked) * np.arange(len(one)) + i for i, one in enumerate(ranked)])
        rows = rows[np.argsort(turn, kind="stable")]
        _, first = np.unique(rows, return_index=True)
        return rows[np.sort(first)][:limit]

    def propose_into(self, queries: Sequence[Query], limit: int, found: I32, kept: I64) -> None:
        """The same for each of B queries; see `types.Expert`."""
        if self._is_empty:
            kept[:] = 0
            return
        for b, query in enumerate(queries):
            rows = self.propose(query, limit)
            found[b, : len(rows)], kept[b] = rows, len(rows)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Probabilities of the given items."""
        rows = np.ascontiguousarray(rows, np.int32)
        first = 0
        for part in self._find(query):
            columns = slice(first, first + len(part.rest))
            if len(part.items):
                look_up(part.items, part.mass, rows, self._place, mass[:, columns])
            else:
                mass[:, columns] = 0.0
            rest[columns] = part.rest
            first = columns.stop

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        if self._is_empty:
            mass[:], rest[:] = 0.0, np.nan
            return
        for b, query in enumerate(queries):
            own = slice(starts[b], starts[b + 1])
            self.score(query, rows[own], mass[own], rest[b])

    def because(self, query: Query, rows: I32) -> I32:
        """The item of the history that resembles each row most."""
        recent = self._recent(query)
        out = self._index.because(recent, self.settings.query_decay, rows)
        for scan, _ in self._scans:
            lacking = out == NO_ROW
            if lacking.any():
                out[lacking] = scan.because(recent, rows[lacking])
        return out

    def state(self) -> Arrays:
        """What items are about."""
        parts = {
            "features": self.features.arrays(), "index": self._index.state(), "vectors": self._vectors.arrays(),
            "numbers": self._numbers.arrays(),
        }  # fmt: skip
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def load(self, arrays: Arrays) -> None:
        """Take over what items are about."""
        self.features.load(_under("features.", arrays))
        self._index.load(_under("index.", arrays))
        self._vectors.load(_under("vectors.", arrays))
        self._numbers.load(_under("numbers.", arrays))
        self._place = np.zeros(self._index.n_items, np.int32)
        self._changed()

    def _changed(self) -> None:
        self._lately.clear()
        self._is_empty = self._index.is_empty and all(scan.empty for scan, _ in self._scans)

    def _recent(self, query: Query) -> I32:
        items = np.ascontiguousarray(query.items, np.int32)
        return latest(items, self._index.n_items, self.settings.query_items)

    def _find(self, query: Query) -> tuple[Part, ...]:
        """One search serves every call for the same query until an item changes."""
        typed = _sparse(query.text, self.features.n_columns)
        key = (query.items.tobytes(), typed.columns.tobytes(), typed.values.tobytes())
        kept = self._lately.get(key)
        if kept is not None:
            return kept
        s, recent = self.settings, self._recent(query)
        own = query.items if not len(typed.columns) else np.zeros(0, np.int32)
        own = np.ascontiguousarray(own, np.int32)
        wanted = self._index.profile(recent, s.query_decay, typed, s.text_share)
        alike = self._index.alike(wanted, own, s.postings) if len(wanted.columns) else _NOTHING
        text = self._soft(*alike, self._temperatures)
        scanned = [(scan.alike(recent, s.query_decay, own, s.scan_items), heat) for scan, heat in self._scans]
        found = (text, *(self._soft(*near, heat) for near, heat in scanned))
        return self._lately.put(key, found)

    def _soft(self, items: I32, cosines: F32, temperatures: F64) -> Part:
        mass, rest = np.empty((len(items), len(temperatures)), np.float32), np.empty(len(temperatures), np.float32)
        if not len(items):
            rest.fill(np.nan)
            return Part(items, mass, rest)
        kernels.soften(cosines, temperatures, self.settings.least_rest, mass, rest)
        return Part(items, mass, rest)


def _first(items: I32, mass: F32, limit: int) -> I32:
    """The items of the highest masses, best first, equal ones in row order."""
    return items[best_places(mass, items, limit)]


def _under(begin: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(begin): array for name, array in arrays.items() if name.startswith(begin)}


def _sparse(text: F32 | None, n_columns: int) -> Profile:
    if text is None or len(text) != n_columns:
        return NO_PROFILE
    columns = np.flatnonzero(text).astype(np.int32)
    return Profile(columns, np.ascontiguousarray(text[columns], np.float32))
