"""The gate's arithmetic: differences into blocks, blocks into bets, bets into evidence.

Axes: slots (0: over all; 1 + scenario), references (0: recent, 1: anchor, 2: young), kinds of claim, J bet fractions,
levels of block length. See `everbrook.learn.evidence` for what the numbers mean and what is assumed.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from everbrook.learn.elapsed import elapse
from everbrook.types import F64, I16, I32, I64, Bool

RECENT, ANCHOR, YOUNG = 0, 1, 2
REFERENCES = 3
HARM_RECENT, HARM_ANCHOR, BETTER, ALIKE, STRETCH_BETTER, STRETCH_ALIKE, HARM_YOUNG = range(7)
REFERENCE = np.array([RECENT, ANCHOR, ANCHOR, ANCHOR, ANCHOR, ANCHOR, YOUNG])  # (kinds,)
SIGN = np.array([-1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0])  # (kinds,)
KINDS = len(SIGN)

FRACTIONS = np.array([0.3, 0.2, 0.1, 0.05, 0.02])  # (J,) of the capital, for one standard deviation of a block
PRIOR = np.array([0.3, 0.3, 0.2, 0.1, 0.1])  # (J,)
LEVELS = 12  # blocks of 1, 2, 4 … 2048 blocks, whose variances show dependence
CAP = 2.0  # evidence is kept no larger than this; a claim is proven at 1
GROSS_EVENTS = 64
MONTH_MS = 30 * 86_400_000.0
FAULTS, NEW_SCENARIOS, GROSS, HAS_RECENT, CROSSED = 0, 1, 2, 2 + REFERENCES, 3 + REFERENCES  # GROSS: a reference each
TOTALS = 4 + REFERENCES  # kinds from here on

_MOST_OWED_MS = 600_000.0  # a scenario that was silent does not come back with a month's budget
_MOST_Z = 10.0  # no block counts for more standard deviations in favour of a claim
_WARM_BLOCKS = 32  # blocks that only teach the scale
_LEAST_SD = 1e-6  # nats
_LEAST_SQUARE = 1e-3
_RATE = 1.0 / 128.0  # of the running second moment
_LEVEL_RATE = 1.0 / 256.0  # of the running variances per level
_LEVEL_LEAST = 12  # pairs before a level's variance is believed
_MEAN_RATE = 1.0 / 128.0
MEAN_ERROR = math.sqrt(_MEAN_RATE / (2.0 - _MEAN_RATE))  # of the running mean, in deviations of a block
_UNIT_RATE = 1.0 / 256.0


@njit(cache=True)
def differences(live: F64, reference: F64, clip: float, out: F64) -> int:
    """(B,) clipped live - reference, NaN where there is no reference; returns how many live values are not finite."""
    faults = 0
    for b in range(len(live)):
        out[b] = np.nan
        if math.isnan(reference[b]):
            continue
        if not math.isfinite(live[b]):
            faults += 1
            continue
        out[b] = min(max(live[b] - reference[b], -clip), clip)
    return faults


@njit(cache=True)
def merge(scenario: I16, actor: I32, apart: F64, merged_scenario: I16, merged: F64) -> int:
    """One mean for each actor and scenario of the batch, in order of first appearance; returns how many.

    Args:
        scenario: (B,)
        actor: (B,)
        apart: (references, B) differences, NaN where there is none.
        merged_scenario: (B,) out.
        merged: (references, B) out.
    """
    B = len(actor)
    order = np.argsort(actor.astype(np.int64) * 65536 + scenario, kind="mergesort")
    first = np.empty(B, np.int64)  # of each event: where its group begins in the batch
    leader = -1
    for at in range(B):
        b = order[at]
        if at == 0 or actor[b] != actor[order[at - 1]] or scenario[b] != scenario[order[at - 1]]:
            leader = b
        first[b] = leader
    place = np.empty(B, np.int64)
    n = np.zeros((REFERENCES, B), np.int64)
    groups = 0
    for b in range(B):
        if first[b] == b:
            place[b] = groups
            merged_scenario[groups] = scenario[b]
            merged[:, groups] = 0.0
            groups += 1
        g = place[first[b]]
        for r in range(REFERENCES):
            if not math.isnan(apart[r, b]):
                merged[r, g] += apart[r, b]
                n[r, g] += 1
    for g in range(groups):
        for r in range(REFERENCES):
            merged[r, g] = merged[r, g] / n[r, g] if n[r, g] else np.nan
    return groups


@njit(cache=True)
def take(
    ts_ms: int, scenario: I16, live: F64, earlier: F64, actor: I32, clip: float, block_events: int,
    told: F64, clock: I64, sums: F64, counts: I64, events: I64, gross: F64, lent: F64, shifts: F64, wealth: F64,
    owed: F64, unit: F64, crossed: Bool, blocks: I64, moments: F64, pending: F64, variances: F64, pairs: I64,
) -> None:
    """Take a micro-batch in, and tell what came of it.

    Args:
        ts_ms: the moment.
        scenario: (B,) slots - 1; below 0 or too large: counted over all alone.
        live: (B,) log-probabilities.
        earlier: (references, B) the same under earlier weights, NaN where there are none.
        actor: (B,) whose events are averaged; (0,): every event counts.
        clip: largest difference.
        block_events: events of one block.
        told: (TOTALS + kinds,) out: see the constants.
        clock: (3,) see `elapse`.
        sums: (slots, references) of the block that is being filled.
        counts: (slots, references) its events.
        events: (slots, references) all events so far.
        gross: (references, 2) sum and events of the present run.
        lent: (slots, kinds) of a claim's budget for a month.
        shifts: see `_bet`, and so on.
    """
    passed = elapse(clock, ts_ms)
    if passed > 0:
        for slot in range(len(owed)):
            for kind in range(KINDS):
                most = lent[slot, kind] * (_MOST_OWED_MS / MONTH_MS)
                owed[slot, kind] = min(owed[slot, kind] + lent[slot, kind] * (passed / MONTH_MS), most)
    B = len(live)
    apart = np.empty((REFERENCES, B))
    told[FAULTS], told[NEW_SCENARIOS] = 0.0, 0.0
    for r in range(REFERENCES):
        told[FAULTS] = max(told[FAULTS], differences(live, earlier[r], clip, apart[r]))
        told[GROSS + r] = np.inf
    told[HAS_RECENT] = np.isfinite(earlier[RECENT]).any()
    crossed[:] = False
    if len(actor):
        merged_scenario, merged = np.empty(B, scenario.dtype), np.empty((REFERENCES, B))
        B = merge(scenario, actor, apart, merged_scenario, merged)
        scenario, apart = merged_scenario, merged
    for b in range(B):
        for r in range(REFERENCES):
            d = apart[r, b]
            if math.isnan(d):
                continue
            _run(d, r, gross, told)
            for turn in range(2):
                slot = 0 if turn == 0 else 1 + scenario[b]
                if turn == 1 and (scenario[b] < 0 or slot >= len(sums)):
                    continue
                if turn == 1 and events[slot].sum() == 0:
                    told[NEW_SCENARIOS] += 1.0
                events[slot, r] += 1
                sums[slot, r] += d
                counts[slot, r] += 1
                if counts[slot, r] >= block_events:
                    x = sums[slot, r] / counts[slot, r]
                    sums[slot, r] = 0.0
                    counts[slot, r] = 0
                    _bet(slot, r, x, shifts, wealth, owed, unit, crossed, blocks, moments, pending, variances, pairs)
    told[CROSSED] = crossed.any()
    for kind in range(KINDS):
        told[TOTALS + kind] = wealth[0, kind].sum()


@njit(cache=True)
def _run(d: float, r: int, gross: F64, told: F64) -> None:
    """Runs of GROSS_EVENTS events, one after the other, and the lowest mean of those that ended."""
    gross[r, 0] += d
    gross[r, 1] += 1.0
    if gross[r, 1] >= GROSS_EVENTS:
        told[GROSS + r] = min(told[GROSS + r], gross[r, 0] / gross[r, 1])
        gross[r, 0] = 0.0
        gross[r, 1] = 0.0


@njit(cache=True)
def _bet(
    slot: int, r: int, x: float, shifts: F64, wealth: F64, owed: F64, unit: F64, crossed: Bool, blocks: I64,
    moments: F64, pending: F64, variances: F64, pairs: I64,
) -> None:
    """One block's mean against every claim that compares with reference r, then its lesson for the scale.

    Args:
        slot: where.
        r: against which reference.
        x: the block's mean difference.
        shifts: (kinds,) added to the signed difference: what a claim allows for.
        wealth: (slots, kinds, J) evidence per bet.
        owed: (slots, kinds) budget that has become due since the last block.
        unit: (slots, kinds) running mean of what was due at a block.
        crossed: (slots, kinds) out: whether a claim was proven at any block.
        blocks: (slots, references) so far.
        moments: (slots, references, 3) running second moment, mean, and excess of long-run variance over it.
        pending: (slots, references, LEVELS) the first of a pair of neighbouring longer blocks, NaN: none waits.
        variances: (slots, references, LEVELS) of longer blocks in squared deviations of a block, times their length.
        pairs: (slots, references, LEVELS) how many each is made of.
    """
    n = blocks[slot, r]
    if n >= _WARM_BLOCKS:
        sd = max(math.sqrt(moments[slot, r, 0]), _LEAST_SD)
        for kind in range(KINDS):
            if REFERENCE[kind] != r:
                continue
            z = min((SIGN[kind] * x + shifts[kind]) / sd, _MOST_Z)
            due = owed[slot, kind]
            owed[slot, kind] = 0.0
            if due > 0.0:
                unit[slot, kind] += (due - unit[slot, kind]) * (1.0 if unit[slot, kind] == 0.0 else _UNIT_RATE)
            total = 0.0
            for j in range(len(FRACTIONS)):
                f = FRACTIONS[j]
                factor = 1.0 + f * max(z, -0.9 / f)
                w = (wealth[slot, kind, j] + due * PRIOR[j]) * factor * math.exp(-0.5 * f * f * moments[slot, r, 2])
                wealth[slot, kind, j] = w
                total += w
            if total >= 1.0:
                crossed[slot, kind] = True
            if total > CAP:
                wealth[slot, kind] *= CAP / total
    blocks[slot, r] = n + 1
    _learn_scale(x, n, moments[slot, r], pending[slot, r], variances[slot, r], pairs[slot, r])


@njit(cache=True)
def _learn_scale(x: float, n: int, moments: F64, pending: F64, variances: F64, pairs: I64) -> None:
    """Running second moment and mean, and by how much longer blocks vary more than independent ones would."""
    most_square = 36.0 * moments[0] + _LEAST_SD**2
    square = x * x if n < 8 else min(x * x, most_square)
    moments[0] += (square - moments[0]) * max(1.0 / (n + 1), _RATE)
    moments[1] += (x - moments[1]) * max(1.0 / (n + 1), _MEAN_RATE)
    if n < 8 or x * x > most_square:  # the scale is not known yet, or this is none of it
        return
    x /= max(math.sqrt(moments[0]), _LEAST_SD)  # so that differences that grow or shrink are not taken for dependence
    length = 1.0
    for level in range(LEVELS):
        if math.isnan(pending[level]):
            pending[level] = x
            break
        apart = x - pending[level]
        v = 0.5 * apart * apart * length
        k = pairs[level]
        if k >= 8:
            v = min(v, 36.0 * variances[level] + _LEAST_SQUARE)
        variances[level] += (v - variances[level]) * max(1.0 / (k + 1), _LEVEL_RATE)
        pairs[level] = k + 1
        x = 0.5 * (x + pending[level])
        pending[level] = np.nan
        length *= 2.0
    most = 0.0
    for level in range(LEVELS):
        if pairs[level] >= _LEVEL_LEAST:
            most = max(most, variances[level])
    moments[2] = max(most - 1.0, 0.0)
