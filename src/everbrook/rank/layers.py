"""Every layer of the mixture for the candidates of several lists, in one compiled call.

Not here: what a layer computes (pools, stacker), and what goes in and out (weighing).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.portion import BEGIN, NOW_MS, SCENARIO, SESSION_N
from everbrook.models.prefetch import prefetch
from everbrook.rank.contexts import bucket_all, stack_of
from everbrook.rank.pools import FLOOR, blend, complete, leave_out, mean_of, share_inside, stacked_of
from everbrook.rank.stacker import AGE_EDGES_MS, FACTS, choose, facts, lay_out, look, softmax_scores

POOLED_SHARE = 0.02
"""Of the pools in the stacker's probability, so that no single event can cost it more than ln(1 / share) against them:
one surprise must not move the insurance's weight away from what is best in the long run."""

SHOWN, MORE, LEFT = 0, 1, 2
"""Columns of the sizes: how many candidates may be shown, are asked about beside them, and cannot come."""

CHOICE, STACKED, FINAL = 0, 1, 2
"""Rows of what is computed exactly."""


@njit(cache=True)
def weigh_lists(  # type: ignore[no-untyped-def]
    sizes, rows, mass, rest, items, numbers, first_seen_ms, base_weights, uniform, pools, top, theta, inside,
    awake, buckets, layers, exact, within, x
):  # fmt: skip
    """Columns, pools, stacker and insurance of B lists, whose candidates lie one list after the other.

    Args:
        sizes: (B, 3) how many candidates each list has of each sort, which lie in this order.
        rows: (S,) candidates.
        mass: (E, at least S) what each column gives each; see `complete`.
        rest: (B, E) what it leaves to the base; NaN where it is asleep.
        items: see `Portion`.
        numbers: see `Portion`.
        first_seen_ms: (N,) when each item was first seen; 0 where never.
        base_weights: see `complete`.
        uniform: see `complete`.
        pools: see `blend_weights`.
        top: see `blend_weights`.
        theta: (1 + contexts, F) the stacker's shared weights, and each context's deviation from them.
        inside: see `share_inside`.
        awake: (B, E), out.
        buckets: (B, J), out.
        layers: (E + J, S), out: probabilities, 0 where asleep, and pools.
        exact: (3, S), out: the stacker's softmax over the shown, its probability, and the insured one. Of what cannot
            come they mean nothing, as pools do; of what is not shown the first does not.
        within: (B,), out: what the pools give the shown together.
        x: (F, S), out: the stacker's features of the shown; or (F, 0) where they are not wanted.
    """
    columns, popular, wanted = len(mass), len(base_weights), x.shape[1] == len(rows)
    p, pooled, of_facts = layers[:columns], layers[columns:], columns + len(pools)
    choice, stacked, final = exact[CHOICE], exact[STACKED], exact[FINAL]
    base, whole = np.empty(len(rows), np.float32), np.empty(len(rows))
    back, age = np.empty(len(rows), np.int32), np.empty(len(rows), np.int32)
    start = 0
    for b in range(len(sizes)):
        shown, left = sizes[b, SHOWN], sizes[b, LEFT]
        last, kept = start + shown, start + shown + sizes[b, MORE]
        stop, session_n = kept + left, numbers[b, SESSION_N]
        for i in range(start, last):
            prefetch(first_seen_ms, rows[i])
        for e in range(columns):
            awake[b, e] = not np.isnan(rest[b, e])
        history = items[numbers[b, BEGIN] : numbers[b + 1, BEGIN]]
        bucket_all(numbers[b, SCENARIO], len(history), session_n, buckets[b])
        complete(mass, rest[b], popular, base_weights, uniform, start, p, whole[start:stop])
        for i in range(start, stop):
            base[i] = whole[i]
        if left > 0:
            for e in range(columns):
                if awake[b, e]:
                    leave_out(p[e, start:stop], left)
            leave_out(base[start:stop], left)
        pooled[:, start:kept] = np.float32(0.0)
        share = blend(p, awake[b], pools, buckets[b], top, start, pooled, final[start:kept])
        shared, deviation = theta[0], theta[1 + stack_of(buckets[b])]
        now_ms, far, old = numbers[b, NOW_MS], back[start:last], age[start:last]
        look(rows[start:last], history, first_seen_ms, now_ms, AGE_EDGES_MS, far, old)
        if wanted:
            lay_out(p, awake[b], base[start:last], pooled, start, x, start)
            facts(far, old, session_n, start, x[of_facts : of_facts + FACTS])
            for i in range(start, last):
                x[-1, i] = x[columns, i] * x[of_facts, i]
            softmax_scores(x, shared, deviation, start, choice[start:last])
        else:
            choose(
                p, awake[b], base[start:last], pooled, start, far, old, session_n, shared + deviation,
                choice[start:last],
            )  # fmt: skip
        among = mean_of(pooled, start, kept)
        within[b] = among[:shown].sum()
        stacked_of(
            among, choice[start:last], share_inside(inside, within[b]), within[b], POOLED_SHARE, stacked[start:kept]
        )
        for i in range(start, kept):
            final[i] += share * stacked[i]
        start = stop


@njit(cache=True)
def stand_in(layers, exact, awake, shown, target, place, q, up, ranks, logps):  # type: ignore[no-untyped-def]
    """How one candidate of the only list of `weigh_lists` stands under every part of the mixture.

    Args:
        layers: see `weigh_lists`.
        exact: see `weigh_lists`.
        awake: (E,)
        shown: how many of the first candidates may be shown.
        target: which of those it is; less than 0 where it is none.
        place: which candidate it is.
        q: (J + 1 + E,), out: what each pool, the stacker and each column gave it.
        up: (J + 1 + E,), out: which of them are awake.
        ranks: (1 + J + 1 + E,), out: its rank for the mixture and for each of those, ties against it; 0 without target.
        logps: (J + 1 + E,), out: the logarithms of `q`; NaN where asleep.
    """
    columns = len(awake)
    count = len(layers) - columns
    for j in range(count):
        q[j], up[j] = layers[columns + j, place], True
    q[count], up[count] = exact[STACKED, place], True
    for e in range(columns):
        q[count + 1 + e], up[count + 1 + e] = layers[e, place], awake[e]
    for i in range(len(q)):
        logps[i] = np.log(max(q[i], FLOOR)) if up[i] else np.nan
    ranks[:] = 0
    if target >= 0:
        ranks[0], ranks[1 + count] = _rank(exact[FINAL, :shown], target), _rank(exact[STACKED, :shown], target)
        for j in range(count):
            ranks[1 + j] = _rank(layers[columns + j, :shown], target)
        for e in range(columns):
            ranks[2 + count + e] = _rank(layers[e, :shown], target)


@njit(cache=True)
def _rank(p, target):  # type: ignore[no-untyped-def]
    own, rank = p[target], 0
    for i in range(len(p)):
        rank += p[i] >= own
    return rank
