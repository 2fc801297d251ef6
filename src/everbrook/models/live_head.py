"""Which items of a large catalogue the live model scores for a list: the likely ones all, of the others a sample.

A lift multiplies popularity, so nearly all of the probability lies on items that are popular by now. For the others the
denominator is estimated by importance sampling: rows drawn by their popularity stand for all of them (a Monte Carlo
estimate without bias; Bengio & Senecal 2003). Rows outside are still scored exactly where another expert proposes them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from everbrook.models import live_kernels as kernels
from everbrook.models.live_prior import LivePrior
from everbrook.models.sequence_kernels import best_rows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, F64, I32, Query

LARGE = 200_000
"""Of fewer items the likely ones are found in a few milliseconds."""
_MOST_KEPT = 8  # scenarios whose likely items are kept
_TURN = np.int64(0x7FFFFFFF)


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


def head_of(prior: F32, limit: int, sampled: int, seed: int) -> Head:
    """The likely items.

    Args:
        prior: (N,) above 0; written over.
        limit: H, how many are scored at the most.
        sampled: T, how many stand for the rest.
        seed: of what is drawn.
    """
    N = len(prior)
    if limit >= N:
        return Head(np.arange(N, dtype=np.int32), np.log(prior), np.empty(0, np.int32), -math.inf)
    rows, likely, others = np.empty(limit, np.int32), np.empty(limit, np.float32), np.empty(sampled, np.int32)
    rest = _divided(prior, rows, likely, np.sort(np.random.default_rng(seed).random(sampled)), others)
    return Head(rows, np.log(likely), others, math.log(max(rest, 1e-300)))


class Heads:
    """The likely items of the scenarios that were asked about lately, with the prior over them.

    Args:
        settings: of the live model.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._kept: dict[int, tuple[int, int, Head]] = {}
        self._renewing: threading.Thread | None = None
        self.beside = False
        """Whether those of large catalogues are renewed in a thread, while lists go on from ones up to twice as old."""

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
            age_s = (query.now_ms - kept[0]) / 1000.0
            if 0.0 <= age_s <= s.prior_refresh_s:
                return kept[2]
            if self.beside and items >= LARGE and 0.0 <= age_s <= 2.0 * s.prior_refresh_s:
                self._renew(query, prior, items)
                return kept[2]
        made = self._make(query.now_ms, prior.of_all(query.scenario, query.now_ms, items))
        if query.scenario not in self._kept and len(self._kept) >= _MOST_KEPT:
            del self._kept[list(self._kept)[0]]  # noqa: RUF015  at once: a thread may write meanwhile
        self._kept[query.scenario] = made
        return made[2]

    def _renew(self, query: Query, prior: LivePrior, items: int) -> None:
        if self._renewing is not None and self._renewing.is_alive():
            return
        kept, scenario, now_ms = self._kept, query.scenario, query.now_ms
        found = prior.of_all(scenario, now_ms, items)

        def renew() -> None:
            made = self._make(now_ms, found)
            if scenario in kept:
                kept[scenario] = made

        self._renewing = threading.Thread(target=renew, name="everbrook-likely", daemon=True)
        self._renewing.start()

    def _make(self, now_ms: int, found: Callable[[], F32]) -> tuple[int, int, Head]:
        s, prior = self._settings, found()
        return now_ms, len(prior), head_of(prior, s.scored, s.sampled, s.seed)


@njit(cache=True, nogil=True)
def _divided(prior: F32, rows: I32, likely: F32, draws: F64, others: I32) -> float:
    """The likely rows and their probabilities, and rows drawn from the others; gives what the others are together.

    Args:
        prior: (N,) of all rows; of the likely ones it becomes 0.
        rows: (H,), out: ascending.
        likely: (H,), out.
        draws: (T,) numbers from 0 to 1, ascending.
        others: (T,), out: ascending, with repeats.
    """
    _likeliest(prior, rows)
    for i in range(len(rows)):
        likely[i] = prior[rows[i]]
        prior[rows[i]] = np.float32(0.0)
    return _drawn(prior, draws, others)


@njit(cache=True)
def _likeliest(prior: F32, rows: I32) -> None:
    """The rows of the highest numbers above 0, ascending, into (H,) `rows`; of equal ones the first.

    Bits of such numbers rise with them: two ways through all rows count the halves of these bits, turned round, and a
    third takes the rows. Source: Knuth, 'The art of computer programming' volume 3, 5.2.5 (sorting by distribution).
    """
    shift, mask, prefix, left = np.int64(16), np.int64(0xFFFF), np.int64(0), len(rows)
    for _ in range(2):
        counts = np.zeros(65536, np.int64)
        for i in range(len(prior)):
            bits = _TURN - np.int64(np.float32(prior[i]).view(np.int32))
            if shift == 16 or bits >> 16 == prefix:
                counts[(bits >> shift) & mask] += 1
        part = np.int64(0)
        while counts[part] < left:
            left -= counts[part]
            part += 1
        prefix, shift = (prefix << 16) | part, np.int64(0)
    count = 0
    for i in range(len(prior)):
        bits = _TURN - np.int64(np.float32(prior[i]).view(np.int32))
        if bits < prefix or (bits == prefix and left > 0):
            left -= bits == prefix
            rows[count] = i
            count += 1


@njit(cache=True)
def _drawn(prior: F32, draws: F64, out: I32) -> float:
    """Rows drawn by their probabilities, and what these are together.

    Args:
        prior: (N,)
        draws: (T,) numbers from 0 to 1, ascending.
        out: (T,)
    """
    N, size = len(prior), 1024
    blocks = np.zeros((N + size - 1) // size)
    for block in range(len(blocks)):
        blocks[block] = _sum(prior[block * size : (block + 1) * size])
    total, summed, i, last = np.sum(blocks), 0.0, 0, 0
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
    return total


@njit(cache=True, fastmath={"reassoc"})
def _sum(values: F32) -> float:
    total = 0.0
    for i in range(len(values)):
        total += np.float64(values[i])
    return total
