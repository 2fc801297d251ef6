"""A coded copy of item rows, a quarter of their size, that lists scan in the place of the rows themselves.

It only narrows down: the rows that may be among the best, and those that make up most of the denominator, are looked at
as they are. Nothing is approximate about which rows are the best; of the denominator, the parts below a thousandth
count with the error of their code, which is known, has no sign, and is far below that of a prior of two seconds ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from everbrook.models import live_scan
from everbrook.models.live_block import ROWS
from everbrook.models.live_scan import Coded, Scratch
from everbrook.types import F32, I32

LEAST_ROWS = 8_192
"""Fewer rows are multiplied as they are: that costs no more."""
_MOST_FOUND = 16_384  # rows looked at as they are; where more may be among the best, coding gains nothing
_AT_ONCE = 8  # states that are held against the rows at once; see `live_answers`
_MOST_PICKED = 16  # parts of the rows whose codes lie together too
_IDLE = 32  # times that rows moved after which codes that nobody asked for are dropped
_FEW = 64  # rows that are coded anew rather than looked for among the codes of others
_ALL = np.empty(0, np.int32)


def _room_for(width: int, rows: int) -> Coded:
    blocks = -(-rows // ROWS)
    codes = np.zeros((blocks, -(-width // 2), ROWS, 2), np.int8)
    return Coded(codes, np.zeros(blocks * ROWS, np.float32), np.zeros(blocks * ROWS, np.float32))


@dataclass(slots=True)
class _Picked:
    """Codes of some rows that lie together."""

    rows: I32  # ascending, repeats allowed
    coded: Coded
    idle: int = 0  # times that rows moved since somebody asked


class RowCodes:
    """Codes of the rows of one table, some of which may have other values than it; kept up with what changes.

    What is asked about is coded, when it is: of a large catalogue lists want the likely items, and all of them never.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.levels = live_scan.state_levels(width)
        self._table: F32 | None = None  # whose rows were coded
        self._kept: tuple[I32, F32] = (_ALL, np.empty((0, width), np.float32))  # see `keep_up`
        self._origin: object = None  # of the table: one that only became longer keeps it
        self._count = 0  # of its rows
        self._all, self._n_all = _room_for(width, 0), 0  # of all rows, and how many of the first are coded
        self._picked: dict[int, _Picked] = {}  # by the identity of the rows
        self._moved: list[I32] = []
        self._even = np.zeros(0, np.float32)  # as many as the others are
        none = np.zeros((_AT_ONCE, 0), np.float32)
        self._scratch = Scratch(none, none, np.zeros(_MOST_FOUND, np.int32))
        coded = tuple(self._all)
        self.nothing = (coded, coded, _ALL, self._even, tuple(self._scratch))  # `ready`, where codes do not help

    def mark(self, rows: I32 | None) -> None:
        """Note that rows have, or are about to have, other values; None: all of them."""
        if not self.is_coded():
            return
        if rows is None or sum(map(len, self._moved)) + len(rows) > self._count:
            self._n_all, self._picked, self._moved = 0, {}, []
        else:
            self._moved.append(np.array(rows, np.int32))

    def is_coded(self) -> bool:
        """Whether anything is, so that it must be kept up."""
        return self._n_all > 0 or bool(self._picked)

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
        moved = self._moved[0] if len(self._moved) == 1 else np.unique(np.concatenate(self._moved))
        self._moved = []
        if self._n_all:
            of_all = moved[moved < self._n_all]
            self._code(of_all, self._all, of_all)
        for name, one in list(self._picked.items()):
            one.idle += 1
            if one.idle > _IDLE:  # rows that are likely no more, most probably
                del self._picked[name]
            else:
                live_scan.code_moved((table, *kept), moved, one.rows, self.levels, tuple(one.coded))

    def _code(self, rows: I32, into: Coded, places: I32) -> None:
        assert self._table is not None  # who asks has said which
        if len(rows):
            live_scan.code_rows((self._table, *self._kept), rows, places, self.levels, tuple(into))

    def _every(self) -> Coded:
        """The codes of all rows."""
        if self._count > len(self._all.scales):
            assert self._table is not None
            room, n = _room_for(self.width, max(self._count, len(self._table))), len(self._all.scales)
            room.codes[: n // ROWS], room.scales[:n], room.slack[:n] = self._all
            self._all = room
        new = np.arange(self._n_all, self._count, dtype=np.int32)
        self._code(new, self._all, new)
        self._n_all = self._count
        return self._all

    def _of(self, rows: I32) -> Coded:
        """The codes of some rows side by side: to read them from all over a large table takes longer than to scan."""
        held = self._picked.get(id(rows))
        if held is not None and held.rows is rows:
            held.idle = 0
            return held.coded
        made, lacking = _Picked(rows, _room_for(self.width, len(rows))), rows >= self._n_all
        live_scan.take_first(made.coded, rows, self._all, self._n_all)
        left = int(np.count_nonzero(lacking))
        newest = [*self._picked.values()]
        newest.reverse()
        newest.sort(key=lambda one: -len(one.rows))
        for one in newest:
            if left <= _FEW:  # of rows that were likely lately most still are
                break
            left = live_scan.take_shared(made.coded, rows, lacking, one.coded, one.rows)
        places = np.flatnonzero(lacking).astype(np.int32)
        self._code(rows[places], made.coded, places)
        if len(self._picked) >= _MOST_PICKED:
            del self._picked[max(self._picked, key=lambda name: self._picked[name].idle)]
        self._picked[id(rows)] = made
        return made.coded

    def ready(self, rows: I32, others: I32, limit: int) -> tuple[Any, ...] | None:
        """What `live_answers.answered` wants of the codes; None where they do not help.

        Args:
            rows: (M,) ascending, never written to, kept by who asks; all that are coded where M is their number.
            others: (T,) rows that stand for all that are not among these, ascending, kept as they are.
            limit: how many of the best are asked for.
        """
        M = len(rows)
        if self._table is None or not 0 < limit <= M // (2 * live_scan.GROUP):
            return None
        every = self._count == M
        coded = tuple(self._every() if every else self._of(rows))
        stand = tuple(self._of(others)) if len(others) else coded
        if len(self._even) != len(others):
            self._even = np.zeros(len(others), np.float32)
        return coded, stand, _ALL if every else rows, self._even, tuple(self._room(max(M, len(others))))

    def best(
        self, states: F32, kept: tuple[I32, F32], rows: I32, log_prior: F32, limit: int, others: I32 = _ALL,
        log_rest: float = -np.inf,
    ) -> list[tuple[float, I32] | None]:  # fmt: skip
        """For each state the logarithm of the denominator over rows, and the best of them, best first.

        Args:
            states: (Q, D), at most 8.
            kept: see `keep_up`.
            rows: see `ready`.
            log_prior: (M,)
            limit: how many of the best.
            others: see `ready`.
            log_rest: logarithm of the prior of all of those together.

        Returns:
            None for those whom codes do not help.
        """
        ready, Q = self.ready(rows, others, limit), len(states)
        if ready is None:
            return [None] * Q
        coded, stand, looked, even, room = ready
        log_all, counts, best = np.empty(Q), np.empty(Q, np.int64), np.empty((Q, limit), np.int32)
        live_scan.answers(
            states, self.levels, coded, (self._table, *kept), looked, log_prior, stand, log_rest, even, room, log_all,
            best, counts,
        )  # fmt: skip
        told = zip(log_all.tolist(), best, counts.tolist(), strict=True)
        return [(log, rows_of[:n]) if n > 0 else None for log, rows_of, n in told]

    def _room(self, rows: int) -> Scratch:
        blocks = -(-rows // ROWS)
        if blocks > self._scratch.highs.shape[1]:
            blocks += ROWS  # some more, for catalogues grow
            scores, highs = (np.zeros((_AT_ONCE, count), np.float32) for count in (blocks * ROWS, blocks))
            self._scratch = Scratch(scores, highs, self._scratch.found)
        return self._scratch

    def lifts(self, state: F32, rows: I32) -> F32:
        """(M,) products of some rows, never written to, with a state, as the codes say."""
        coded, scratch = self._of(rows), self._room(len(rows))
        levels, sizes = np.zeros((1, 2 * coded.codes.shape[1]), np.int16), np.empty((1, 2), np.float32)
        asked, even = live_scan.Asked(levels, sizes), np.zeros(len(rows), np.float32)
        live_scan.coded_states(state[None], self.levels, asked)
        live_scan.scan(coded, asked, even, scratch, np.empty((1, 2)))
        return scratch.scores[0, : len(rows)].copy()


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

