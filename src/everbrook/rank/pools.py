"""Numbers of the mixture: completing, pooling, stacking and insuring probabilities, as compiled loops.

Not here: who the experts are (models) and what is shown (lists).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.pooling import soft_bayes

FLOOR = 1e-12


@njit(cache=True)
def sound(mass):  # type: ignore[no-untyped-def]
    """A mass that lists can be made of: an expert's fault (not a number, negative, over 1) counts as nothing."""
    return mass if 0.0 <= mass <= 1.001 else 0.0


# Each of the loops below does one thing to arrays that begin at 0, for then the compiler does several at a time. What
# is said of a list's candidates lies column by column, so that they are long.


@njit(cache=True)
def _with_rest(mass, rest, base, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = sound(mass[i]) + rest * base[i]


@njit(cache=True)
def _with_uniform(mass, rest, weight, out, base):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        p = sound(mass[i]) + rest
        out[i] = p
        base[i] += weight * p


@njit(cache=True)
def complete(mass, rest, popular, base_weights, uniform, first, out, base):  # type: ignore[no-untyped-def]
    """Turn mass and rest into probabilities; the base is the pool of the first `popular` columns.

    Args:
        mass: (E, S) what each column gives each item.
        rest: (E,) what each column leaves to the base; NaN where asleep.
        popular: how many leading columns are popularities, whose own base is `uniform`.
        base_weights: (popular,) their weights in the base.
        uniform: one over the number of items.
        first: of the M items that are looked at.
        out: (E, S), out: probabilities; 0 where asleep.
        base: (M,) float64, out.
    """
    last, awake = first + len(base), 0.0
    base[:] = 0.0
    for e in range(popular):
        if np.isnan(rest[e]):
            out[e, first:last] = 0.0
        else:
            awake += base_weights[e]
            _with_uniform(mass[e, first:last], rest[e] * uniform, base_weights[e], out[e, first:last], base)
    for i in range(len(base)):
        base[i] = base[i] / awake if awake > 0.0 else uniform
    for e in range(popular, len(mass)):
        if np.isnan(rest[e]):
            out[e, first:last] = 0.0
        else:
            _with_rest(mass[e, first:last], np.float64(rest[e]), base, out[e, first:last])


@njit(cache=True)
def pooled(weights, p, awake):  # type: ignore[no-untyped-def]
    """The linear pool of the awake columns of one item."""
    total = 0.0
    mixed = 0.0
    for e in range(len(p)):
        if awake[e]:
            total += weights[e]
            mixed += weights[e] * p[e]
    return mixed / total if total > 0.0 else 0.0


@njit(cache=True)
def fixed_share(weights, p, awake, switch, losses):  # type: ignore[no-untyped-def]
    """One step of the fixed-share Bayesian mixture with sleeping experts; gives its probability before the step.

    An expert that sleeps keeps its weight and is charged the mixture's own loss. Source: Herbster & Warmuth,
    'Tracking the best expert' (Machine Learning 32, 1998); sleeping: Freund et al., 'Using and combining predictors
    that specialize' (STOC 1997).

    Args:
        weights: (J,) in and out, sum 1.
        p: (J,) probability that each expert gave what happened.
        awake: (J,)
        switch: the share that moves at each step.
        losses: (J,) in and out: log-loss of each expert so far.
    """
    count = len(weights)
    total = 0.0
    mixed = 0.0
    for j in range(count):
        if awake[j]:
            total += weights[j]
            mixed += weights[j] * max(p[j], FLOOR)
    if total <= 0.0:
        return 0.0
    mixed /= total
    loss = -np.log(mixed)
    norm = 0.0
    for j in range(count):
        if awake[j]:
            q = max(p[j], FLOOR)
            losses[j] -= np.log(q)
            weights[j] *= q / mixed
        else:
            losses[j] += loss
        norm += weights[j]
    for j in range(count):
        weights[j] = (1.0 - switch) * weights[j] / norm + switch / count
    return mixed


@njit(cache=True, nogil=True)
def learn_bulk(  # type: ignore[no-untyped-def]
    mass, rest, popular, buckets, uniform, rates, base_weights, pools, top, losses, logp, skip
):
    """Learn pools and insurance from B events whose lists were not made (the stacker sleeps).

    Args:
        mass: (B, E) what each column gave the event's item before it learned.
        rest: (B, E) what it left to the base; NaN where asleep.
        popular: how many leading columns are popularities.
        buckets: (B, J) which row of each pool applies.
        uniform: (B,) one over the number of items known before each event.
        rates: (pool rate, switch rate)
        base_weights: (popular,) in and out.
        pools: (J, C, E) in and out: weights of each pool for each of its buckets.
        top: (J + 1 + E,) in and out: the insurance's weights: pools, stacker, columns.
        losses: (J + 1 + E,) in and out.
        logp: (B,), out: log-probability that the insured mixture gave; NaN where skipped.
        skip: (B,) events that are no targets.
    """
    events, columns = mass.shape
    count = buckets.shape[1]
    p = np.empty(columns)
    q = np.empty(count + 1 + columns)
    awake = np.empty(columns, np.bool_)
    up = np.empty(count + 1 + columns, np.bool_)
    for b in range(events):
        logp[b] = np.nan
        if skip[b]:
            continue
        for e in range(columns):
            awake[e] = not np.isnan(rest[b, e])
        for e in range(popular):
            p[e] = sound(mass[b, e]) + rest[b, e] * uniform[b] if awake[e] else 0.0
        base = soft_bayes(base_weights, p[:popular], awake[:popular], rates[0])
        if base <= 0.0:
            base = uniform[b]
        for e in range(popular, columns):
            p[e] = sound(mass[b, e]) + rest[b, e] * base if awake[e] else 0.0
        for j in range(count):
            q[j] = soft_bayes(pools[j, buckets[b, j]], p, awake, rates[0])
            up[j] = q[j] > 0.0
        q[count] = 0.0
        up[count] = False
        for e in range(columns):
            q[count + 1 + e] = p[e]
            up[count + 1 + e] = awake[e]
        logp[b] = np.log(max(fixed_share(top, q, up, rates[1], losses), FLOOR))


@njit(cache=True)
def learn_judged(p, awake, buckets, rates, base_weights, pools, top, losses, q, up):  # type: ignore[no-untyped-def]
    """Learn base, pools and insurance from one event whose list was made; gives the insured probability.

    Args:
        p: (E,) what each column gave the event's item.
        awake: (E,)
        buckets: (J,) which row of each pool applies.
        rates: (pool rate, switch rate)
        base_weights: (popular,) in and out.
        pools: (J, C, E) in and out.
        top: (J + 1 + E,) in and out.
        losses: (J + 1 + E,) in and out.
        q: (J + 1 + E,) what each pool, the stacker and each column gave the item.
        up: (J + 1 + E,) which of them are awake.
    """
    popular = len(base_weights)
    soft_bayes(base_weights, p[:popular], awake[:popular], rates[0])
    for j in range(len(buckets)):
        soft_bayes(pools[j, buckets[j]], p, awake, rates[0])
    return fixed_share(top, q, up, rates[1], losses)


@njit(cache=True)
def blend_weights(awake, pools, buckets, top):  # type: ignore[no-untyped-def]
    """(J + 1, E) what each column weighs in each pool and in all but the stacker together; and the stacker's share.

    Args:
        awake: (E,)
        pools: (J, C, E) weights.
        buckets: (J,) which row of each pool applies.
        top: (J + 1 + E,) the insurance's weights.
    """
    count, columns = len(buckets), len(awake)
    weights = np.zeros((count + 1, columns), np.float32)
    total = 0.0
    for j in range(count):
        norm = 0.0
        for e in range(columns):
            if awake[e]:
                norm += pools[j, buckets[j], e]
        for e in range(columns):
            if awake[e] and norm > 0.0:
                weights[j, e] = pools[j, buckets[j], e] / norm
        total += top[j]
    total += top[count]
    for e in range(columns):
        if awake[e]:
            total += top[count + 1 + e]
    for e in range(columns):
        if awake[e]:
            weights[count, e] = top[count + 1 + e] / total
            for j in range(count):
                weights[count, e] += top[j] / total * weights[j, e]
    return weights, top[count] / total


@njit(cache=True)
def _add(p, weight, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] += p[i] * weight


@njit(cache=True)
def blend(p, awake, pools, buckets, top, first, pooled, final):  # type: ignore[no-untyped-def]
    """Pool the columns for every candidate, and insure all but the stacker.

    Args:
        p: (E, S) columns; 0 where asleep.
        awake: (E,)
        pools: see `blend_weights`.
        buckets: see `blend_weights`.
        top: see `blend_weights`; the stacker's is left to the caller.
        first: of the M candidates that are looked at.
        pooled: (J, S) zeros, out.
        final: (M,), out.

    Returns:
        The stacker's share of the weight that is awake.
    """
    count, last = len(buckets), first + len(final)
    weights, share = blend_weights(awake, pools, buckets, top)
    insured = np.zeros(len(final), np.float32)
    for e in range(len(p)):
        if awake[e]:
            for j in range(count):
                _add(p[e, first:last], weights[j, e], pooled[j, first:last])
            _add(p[e, first:last], weights[count, e], insured)
    for i in range(len(final)):
        final[i] = insured[i]
    return share


@njit(cache=True)
def leave_out(p, left):  # type: ignore[no-untyped-def]
    """Probabilities (M,) given that the last `left` items cannot come, of the others, in place."""
    kept = len(p) - left
    gone = np.float32(0.0)
    for i in range(kept, len(p)):
        gone += p[i]
    stay = np.float32(1.0) - min(gone, np.float32(0.999))
    for i in range(kept):
        p[i] /= stay


@njit(cache=True)
def share_inside(inside, pooled_mass):  # type: ignore[no-untyped-def]
    """Probability that what comes is among the candidates; see `Stacker.inside_share`.

    Args:
        inside: intercept and slope come first.
        pooled_mass: what the pools give the candidates together.
    """
    return 1.0 / (1.0 + np.exp(-(inside[0] + inside[1] * logit(pooled_mass))))


@njit(cache=True)
def logit(share):  # type: ignore[no-untyped-def]
    """The logarithm of the odds, of shares that are neither 0 nor 1."""
    clipped = min(max(share, 1e-4), 1.0 - 1e-4)
    return np.log(clipped / (1.0 - clipped))


@njit(cache=True)
def mean_of(pooled, start, stop):  # type: ignore[no-untyped-def]
    """The mean of (J, S) pools, from one candidate to before another."""
    out = np.zeros(stop - start)
    for j in range(len(pooled)):
        _sum(pooled[j, start:stop], out)
    for i in range(len(out)):
        out[i] /= len(pooled)
    return out


@njit(cache=True)
def _sum(more, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] += more[i]


@njit(cache=True)
def stacked_of(among, choice, share, inside, pooled_share, out):  # type: ignore[no-untyped-def]
    """The stacker's probability for every row: its softmax over the shown, the pools' for the others.

    Args:
        among: (M,) the pools' mean.
        choice: (m,) the softmax over the first m.
        share: probability that what comes is among them.
        inside: what the pools give them together.
        pooled_share: of the pools in the result.
        out: (M,), out.
    """
    left = max(1.0 - inside, 1e-3)
    for i in range(len(among)):
        own = share * choice[i] if i < len(choice) else (1.0 - share) * min(among[i] / left, 1.0)
        out[i] = (1.0 - pooled_share) * own + pooled_share * among[i]
