"""The log-linear pool: a conditional logit over the candidates, learned online, per context.

score(i) = (theta + delta[context]) . x(i), where x holds the logarithms of the experts' probabilities and a few
facts about the item; the probability is the softmax over the candidates, times the share of events whose item is
among the candidates. Source: log-linear opinion pools (Genest & Zidek 1986), learned as the conditional logit of
McFadden (1974) with Adagrad (Duchi et al. 2011).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.powers import log_all, softmax
from everbrook.models.transitions_kernels import slot_in, table_for
from everbrook.rank.pools import logit, share_inside
from everbrook.types import F32, F64

AGE_EDGES_MS = np.array([600_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000], dtype=np.int64)
FACTS = 4 + len(AGE_EDGES_MS) + 1  # in session, last item, in older history, recency, one-hot age
EXTRAS = FACTS + 1  # and the log of the pool where the item is in the session
CLIP = 12.0  # of a log-ratio
INSIDE_RATE = 0.1


@njit(cache=True)
def look(rows, items, first_seen_ms, now_ms, edges, back, age):  # type: ignore[no-untyped-def]
    """How far back in the history each candidate is, and how old.

    Args:
        rows: (M,) candidates.
        items: (L,) the history, oldest first.
        first_seen_ms: (N,) when each item was first seen; 0 where never.
        now_ms: the moment.
        edges: (A,) ages that part the buckets.
        back: (M,), out: events that came after it; less than 0 where it is not in the history.
        age: (M,), out: its bucket.
    """
    length, table = len(items), table_for(8 * len(items))  # mostly empty: most candidates are told at the first look
    for j in range(length):
        table[slot_in(table, items, items[j])] = j  # of those that came more than once the last
    for i in range(len(rows)):
        at = table[slot_in(table, items, rows[i])]
        back[i] = length - 1 - at if at >= 0 else -1
    for i in range(len(rows)):
        first_ms = first_seen_ms[rows[i]]
        since = now_ms - first_ms if first_ms > 0 else 0
        bucket = 0
        for edge in edges:
            bucket += since > edge
        age[i] = bucket


@njit(cache=True)
def facts(back, age, session_n, first, out):  # type: ignore[no-untyped-def]
    """Facts about each candidate that no expert's probability tells.

    Args:
        back: (M,) see `look`.
        age: (M,) see `look`.
        session_n: how many of the last events belong to the session.
        first: where the candidates begin in `out`.
        out: (4 + A + 1, S), out: in session, last item, in older history, recency, one-hot age.
    """
    out[:, first : first + len(back)] = 0.0
    for i in range(len(back)):
        if back[i] >= 0:
            out[0 if back[i] < session_n else 2, first + i] = 1.0
            if back[i] == 0:
                out[1, first + i] = 1.0
            out[3, first + i] = 1.0 / (1.0 + back[i])
        out[4 + age[i], first + i] = 1.0


@njit(cache=True)
def lay_out(p, awake, base, pooled, first, out, at):  # type: ignore[no-untyped-def]
    """Logarithms into the first columns of out, of each column against the base and of each pool.

    Args:
        p: (E, S), 0 where asleep.
        awake: (E,)
        base: (M,)
        pooled: (J, S)
        first: of the M candidates that are looked at.
        out: (F, any), out.
        at: where they begin in `out`.
    """
    last, end, columns = first + len(base), at + len(base), len(p)
    log_base = np.empty(len(base), np.float32)
    log_all(base, log_base)
    for e in range(columns):
        if awake[e]:
            _ratios(p[e, first:last], log_base, out[e, at:end])
        else:
            out[e, at:end] = 0.0
    for j in range(len(pooled)):
        log_all(pooled[j, first:last], out[columns + j, at:end])


# As in the pools: each loop does one thing to arrays that begin at 0, so that the compiler does several at a time.


@njit(cache=True)
def _ratios(p, log_base, out):  # type: ignore[no-untyped-def]
    clip = np.float32(CLIP)
    log_all(p, out)
    for i in range(len(out)):
        ratio = min(max(out[i] - log_base[i], -clip), clip)
        out[i] = ratio if p[i] > np.float32(0.0) else np.float32(0.0)


@njit(cache=True)
def _add(x, weight, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] += x[i] * weight


@njit(cache=True)
def softmax_scores(x, theta, delta, first, out):  # type: ignore[no-untyped-def]
    """Softmax of the scores of M candidates from one on, of (F, S) features, into out (M,)."""
    last = first + len(out)
    out[:] = 0.0
    for f in range(len(x)):
        _add(x[f, first:last], theta[f] + delta[f], out)
    softmax(out)


@njit(cache=True)
def choose(p, awake, base, pooled, first, back, age, session_n, weights, out):  # type: ignore[no-untyped-def]
    """What `softmax_scores` says of what `lay_out` and `facts` say, which is not kept here.

    Args:
        p: see `lay_out`.
        awake: see `lay_out`.
        base: see `lay_out`.
        pooled: see `lay_out`.
        first: see `lay_out`.
        back: see `facts`.
        age: see `facts`.
        session_n: see `facts`.
        weights: (F,) of the features.
        out: (M,), out.
    """
    last, columns = first + len(out), len(p)
    room = np.empty((3, len(out)), np.float32)
    log_base, x, first_pool = room[0], room[1], room[2]
    log_all(base, log_base)
    out[:] = 0.0
    for e in range(columns):
        if awake[e]:
            _ratios(p[e, first:last], log_base, x)
            _add(x, weights[e], out)
    log_all(pooled[0, first:last], first_pool)
    _add(first_pool, weights[columns], out)
    for j in range(1, len(pooled)):
        log_all(pooled[j, first:last], x)
        _add(x, weights[columns + j], out)
    own = weights[columns + len(pooled) :]
    for i in range(len(out)):  # in the order of the features, for the sums to be the very same
        in_session = 0 <= back[i] < session_n
        if back[i] >= 0:
            score = out[i] + own[0] if in_session else out[i]
            score += own[1] if back[i] == 0 else 0.0
            score += 0.0 if in_session else own[2]
            out[i] = score + np.float32(1.0 / (1.0 + back[i])) * own[3]
        out[i] += own[4 + age[i]]
        if in_session:
            out[i] += first_pool[i] * own[-1]
    softmax(out)


@njit(cache=True, fastmath=True)
def softmax_step(x, p, target, context, theta, squares, rates):  # type: ignore[no-untyped-def]
    """One Adagrad step of the conditional logit on one choice.

    Args:
        x: (F, M) features.
        p: (M,) the softmax before the step.
        target: which candidate was chosen.
        context: in which it was.
        theta: (1 + contexts, F) in and out: shared weights, and each context's deviation from them.
        squares: (1 + contexts, F) in and out: sums of squared gradients.
        rates: (step size, decay of the deviation)
    """
    width, own = len(x), 1 + context
    g, wrong = np.zeros(width), p.copy()
    wrong[target] -= 1.0
    for i in range(len(wrong)):
        wrong[i] = wrong[i] if abs(wrong[i]) > 1e-7 else 0.0
    for f in range(width):
        of_feature, total = x[f], 0.0
        for i in range(len(wrong)):
            total += wrong[i] * of_feature[i]
        g[f] = total
    for f in range(width):
        square = g[f] * g[f]
        squares[0, f] += square
        squares[own, f] += square
        theta[0, f] -= rates[0] * g[f] / np.sqrt(squares[0, f] + 1e-2)
        theta[own, f] *= 1.0 - rates[1]
        theta[own, f] -= rates[0] * g[f] / np.sqrt(squares[own, f] + 1e-2)


@njit(cache=True)
def inside_step(inside, pooled_mass, target):  # type: ignore[no-untyped-def]
    """One Adagrad step of the logistic recalibration (Platt 1999) of what the pools give the candidates together.

    Args:
        inside: (4,) in and out: intercept, slope and the sums of their squared gradients.
        pooled_mass: what they give them.
        target: 1 where the target was among them, else 0.
    """
    error = share_inside(inside, pooled_mass) - target
    for i in range(2):
        gradient = error if i == 0 else error * logit(pooled_mass)
        inside[2 + i] += gradient * gradient
        inside[i] -= INSIDE_RATE * gradient / np.sqrt(inside[2 + i] + 1.0)


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

    def probabilities(self, x: F32, context: int) -> F64:
        """(M,) the softmax over the candidates with (M, F) features."""
        out = np.empty(len(x))
        softmax_scores(np.ascontiguousarray(x.T), self.theta[0], self.theta[1 + context], 0, out)
        return out

    def inside_share(self, pooled_mass: float) -> float:
        """Probability that the target is among the candidates: the pools' own mass on them, recalibrated online.

        Args:
            pooled_mass: what the linear pools give all candidates together.
        """
        return float(share_inside(self.inside, pooled_mass))

    def learn(self, x: F32, p: F64, target: int, context: int, rates: tuple[float, float]) -> None:
        """One step on one choice among candidates with (M, F) features; target is the position of what was chosen."""
        softmax_step(np.ascontiguousarray(x.T), p, target, context, self.theta, self.squares, rates)

    def learn_inside(self, pooled_mass: float, inside: bool) -> None:
        """One step of the recalibration of `inside_share`."""
        inside_step(self.inside, pooled_mass, float(inside))
