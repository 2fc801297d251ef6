"""What several histories lead to under one set of weights, in one compiled call: states, denominators, best rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np
from numba import njit

from everbrook.models.live_exp import exp_below
from everbrook.models.live_kernels import lifts, log_total
from everbrook.models.live_scan import answers
from everbrook.models.live_states import states_of
from everbrook.models.sequence_kernels import best_rows
from everbrook.types import F32, F64, I32, I64, Query

AT_ONCE = 8  # states that are held against the rows at once; their scores are kept: 36 bytes a row
_SUMS = {"contract", "reassoc"}  # what lets the compiler add several products at a time


@dataclass(slots=True)
class Answers:
    """What B histories lead to."""

    queries: Sequence[Query]  # kept, so that their identities are theirs
    states: F32  # (B, D)
    log_all: F64  # (B,) logarithms of the denominators; infinite for those without a history
    awake: int  # how many have one
    anchors: list[bool]  # (B,) whether the anchor answers
    alike: bool  # whether all are of one moment and scenario, under the same weights
    best: I32  # (B, limit) the best rows, best first
    counts: I64  # (B,) how many those are

    def are_of(self, queries: Sequence[Query]) -> bool:
        """Whether they answer these very queries."""
        return len(self.queries) == len(queries) and all(map(is_, self.queries, queries))

    def place_of(self, query: Query) -> int:
        """Where this very query stands; -1: nowhere."""
        for b, asked in enumerate(self.queries):
            if asked is query:
                return b
        return -1

    def alike_to(self, query: Query, anchor: bool) -> int:
        """Which of them is one of the same weights to the same question; -1: none."""
        for b, asked in enumerate(self.queries):
            same = (asked.now_ms, asked.actor, asked.scenario) == (query.now_ms, query.actor, query.scenario)
            if same and self.anchors[b] == anchor and np.array_equal(asked.items, query.items):
                return b
        return -1


@njit(cache=True, nogil=True)
def answered(
    asked: Any, chosen: I64, model: Any, shelf: Any, terms: Any, head: Any, log_rest: float, codes: Any, levels: int,
    states: F32, log_all: F64, best: I32, counts: I64,
) -> int:  # fmt: skip
    """For each history the state, the logarithm of the denominator, and the best rows, best first.

    What belongs together is given as plain tuples: which arrays those hold is found out in a tenth of the time.

    Args:
        asked: see `live_states.states_of`.
        chosen: (Q,) which of B queries are asked about; those without a history get nothing.
        model: a `Table` of the rows as a plain tuple, the edges of the codes of gaps, and `live_one.weights_of`.
        shelf: see `live_states.states_of`.
        terms: see `live_states.states_of`.
        head: (M,) the likely rows, ascending, (M,) their logarithms of the prior, and (T,) others; see `Head`.
        log_rest: logarithm of the prior of all the others together.
        codes: of the likely rows and of the others a `Coded`, the `rows` of `live_scan.answer`, (T,) zeros, and a
            `Scratch`, all as plain tuples.
        levels: of coded states; 0: the rows are looked at as they are.
        states: (B, D), out.
        log_all: (B,), out; infinite for those that get nothing.
        best: (B, limit), out.
        counts: (B,), out: how many of the best there are.

    Returns:
        how many got something.
    """
    numbers, limit, awake = asked[3], best.shape[1], np.empty(len(chosen), np.int64)
    n = 0
    for at in chosen:
        log_all[at], counts[at] = math.inf, 0
        awake[n] = at
        n += numbers[at + 1, 0] > numbers[at, 0]
    rows, log_prior, others = head
    plain, edges, weights = model
    coded, stand, looked, even, room = codes
    for start in range(0, n, AT_ONCE):
        own = awake[start : min(start + AT_ONCE, n)]
        found, found_best = np.empty((len(own), states.shape[1]), np.float32), np.empty((len(own), limit), np.int32)
        logs, kept = np.empty(len(own)), np.full(len(own), -1)
        states_of(asked, own, plain, edges, weights, shelf, terms, found)
        if levels:
            answers(
                found, levels, coded, plain, looked, log_prior, stand, log_rest, even, room, logs, found_best, kept
            )  # fmt: skip
        for q in range(len(own)):
            at = own[q]
            if kept[q] <= 0:
                logs[q], kept[q] = _plain(found[q], plain, rows, log_prior, others, log_rest, found_best[q])
            states[at], log_all[at], counts[at] = found[q], logs[q], kept[q]
            for k in range(kept[q]):
                best[at, k] = found_best[q, k]
    return n


@njit(cache=True, fastmath=_SUMS)
def _plain(
    state: F32, plain: Any, rows: I32, log_prior: F32, others: I32, log_rest: float, best: I32
) -> tuple[float, int]:
    """The same for one state where codes do not help: by the rows as they are."""
    table, place, buffer = plain
    scores = np.empty(len(rows), np.float32)
    lifts(table, state, place, buffer, rows, scores)
    log_all = log_total(scores, log_prior)
    places = best_rows(scores, len(best))
    for k in range(len(places)):
        best[k] = rows[places[k]]
    if len(others):
        of_others, top, total = np.empty(len(others), np.float32), np.float32(-1e30), 0.0
        lifts(table, state, place, buffer, others, of_others)
        for lift in of_others:
            top = max(top, lift)
        for lift in of_others:
            total += np.float64(exp_below(top - lift))
        rest = np.float64(top) + math.log(total / len(others)) + log_rest
        log_all = max(log_all, rest) + math.log1p(math.exp(-abs(log_all - rest)))
    return log_all, len(places)
