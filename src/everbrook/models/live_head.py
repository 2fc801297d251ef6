"""Which items of a large catalogue the live model scores for a list: the likely ones all, of the others a sample.

A lift multiplies popularity, so nearly all of the probability lies on items that are popular by now. For the others the
denominator is estimated by importance sampling: rows drawn by their popularity stand for all of them (a Monte Carlo
estimate without bias; Bengio & Senecal 2003). Rows outside are still scored exactly where another expert proposes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from everbrook.models import live_kernels as kernels
from everbrook.models.live_exp import exp_all
from everbrook.models.live_prior import LivePrior
from everbrook.models.sequence_kernels import best_rows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, F64, I32, Query

_MOST_KEPT = 8  # scenarios whose likely items are kept


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
    rows = _likeliest(log_prior, limit)
    draws = np.sort(np.random.default_rng(seed).random(sampled))
    others, rest = _drawn(log_prior, rows, draws)
    return Head(rows, log_prior[rows], others, math.log(max(rest, 1e-300)))


class Heads:
    """The likely items of the scenarios that were asked about lately, with the prior over them.

    Args:
        settings: of the live model.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._kept: dict[int, tuple[int, int, Head]] = {}

    def clear(self) -> None:
        """Keep none of them."""
        self._kept = {}

    def of(self, query: Query, prior: LivePrior, items: int) -> Head:
        """The likely items, not older than the settings say.

        Args:
            query: of the moment and the scenario.
            prior: of the items.
            items: N.
        """
        s, kept = self._settings, self._kept.get(query.scenario)
        if kept is not None and (kept[1] == items or len(kept[2].others)):
            age_ms = query.now_ms - kept[0]
            if 0 <= age_ms <= 1000 * s.prior_refresh_s:
                return kept[2]
        log_prior = prior.logs_of_all(query.scenario, query.now_ms, items)
        head = head_of(log_prior, s.scored, s.sampled, s.seed)
        if query.scenario not in self._kept and len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[query.scenario] = (query.now_ms, items, head)
        return head


@njit(cache=True)
def _likeliest(log_prior: F32, limit: int) -> I32:
    """(limit,) the rows of the highest logarithms below 0, ascending; of equal ones the first.

    Bits of negative numbers rise as they fall: two ways through all rows count the halves of these bits, and a third
    takes the rows. Source: Knuth, 'The art of computer programming' volume 3, 5.2.5 (sorting by distribution).
    """
    shift, mask, prefix, left = np.int64(16), np.int64(0xFFFF), np.int64(0), limit
    for _ in range(2):
        counts = np.zeros(65536, np.int64)
        for i in range(len(log_prior)):
            bits = np.int64(np.float32(log_prior[i]).view(np.int32)) & np.int64(0x7FFFFFFF)
            if shift == 16 or bits >> 16 == prefix:
                counts[(bits >> shift) & mask] += 1
        part = np.int64(0)
        while counts[part] < left:
            left -= counts[part]
            part += 1
        prefix, shift = (prefix << 16) | part, np.int64(0)
    rows, count = np.empty(limit, np.int32), 0
    for i in range(len(log_prior)):
        bits = np.int64(np.float32(log_prior[i]).view(np.int32)) & np.int64(0x7FFFFFFF)
        if bits < prefix or (bits == prefix and left > 0):
            left -= bits == prefix
            rows[count] = i
            count += 1
    return rows


@njit(cache=True)
def _drawn(log_prior: F32, rows: I32, draws: F64) -> tuple[I32, float]:
    """Rows drawn from those that are not among `rows`, by their probabilities, and what these are together.

    Args:
        log_prior: (N,)
        rows: ascending.
        draws: (T,) numbers from 0 to 1, ascending.
    """
    N, size = len(log_prior), 1024
    prior, blocks = np.empty(N, np.float32), np.zeros((N + size - 1) // size)
    exp_all(log_prior, prior)
    prior[rows] = 0.0
    for block in range(len(blocks)):
        blocks[block] = np.sum(prior[block * size : (block + 1) * size].astype(np.float64))
    total, summed, i = np.sum(blocks), 0.0, 0
    last, out = int(np.argmax(prior)), np.empty(len(draws), np.int32)
    for t in range(len(draws)):
        wanted = draws[t] * total
        while i < N and summed <= wanted:
            if i % size == 0 and i + size < N and summed + blocks[i // size] <= wanted:
                summed += blocks[i // size]
                i += size
                continue
            summed += np.float64(prior[i])
            last = i if prior[i] > 0.0 else last
            i += 1
        out[t] = last
    return out, total
