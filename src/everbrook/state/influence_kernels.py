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
BEFORE, RATIO, UNIT, STARTED = range(12, 16)
"""Places of the meter: the clock; the open window and its sums; how many items ever came; then what the window before
says to this one."""
DEBT, NEW_DEBT, OWN, OWN_BEFORE, TOUCHED, SEEN = range(6)
"""Columns of an item: both debts, what counted in its window, its share in the window before that, what had counted of
all when it was touched last, and that window."""
OWED, TOUCHED_MS = range(2)
"""Columns of an actor: its debt, and when it was touched last."""
LATE_RUN = 1000
"""Events in a row that lie more than a window behind the clock before the clock is taken for wrong."""
MOST_RATIO = 10.0
"""Newcomers to known actors, over all items, above which known actors are too few to bear anything out."""


@njit(cache=True)
def weigh(
    first: int, ts_ms: I64, actor: I32, item: I32, weight: F32, n: I32, items: I32, times: I64, knobs: F64, meter: F64,
    actor_rows: F64, item_rows: F64, n_actors: int, n_items: int, counts: Bool,
) -> tuple[int, int, int]:  # fmt: skip
    """Say of each event from `first` on whether it counts; events without a positive weight only move the clock.

    Returns:
        How many events are done (fewer than all where the rows must grow), and how many rows of actors and of items
        came so far.
    """
    for b in range(first, ts_ms.shape[0]):
        if actor[b] >= len(actor_rows) or item[b] >= len(item_rows):
            return b, n_actors, n_items
        n_actors, n_items = max(n_actors, actor[b] + 1), max(n_items, item[b] + 1)
        tick(float(ts_ms[b]), knobs, meter)
        counts[b] = True
        if not weight[b] > 0.0:
            continue
        meter[ARRIVED] += 1.0
        if not actor_may(b, ts_ms, actor_rows[actor[b]], item, n, items, times, knobs, meter):
            counts[b] = False
            continue
        row = item_rows[item[b]]
        known = is_known(b, item[b], n, items, int(knobs[KNOWN_ITEMS]))
        settle(row, knobs, meter)
        if not item_may(row, known, knobs, meter):
            counts[b] = False
            continue
        actor_rows[actor[b], OWED] += 1.0
        count(row, float(weight[b]), known, knobs, meter)
    return ts_ms.shape[0], n_actors, n_items


@njit(cache=True)
def tick(now_ms: float, knobs: F64, meter: F64) -> None:
    """Move the clock, which never goes back but for a long run of late events; close the window where it is over."""
    if meter[STARTED] == 0.0:
        meter[STARTED], meter[CLOCK_MS], meter[SINCE_MS] = 1.0, now_ms, now_ms
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
    b: int, ts_ms: I64, own: F64, item: I32, n: I32, items: I32, times: I64, knobs: F64, meter: F64,
) -> bool:  # fmt: skip
    """Whether the event's actor has not used up its window, in all and on the item; drains the actor's debt."""
    most = 0.5 * knobs[ACTOR_EVENTS]
    since_ms = meter[CLOCK_MS] - own[TOUCHED_MS]
    drained = since_ms * most / (1000.0 * knobs[WINDOW_S])
    own[OWED] = max(0.0, own[OWED] - drained) if since_ms >= 0.0 else 0.0  # below: under a clock that was wrong
    own[TOUCHED_MS] = meter[CLOCK_MS]
    if own[OWED] + 1.0 > most:
        return False
    first_ms = ts_ms[b] - 1000.0 * knobs[WINDOW_S]
    again = 0
    for j in range(n[b] - 1, -1, -1):  # times are looked up for the item alone: they lie in other memory
        if items[b, j] == item[b]:
            if times[b, j] < first_ms:
                break
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
def item_may(row: F64, known: bool, knobs: F64, meter: F64) -> bool:
    """Whether a settled item's debts leave room; while there is no window before to compare with, they do."""
    if meter[BEFORE] == 0.0:
        return True
    if row[DEBT] >= knobs[ITEM_EVENTS]:
        return False
    return known or meter[RATIO] == np.inf or row[NEW_DEBT] < knobs[NEWCOMER_EVENTS]


@njit(cache=True)
def settle(row: F64, knobs: F64, meter: F64) -> None:
    """Bring an item to the present: its window, and its debts drained by what counted since it was touched."""
    if row[SEEN] != meter[WINDOW]:
        meter[ITEMS] += 1.0 if row[SEEN] == 0.0 else 0.0
        just_before = row[SEEN] == meter[WINDOW] - 1.0 and meter[BEFORE] > 0.0
        row[OWN_BEFORE] = row[OWN] / meter[BEFORE] if just_before else 0.0
        row[OWN], row[SEEN] = 0.0, meter[WINDOW]
    since = meter[TOTAL] - row[TOUCHED]
    floor = max(knobs[SHARE], 1.0 / max(meter[ITEMS], 1.0))
    row[DEBT] = max(0.0, row[DEBT] - since * max(floor, knobs[GROWTH] * row[OWN_BEFORE]))
    row[NEW_DEBT] = max(0.0, row[NEW_DEBT] - since * floor)
    row[TOUCHED] = meter[TOTAL]


@njit(cache=True)
def count(row: F64, weight: float, known: bool, knobs: F64, meter: F64) -> None:
    """Take note of an event that counts."""
    cost = weight / meter[UNIT]
    meter[TOTAL] += cost
    meter[COUNTED] += cost
    meter[WEIGHT] += weight
    meter[EVENTS] += 1.0
    meter[KNOWN if known else NEW] += cost
    row[OWN] += cost
    if meter[BEFORE] == 0.0:  # nothing to compare with yet: all is free
        return
    row[DEBT] += cost
    if meter[RATIO] == np.inf:
        row[NEW_DEBT] = 0.0
    elif not known:
        row[NEW_DEBT] += cost
    else:
        row[NEW_DEBT] = max(0.0, row[NEW_DEBT] - knobs[NEWCOMER_RATIO] * meter[RATIO] * cost)
