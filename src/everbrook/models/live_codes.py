"""A coded copy of item rows, a quarter of their size, that lists scan in the place of the rows themselves.

It only narrows down: the rows that may be among the best, and those that make up most of the denominator, are looked at
as they are. Nothing is approximate about which rows are the best; of the denominator, the parts below a ten-thousandth
count with the error of their code, which is known, has no sign, and is far below that of a prior of two seconds ago.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from everbrook.models import live_scan
from everbrook.models.sequence_kernels import best_rows
from everbrook.types import F32, F64, I32

LEAST_ROWS = 8_192
"""Fewer rows are multiplied as they are: that costs no more."""
_MOST_FOUND = 16_384  # rows looked at as they are; where more may be among the best, coding gains nothing
_AT_ONCE = 4  # states that are held against the rows at once: their scores must not fill the nearer memory
_MOST_PICKED = 8  # parts of the rows whose codes lie together too
_ALL = np.empty(0, np.int32)


@dataclass(slots=True)
class _Coded:
    """Codes of some rows, side by side."""

    codes: live_scan.I8  # (P, M, 64)
    scales: F32  # (M,)
    slack: F32  # (M,)
    _most: F32 = field(default_factory=lambda: np.zeros(0, np.float32))

    def changed(self) -> None:
        """Codes are other ones now."""
        self._most = np.zeros(0, np.float32)

    def most(self, rows: int) -> F32:
        """(G,) the greatest slack of each group of the first rows."""
        if len(self._most) != -(-rows // live_scan.GROUP):
            self._most = live_scan.widest(self.slack, rows)
        return self._most

    def take(self, to: I32, other: _Coded, at: I32) -> None:
        """Let places have what others' places have."""
        for panel in range(len(self.codes)):
            self.codes[panel, to] = other.codes[panel, at]
        self.scales[to], self.slack[to] = other.scales[at], other.slack[at]
        self.changed()


def _room_for(width: int, rows: int) -> _Coded:
    codes = np.zeros((-(-width // live_scan.PANEL), rows, live_scan.PANEL), np.int8)
    return _Coded(codes, np.zeros(rows, np.float32), np.zeros(rows, np.float32))


class RowCodes:
    """Codes of the rows of one table, some of which may have other values than it; kept up with what changes.

    What is asked about is coded, when it is: of a large catalogue lists want the likely items, and all of them never.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._levels = live_scan.state_levels(width)
        self._table: F32 | None = None  # whose rows were coded
        self._kept: tuple[I32, F32] = (_ALL, np.empty((0, width), np.float32))  # see `keep_up`
        self._origin: object = None  # of the table: one that only became longer keeps it
        self._count = 0  # of its rows
        self._all, self._n_all = _room_for(width, 0), 0  # of all rows, and how many of the first are coded
        self._picked: dict[int, tuple[I32, _Coded]] = {}  # by the identity of the rows
        self._moved: list[I32] = []
        self._scores: F32 = np.zeros(0, np.float32)  # of a scan; its content means nothing afterwards
        self._found: I32 = np.zeros(_MOST_FOUND, np.int32)

    def mark(self, rows: I32 | None) -> None:
        """Note that rows have, or are about to have, other values; None: all of them."""
        if rows is None or sum(map(len, self._moved)) + len(rows) > self._count:
            self._n_all, self._picked, self._moved = 0, {}, []
        else:
            self._moved.append(np.array(rows, np.int32))

    def keep_up(self, table: F32, kept: tuple[I32, F32], count: int, origin: object = None) -> None:
        """Code what was coded and is not coded as it is now.

        Args:
            table: (N, D)
            kept: (N,) where a row has another value and (R, D) those values; see `live_kernels.lifts`.
            count: how many rows there are.
            origin: what a table that only became longer has in common with the one before; None: nothing.
        """
        same = table is self._table or (origin is not None and origin is self._origin)
        if not same or count < self._count:
            self.mark(None)
        self._table, self._kept, self._origin, self._count = table, kept, origin, count
        if not self._moved:
            return
        changed = np.unique(np.concatenate(self._moved))
        changed, self._moved = changed[changed < count], []
        of_all = changed[changed < self._n_all]
        self._code(of_all, self._all, of_all)
        for rows_of, picked in self._picked.values():
            places, rows = live_scan.where(rows_of, changed)
            self._code(rows, picked, places)

    def _code(self, rows: I32, into: _Coded, places: I32) -> None:
        assert self._table is not None  # who asks has said which
        if len(rows):
            live_scan.code_rows(
                self._table, *self._kept, rows, places, self._levels, into.codes, into.scales, into.slack
            )
            into.changed()

    def _every(self) -> _Coded:
        """The codes of all rows."""
        if self._count > len(self._all.scales):
            assert self._table is not None
            room, n = _room_for(self.width, max(self._count, len(self._table))), self._n_all
            room.codes[:, :n], room.scales[:n] = self._all.codes[:, :n], self._all.scales[:n]
            room.slack[:n] = self._all.slack[:n]
            self._all = room
        new = np.arange(self._n_all, self._count, dtype=np.int32)
        self._code(new, self._all, new)
        self._n_all = self._count
        return self._all

    def _of(self, rows: I32) -> _Coded:
        """The codes of some rows side by side: to read them from all over a large table takes longer than to scan."""
        held = self._picked.get(id(rows))
        if held is not None and held[0] is rows:
            return held[1]
        picked, lacking = _room_for(self.width, len(rows)), rows >= self._n_all
        there = np.flatnonzero(~lacking).astype(np.int32)
        picked.take(there, self._all, rows[there])
        for others, coded in reversed(self._picked.values()):  # of rows that were likely lately most still are
            if not len(others) or not lacking.any():
                continue
            at = np.minimum(np.searchsorted(others, rows), len(others) - 1).astype(np.int32)
            there = np.flatnonzero(lacking & (others[at] == rows)).astype(np.int32)
            picked.take(there, coded, at[there])
            lacking[there] = False
        left = np.flatnonzero(lacking).astype(np.int32)
        self._code(rows[left], picked, left)
        if len(self._picked) >= _MOST_PICKED:
            del self._picked[next(iter(self._picked))]
        self._picked[id(rows)] = rows, picked
        return picked

    def best(
        self, states: F32, kept: tuple[I32, F32], rows: I32, log_prior: F32, limit: int
    ) -> list[tuple[float, I32] | None]:
        """For each state the logarithm of the denominator over rows, and the best of them, best first.

        Args:
            states: (Q, D)
            kept: see `keep_up`.
            rows: (M,) ascending, never written to, kept by who asks; all that are coded where M is their number.
            log_prior: (M,)
            limit: how many of the best.

        Returns:
            None for those whom codes do not help.
        """
        M, found = len(rows), list[tuple[float, I32] | None]()
        if self._table is None or not 0 < limit <= M // (2 * live_scan.GROUP):
            return [None] * len(states)
        every = self._count == M
        coded = self._every() if every else self._of(rows)
        most = coded.most(M)
        for start in range(0, len(states), _AT_ONCE):
            part = states[start : start + _AT_ONCE]
            scores, highs, sizes = self._scan(part, coded, log_prior, len(most))
            for q in range(len(part)):
                log_all, places, exact = live_scan.answer(
                    scores[q], highs[q], most, float(sizes[q, 1]), self._table, *kept, part[q], _ALL if every else rows,
                    log_prior, limit, self._found,
                )  # fmt: skip
                found.append((log_all, rows[places[best_rows(exact, limit)]]) if len(places) else None)
        return found

    def _scan(self, states: F32, coded: _Coded, log_prior: F32, groups: int) -> tuple[F32, F32, F64]:
        Q, M = len(states), len(log_prior)
        if self._scores.size < Q * M:
            self._scores = np.empty(Q * M, np.float32)
        scores, highs = self._scores[: Q * M].reshape(Q, M), np.empty((Q, groups), np.float32)
        levels, sizes = np.zeros((Q, len(coded.codes) * live_scan.PANEL), np.int16), np.empty((Q, 2))
        live_scan.coded_states(states, self._levels, levels, sizes)
        live_scan.scan(coded.codes, coded.scales, coded.slack, levels, sizes, log_prior, scores, highs)
        return scores, highs, sizes

    def lifts(self, state: F32, rows: I32) -> F32:
        """(M,) products of some rows, never written to, with a state, as the codes say."""
        out, coded = np.empty(len(rows), np.float32), self._of(rows)
        live_scan.coded_lifts(coded.codes, coded.scales, state, self._levels, out)
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

