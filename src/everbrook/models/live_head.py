"""Which items of a large catalogue the live model scores for a list: the likely ones all, of the others a sample.

A lift multiplies popularity, so nearly all of the probability lies on items that are popular by now. For the others the
denominator is estimated by importance sampling: rows drawn by their popularity stand for all of them (a Monte Carlo
estimate without bias; Bengio & Senecal 2003). Rows outside are still scored exactly where another expert proposes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everbrook.models import live_kernels as kernels
from everbrook.models.live_codes import RowCodes
from everbrook.models.sequence_kernels import best_rows
from everbrook.types import F32, I32


@dataclass(frozen=True, slots=True)
class Head:
    """The likely items of a moment."""

    rows: I32  # (H,) ascending
    log_prior: F32  # (H,)
    others: I32  # (T,) drawn from the rest by popularity, with repeats; empty where there is no rest
    log_rest: float  # logarithm of the prior of all the others together

    def answer(self, table: F32, state: F32, kept: tuple[I32, F32], limit: int) -> tuple[float, I32]:
        """The logarithm of the denominator and the best rows, best first.

        Args:
            table: (N, D)
            state: (D,)
            kept: (N,) where a row has another value and (R, D) those values; see `live_kernels.lifts`.
            limit: how many rows.
        """
        scores = np.empty(len(self.rows), np.float32)
        kernels.lifts(table, state, *kept, self.rows, scores)
        log_all = float(kernels.log_total(scores, self.log_prior))
        if len(self.others):
            lifts = np.empty(len(self.others), np.float32)
            kernels.lifts(table, state, *kept, self.others, lifts)
            log_all = self._with_others(log_all, lifts)
        return log_all, self.rows[best_rows(scores, limit)]

    def coded_answer(
        self, codes: RowCodes, state: F32, kept: tuple[I32, F32], limit: int
    ) -> tuple[float, I32] | None:
        """The same by codes that are kept up with the table; None where they do not help.

        Args:
            codes: of the table's rows.
            state: see `answer`.
            kept: see `answer`.
            limit: see `answer`.
        """
        found = codes.best(state, kept, self.rows, self.log_prior, limit)
        if found is None or not len(self.others):
            return found
        return self._with_others(found[0], codes.lifts(state, self.others)), found[1]

    def _with_others(self, log_all: float, lifts: F32) -> float:
        top = float(lifts.max())
        mean = math.log(float(np.exp(lifts - np.float32(top)).mean(dtype=np.float64))) + top
        return float(np.logaddexp(log_all, mean + self.log_rest))


def head_of(log_prior: F32, limit: int, sampled: int, seed: int) -> Head:
    """The likely items.

    Args:
        log_prior: (N,)
        limit: H, how many are scored at the most.
        sampled: T, how many stand for the rest.
        seed: of what is drawn.
    """
    N = len(log_prior)
    if limit >= N:
        return Head(np.arange(N, dtype=np.int32), log_prior, np.empty(0, np.int32), -math.inf)
    parted = np.argpartition(log_prior, N - limit)
    likely = np.zeros(N, np.bool_)
    likely[parted[N - limit :]] = True
    rows, rest = (np.flatnonzero(part).astype(np.int32) for part in (likely, ~likely))
    prior = np.exp(log_prior[rest].astype(np.float64))
    summed = np.cumsum(prior)
    draws = np.random.default_rng(seed).random(sampled) * summed[-1]
    others = rest[np.minimum(np.searchsorted(summed, draws, side="right"), len(rest) - 1)]
    return Head(rows, log_prior[rows], np.sort(others), math.log(max(float(summed[-1]), 1e-300)))
