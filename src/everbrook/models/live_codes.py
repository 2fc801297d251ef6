"""A coded copy of item rows, a quarter of their size, that lists scan in the place of the rows themselves.

It only narrows down: the rows that may be among the best, and those that make up most of the denominator, are looked at
as they are. Nothing is approximate about which rows are the best; of the denominator, the parts below a ten-thousandth
count with the error of their code, which is known, has no sign, and is far below that of a prior of two seconds ago.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from everbrook.models import live_scan
from everbrook.models.sequence_kernels import best_rows
from everbrook.types import F32, I32

LEAST_ROWS = 8_192
"""Fewer rows are multiplied as they are: that costs no more."""
_MOST_FOUND = 16_384  # rows looked at as they are; where more may be among the best, coding gains nothing
_ALL = np.empty(0, np.int32)


class RowCodes:
    """Codes of the rows of one table, some of which may have other values than it; kept up with what changes.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._levels = live_scan.state_levels(width)
        self._table: F32 | None = None  # whose rows were coded
        self._count = 0
        self._codes = np.zeros((-(-width // live_scan.PANEL), 0, live_scan.PANEL), np.int8)
        self._scales: F32 = np.zeros(0, np.float32)
        self._slack: F32 = np.zeros(0, np.float32)
        self._moved: list[I32] = []
        self._scores: F32 = np.zeros(0, np.float32)  # of a scan; its content means nothing afterwards
        self._found: I32 = np.zeros(_MOST_FOUND, np.int32)

    def mark(self, rows: I32 | None) -> None:
        """Note that rows have, or are about to have, other values; None: all of them."""
        if rows is None or sum(map(len, self._moved)) + len(rows) > self._count:
            self._count, self._moved = 0, []
        else:
            self._moved.append(np.array(rows, np.int32))

    def keep_up(self, table: F32, kept: tuple[I32, F32], count: int) -> None:
        """Code what is not coded as it is now.

        Args:
            table: (N, D)
            kept: (N,) where a row has another value and (R, D) those values; see `live_kernels.lifts`.
            count: how many rows there are.
        """
        if table is not self._table or count < self._count:
            self._table, self._count, self._moved = table, 0, []
        if count > len(self._scales):
            self._make_room(max(count, len(table)))
        rows = [*self._moved, np.arange(self._count, count, dtype=np.int32)]
        self._moved, self._count = [], count
        changed = np.concatenate(rows) if len(rows) > 1 else rows[0]
        if len(changed):
            changed = changed[changed < count]
            live_scan.code_rows(table, *kept, changed, self._levels, self._codes, self._scales, self._slack)

    def _make_room(self, rows: int) -> None:
        codes = np.zeros((len(self._codes), rows, live_scan.PANEL), np.int8)
        scales, slack = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
        n = self._count
        codes[:, :n], scales[:n], slack[:n] = self._codes[:, :n], self._scales[:n], self._slack[:n]
        self._codes, self._scales, self._slack = codes, scales, slack

    def best(
        self, state: F32, kept: tuple[I32, F32], rows: I32, log_prior: F32, limit: int
    ) -> tuple[float, I32] | None:
        """The logarithm of the denominator over rows, and the best of them, best first; None where codes do not help.

        Args:
            state: (D,)
            kept: see `keep_up`.
            rows: (M,) ascending; all that are coded where M is their number.
            log_prior: (M,)
            limit: how many of the best.
        """
        M = len(rows)
        if self._table is None or not 0 < limit <= M // (2 * live_scan.BLOCK):
            return None
        if len(self._scores) < M:
            self._scores = np.empty(M, np.float32)
        log_all, places, scores = live_scan.answer(
            self._codes, self._scales, self._slack, self._levels, self._table, *kept, state,
            _ALL if self._count == M else rows, log_prior, limit, self._scores[:M], self._found,
        )  # fmt: skip
        return (log_all, rows[places[best_rows(scores, limit)]]) if len(places) else None

    def lifts(self, state: F32, rows: I32) -> F32:
        """(M,) products of some rows with a state, as the codes say."""
        coded = np.zeros(len(self._codes) * live_scan.PANEL, np.int16)
        sizes = live_scan.coded_state(state, self._levels, coded)
        out, peaks = np.empty(len(rows), np.float32), np.empty((3, -(-len(rows) // live_scan.BLOCK)), np.float32)
        none = np.zeros(len(rows), np.float32)
        live_scan.scan(self._codes, self._scales, self._slack, coded, sizes, rows, none, out, peaks)
        return out


class LiveCodes:
    """The codes of the rows as they are and of the anchor's; told by who writes the rows, as a watcher of the weights.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        self.live, self.anchor = RowCodes(width), RowCodes(width)
        self._moment: tuple[int, ...] | None = None

    def note(self, tables: Any, rows: I32) -> None:
        """Rows are about to change."""
        self.moved(rows)

    def grow(self, rows: int) -> None:
        """New rows are found when a list is made."""

    def moved(self, rows: I32 | None) -> None:
        """Rows have other values; None: all of them."""
        self.live.mark(rows)
        self.anchor.mark(rows)

    def anchored(self, moment: tuple[int, ...]) -> None:
        """The anchor is that of a moment: where it is another one than before, its rows are coded anew."""
        if moment != self._moment:
            self._moment = moment
            self.anchor.mark(None)

