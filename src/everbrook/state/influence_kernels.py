"""The loop of the influence guard: which positive events count, event by event. Plain arrays in, nothing owned here.

Every bound is a leaky debt: what counts adds to it, and it drains at a known rate; an event counts while the debt is
below its limit. So whatever happens, what counts over a span is at most the limit, plus what drained in it, plus one
event. Shares are of what counted, in units of a mean event, so that kinds of any weight are treated alike.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.types import F32, F64, I32, I64, Bool

WINDOW_S, ACTOR_EVENTS, ACTOR_ITEM_EVENTS, ITEM_WINDOW_MS, LEAST_EVENTS, GROWTH, SHARE, ITEM_EVENTS = range(8)
KNOWN_ITEMS, NEWCOMER_RATIO, NEWCOMER_EVENTS = range(8, 11)
"""Places of the knobs."""
CLOCK_MS, BEHIND, WINDOW, SINCE_MS, ARRIVED, TOTAL, COUNTED, EVENTS, WEIGHT, NEW, KNOWN, ITEMS = range(12)
BEFORE, RATIO, UNIT, ORIGIN_MS, STARTED = range(12, 17)
"""Places of the meter: the clock; the open window and its sums; how many items ever came; then what the window before
says to this one."""
DEBT, NEW_DEBT, OWN, OWN_BEFORE = range(4)
"""Columns of an item's sums: both debts, what counted in its window, and its share in the window before that."""
LATE_RUN = 1000
"""Events in a row that lie more than a window behind the clock before the clock is taken for wrong."""
MOST_RATIO = 10.0
"""Newcomers to known actors, over all items, above which known actors are too few to bear anything out."""
LONGEST_S = 2.0**31 - 1


@njit(cache=True)
def weigh(
    ts_ms: I64, actor: I32, item: I32, weight: F32, n: I32, items: I32, times: I64, knobs: F64, meter: F64,
    actor_debt: F32, actor_s: I32, item_sums: F32, item_total: F64, item_window: I32, counts: Bool,
) -> None:  # fmt: skip
    """Say of each event whether it counts; events without a positive weight only move the clock."""
    for b in range(ts_ms.shape[0]):
        tick(float(ts_ms[b]), knobs, meter)
        counts[b] = True
        if not weight[b] > 0.0:
            continue
        meter[ARRIVED] += 1.0
        if not actor_may(b, ts_ms, actor[b], item, n, items, times, knobs, meter, actor_debt, actor_s):
            counts[b] = False
            continue
        i = item[b]
        cost = float(weight[b]) / meter[UNIT]
        known = is_known(b, item[b], n, items, int(knobs[KNOWN_ITEMS]))
        settle(i, knobs, meter, item_sums, item_total, item_window)
        if not item_may(i, known, knobs, meter, item_sums):
            counts[b] = False
            continue
        actor_debt[actor[b]] += np.float32(1.0)
        count(i, cost, float(weight[b]), known, knobs, meter, item_sums, item_total)


@njit(cache=True)
def tick(now_ms: float, knobs: F64, meter: F64) -> None:
    """Move the clock, which never goes back but for a long run of late events; close the window where it is over."""
    if meter[STARTED] == 0.0:
        meter[STARTED], meter[ORIGIN_MS], meter[CLOCK_MS], meter[SINCE_MS] = 1.0, now_ms, now_ms, now_ms
        meter[WINDOW], meter[UNIT] = 1.0, 1.0  # an item's window 0 says that it never came
    window_ms = max(1000.0 * knobs[WINDOW_S], knobs[ITEM_WINDOW_MS])
    meter[BEHIND] = meter[BEHIND] + 1.0 if now_ms < meter[CLOCK_MS] - window_ms else 0.0
    if now_ms > meter[CLOCK_MS] or meter[BEHIND] >= LATE_RUN:
        meter[CLOCK_MS] = now_ms
        meter[SINCE_MS] = min(meter[SINCE_MS], now_ms)
        meter[BEHIND] = 0.0
    if meter[CLOCK_MS] - meter[SINCE_MS] < knobs[ITEM_WINDOW_MS] or meter[ARRIVED] < knobs[LEAST_EVENTS]:
        return
    borne_out = meter[KNOWN] > 0.0 and meter[NEW] <= MOST_RATIO * meter[KNOWN]
    meter[BEFORE], meter[RATIO] = meter[COUNTED], meter[NEW] / meter[KNOWN] if borne_out else np.inf
    if meter[EVENTS] > 0.0:
        meter[UNIT] = meter[WEIGHT] / meter[EVENTS]
    meter[WINDOW] += 1.0
    meter[SINCE_MS] = meter[CLOCK_MS]
    for place in (ARRIVED, COUNTED, EVENTS, WEIGHT, NEW, KNOWN):
        meter[place] = 0.0


@njit(cache=True)
def actor_may(
    b: int, ts_ms: I64, actor: int, item: I32, n: I32, items: I32, times: I64, knobs: F64, meter: F64, debt: F32,
    touched_s: I32,
) -> bool:  # fmt: skip
    """Whether the event's actor has not used up its window, in all and on the item; drains the actor's debt."""
    most = 0.5 * knobs[ACTOR_EVENTS]
    now_s = np.int32(min(max((meter[CLOCK_MS] - meter[ORIGIN_MS]) // 1000.0, -LONGEST_S), LONGEST_S))
    since_s = float(now_s) - float(touched_s[actor])
    drained = since_s * most / knobs[WINDOW_S]
    debt[actor] = max(0.0, debt[actor] - drained) if since_s >= 0.0 else 0.0  # below: under a clock that was wrong
    touched_s[actor] = now_s
    if debt[actor] + 1.0 > most:
        return False
    since_ms = ts_ms[b] - 1000.0 * knobs[WINDOW_S]
    again = 0
    for j in range(n[b] - 1, -1, -1):
        if times[b, j] < since_ms:
            break
        if items[b, j] == item[b]:
            again += 1
    return again < knobs[ACTOR_ITEM_EVENTS]


@njit(cache=True)
def is_known(b: int, item: int, n: I32, items: I32, wanted: int) -> bool:
    """Whether the history holds so many different items beside this one."""
    found = 0
    for j in range(n[b] - 1, -1, -1):
        if found >= wanted:
            break
        new = items[b, j] != item
        for k in range(j + 1, n[b]):
            if not new:
                break
            new = items[b, k] != items[b, j]
        if new:
            found += 1
    return found >= wanted


@njit(cache=True)
def item_may(i: int, known: bool, knobs: F64, meter: F64, sums: F32) -> bool:
    """Whether a settled item's debts leave room; while there is no window before to compare with, they do."""
    if meter[BEFORE] == 0.0:
        return True
    if sums[i, DEBT] >= knobs[ITEM_EVENTS]:
        return False
    return known or meter[RATIO] == np.inf or sums[i, NEW_DEBT] < knobs[NEWCOMER_EVENTS]


@njit(cache=True)
def settle(i: int, knobs: F64, meter: F64, sums: F32, total: F64, window: I32) -> None:
    """Bring an item to the present: its window, and its debts drained by what counted since it was touched."""
    now = np.int32(meter[WINDOW])
    if window[i] != now:
        meter[ITEMS] += 1.0 if window[i] == 0 else 0.0
        just_before = window[i] == now - 1 and meter[BEFORE] > 0.0
        sums[i, OWN_BEFORE] = sums[i, OWN] / meter[BEFORE] if just_before else 0.0
        sums[i, OWN] = 0.0
        window[i] = now
    since = meter[TOTAL] - total[i]
    floor = max(knobs[SHARE], 1.0 / max(meter[ITEMS], 1.0))
    sums[i, DEBT] = max(0.0, sums[i, DEBT] - since * max(floor, knobs[GROWTH] * sums[i, OWN_BEFORE]))
    sums[i, NEW_DEBT] = max(0.0, sums[i, NEW_DEBT] - since * floor)
    total[i] = meter[TOTAL]


@njit(cache=True)
def count(i: int, cost: float, weight: float, known: bool, knobs: F64, meter: F64, sums: F32, total: F64) -> None:
    """Take note of an event that counts."""
    meter[TOTAL] += cost
    meter[COUNTED] += cost
    meter[WEIGHT] += weight
    meter[EVENTS] += 1.0
    meter[KNOWN if known else NEW] += cost
    sums[i, OWN] += cost
    if meter[BEFORE] == 0.0:  # nothing to compare with yet: all is free
        return
    sums[i, DEBT] += cost
    if meter[RATIO] == np.inf:
        sums[i, NEW_DEBT] = 0.0
    elif not known:
        sums[i, NEW_DEBT] += cost
    else:
        sums[i, NEW_DEBT] = max(0.0, sums[i, NEW_DEBT] - knobs[NEWCOMER_RATIO] * meter[RATIO] * cost)
