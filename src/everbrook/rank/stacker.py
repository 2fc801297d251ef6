"""The log-linear pool: a conditional logit over the candidates, learned online, per context.

score(i) = (theta + delta[context]) . x(i), where x holds the logarithms of the experts' probabilities and a few
facts about the item; the probability is the softmax over the candidates, times the share of events whose item is
among the candidates. Source: log-linear opinion pools (Genest & Zidek 1986), learned as the conditional logit of
McFadden (1974) with Adagrad (Duchi et al. 2011).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from everbrook.rank.pools import logit, share_inside
from everbrook.types import F32, F64, I32, I64, Query

AGE_EDGES_MS = np.array([600_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000], dtype=np.int64)
FACTS = 4 + len(AGE_EDGES_MS) + 1  # in session, last item, in older history, recency, one-hot age
EXTRAS = FACTS + 1  # and the log of the pool where the item is in the session
CLIP = 12.0  # of a log-ratio
INSIDE_RATE = 0.1


@njit(cache=True)
def facts(rows, items, session_n, first_seen_ms, now_ms, edges, stamp, out):  # type: ignore[no-untyped-def]
    """Facts about each candidate that no expert's probability tells.

    Args:
        rows: (M,) candidates.
        items: (L,) the history, oldest first.
        session_n: how many of the last belong to the session.
        first_seen_ms: (N,) when each item was first seen; 0 where never.
        now_ms: the moment.
        edges: (A,) ages that part the buckets.
        stamp: (N,) scratch of zeros, left as zeros.
        out: (M, 4 + A + 1), out: in session, last item, in older history, recency, one-hot age.
    """
    length = len(items)
    for j in range(length):
        stamp[items[j]] = j + 1
    for i in range(len(rows)):
        out[i, :] = 0.0
        at = stamp[rows[i]]
        if at > 0:
            back = length - at
            if back < session_n:
                out[i, 0] = 1.0
            else:
                out[i, 2] = 1.0
            if back == 0:
                out[i, 1] = 1.0
            out[i, 3] = 1.0 / (1.0 + back)
        first_ms = first_seen_ms[rows[i]]
        age = now_ms - first_ms if first_ms > 0 else 0
        bucket = 0
        while bucket < len(edges) and age > edges[bucket]:
            bucket += 1
        out[i, 4 + bucket] = 1.0
    for j in range(length):
        stamp[items[j]] = 0


@njit(cache=True)
def lay_out(p, logs, log_base, log_pooled, out):  # type: ignore[no-untyped-def]
    """Logarithms into the first columns of out (M, F), of each column against the base and of each pool; 0 elsewhere.

    Args:
        p: (M, E), 0 where asleep.
        logs: (M, E) of p.
        log_base: (M,)
        log_pooled: (M, J)
        out: (M, F), out.
    """
    clip = np.float32(CLIP)
    rows, columns = p.shape
    pools = log_pooled.shape[1]
    for i in range(rows):
        for e in range(columns):
            ratio = logs[i, e] - log_base[i]
            out[i, e] = min(max(ratio, -clip), clip) if p[i, e] > 0.0 else np.float32(0.0)
        for j in range(pools):
            out[i, columns + j] = log_pooled[i, j]
        for f in range(columns + pools, out.shape[1]):
            out[i, f] = 0.0


@njit(cache=True, fastmath=True)
def softmax_scores(x, theta, delta, out):  # type: ignore[no-untyped-def]
    """Softmax of the candidates' scores into out (M,)."""
    rows, width = x.shape
    top = -1e30
    for i in range(rows):
        s = 0.0
        for f in range(width):
            s += x[i, f] * (theta[f] + delta[f])
        out[i] = s
        if s > top:
            top = s
    total = 0.0
    for i in range(rows):
        out[i] = np.exp(out[i] - top)
        total += out[i]
    for i in range(rows):
        out[i] /= total


@njit(cache=True)
def choose_all(  # type: ignore[no-untyped-def]
    starts, shown, rows, p, logs, log_base, log_pooled, items, item_starts, moments, first_seen_ms, edges, stamp, theta,
    contexts, x
):  # fmt: skip
    """Features and softmax list by list; see `Stacker.choose`.

    Args:
        starts: (B + 1,)
        shown: (B,)
        rows: (S,)
        p: (S, E)
        logs: (S, E) of p.
        log_base: (S,)
        log_pooled: (S, J)
        items: (H,) the histories, one after the other, each oldest first.
        item_starts: (B + 1,) where each begins.
        moments: (B, 2) how many of its last belong to the session, and the present.
        first_seen_ms: (N,)
        edges: see `facts`.
        stamp: see `facts`.
        theta: (1 + contexts, F) shared weights, and each context's deviation from them.
        contexts: (B,)
        x: (S, F), out.

    Returns:
        (S,) the softmax over each list's shown.
    """
    choice, columns = np.zeros(len(rows)), p.shape[1]
    first = columns + log_pooled.shape[1]
    for b in range(len(shown)):
        own = slice(starts[b], starts[b] + shown[b])
        lay_out(p[own], logs[own], log_base[own], log_pooled[own], x[own])
        facts(
            rows[own], items[item_starts[b] : item_starts[b + 1]], moments[b, 0], first_seen_ms, moments[b, 1], edges,
            stamp, x[own, first : first + FACTS],
        )  # fmt: skip
        for i in range(own.start, own.stop):
            x[i, -1] = x[i, columns] * x[i, first]
        softmax_scores(x[own], theta[0], theta[1 + contexts[b]], choice[own])
    return choice


@njit(cache=True, fastmath=True)
def softmax_step(x, p, target, parameters, squares, rates):  # type: ignore[no-untyped-def]
    """One Adagrad step of the conditional logit on one choice.

    Args:
        x: (M, F) features.
        p: (M,) the softmax before the step.
        target: which candidate was chosen.
        parameters: (2, F) in and out: shared weights, and the context's deviation from them.
        squares: (2, F) in and out: sums of squared gradients.
        rates: (step size, decay of the deviation)
    """
    rows, width = x.shape
    g = np.zeros(width)
    for i in range(rows):
        d = p[i] - (1.0 if i == target else 0.0)
        if abs(d) > 1e-7:
            for f in range(width):
                g[f] += d * x[i, f]
    for f in range(width):
        square = g[f] * g[f]
        squares[0, f] += square
        squares[1, f] += square
        parameters[0, f] -= rates[0] * g[f] / np.sqrt(squares[0, f] + 1e-2)
        parameters[1, f] *= 1.0 - rates[1]
        parameters[1, f] -= rates[0] * g[f] / np.sqrt(squares[1, f] + 1e-2)


class Stacker:
    """Weights and step sizes of the log-linear pool.

    Args:
        columns: E expert columns; `pools` linear pools whose logarithms are features too.
        contexts: how many buckets of context have their own deviation.
    """

    def __init__(self, columns: int, pools: int, contexts: int) -> None:
        self.columns = columns
        self.pools = pools
        self.width = columns + pools + EXTRAS
        self.theta: F64 = np.zeros((1 + contexts, self.width))
        self.theta[0, columns] = 1.0  # begins as the first linear pool
        self.squares: F64 = np.zeros((1 + contexts, self.width))
        self.inside: F64 = np.array([0.0, 1.0, 0.0, 0.0])  # intercept and slope of `inside_share`, and their squares
        self._stamp: I32 = np.zeros(0, dtype=np.int32)

    def choose(
        self, lists: tuple[I64, I64], rows: I32, given: tuple[F32, F32, F32], queries: Sequence[Query], contexts: I64,
        first_seen_ms: I64,
    ) -> tuple[F32, F64]:  # fmt: skip
        """Features and softmax of the candidates of B lists, which lie one list after the other.

        Args:
            lists: (B + 1,) where each list's candidates begin, and (B,) how many of its first may be shown.
            rows: (S,) candidates.
            given: (S, E) columns, 0 where asleep, (S,) base and (S, J) pools.
            queries: (B,) whose lists.
            contexts: (B,) see `probabilities`.
            first_seen_ms: (N,) when each item was first seen; 0 where never.

        Returns:
            (S, F) features with the facts about each item, and (S,) the softmax over each list's shown; of candidates
            that may not be shown they mean nothing.
        """
        if len(self._stamp) < len(first_seen_ms):
            self._stamp = np.zeros(len(first_seen_ms), dtype=np.int32)
        x = np.empty((len(rows), self.width), np.float32)
        logs, log_base, log_pooled = (_log(array) for array in given)
        choice = choose_all(
            *lists, rows, given[0], logs, log_base, log_pooled, np.concatenate([one.items for one in queries]),
            np.cumsum([0, *(len(one.items) for one in queries)]),
            np.array([(one.session_n, one.now_ms) for one in queries], np.int64), first_seen_ms, AGE_EDGES_MS,
            self._stamp, self.theta, contexts, x,
        )  # fmt: skip
        return x, choice

    def probabilities(self, x: F32, context: int) -> F64:
        """(M,) the softmax over the candidates."""
        out = np.empty(len(x))
        softmax_scores(x, self.theta[0], self.theta[1 + context], out)
        return out

    def inside_share(self, pooled_mass: float) -> float:
        """Probability that the target is among the candidates: the pools' own mass on them, recalibrated online.

        Args:
            pooled_mass: what the linear pools give all candidates together.
        """
        return float(share_inside(self.inside, pooled_mass))

    def learn(self, x: F32, p: F64, target: int, context: int, rates: tuple[float, float]) -> None:
        """One step on one choice; target is the candidate's position."""
        both = self.theta[[0, 1 + context]]
        squares = self.squares[[0, 1 + context]]
        softmax_step(x, p, target, both, squares, rates)
        self.theta[[0, 1 + context]] = both
        self.squares[[0, 1 + context]] = squares

    def learn_inside(self, pooled_mass: float, inside: bool) -> None:
        """One Adagrad step of the logistic recalibration (Platt 1999) of `inside_share`."""
        error = self.inside_share(pooled_mass) - float(inside)
        gradient = error * np.array([1.0, logit(pooled_mass)])
        self.inside[2:] += gradient * gradient
        self.inside[:2] -= INSIDE_RATE * gradient / np.sqrt(self.inside[2:] + 1.0)


def _log(p: F32) -> F32:
    floored = np.maximum(p, 1e-12, dtype=np.float32)
    return np.log(floored, out=floored)
