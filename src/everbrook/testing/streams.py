"""Small made streams in row space, folded by a slow and obvious loop: what the contract suite feeds to experts.

Not the generator of made worlds (see `worlds`): these hold a few thousand events whose one regularity is known.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from everbrook.types import F32, I16, I32, I64, Bool, Step

ITEMS = 48
ACTORS = 32
CAPACITY = 20
SESSION_GAP_MS = 1_800_000
START_MS = 1_750_000_000_000


@dataclass(frozen=True, slots=True)
class Marks:
    """What beside time, actor and item an event carries; each (B,)."""

    kind: I16
    scenario: I16
    weight: F32


def plain_marks(events: int) -> Marks:
    """One kind, no scenario, weight 1."""
    return Marks(np.zeros(events, np.int16), np.full(events, -1, np.int16), np.ones(events, np.float32))


def fold_step(ts_ms: I64, actor: I32, item: I32, marks: Marks | None = None) -> Step:
    """Give every event its actor's history just before it, by a plain loop.

    Args:
        ts_ms: (B,) times; they may stand still or go back.
        actor: (B,) rows.
        item: (B,) rows.
        marks: kinds, scenarios and weights; plain ones where None.
    """
    B = len(ts_ms)
    marks = marks or plain_marks(B)
    n, session_n = np.zeros(B, np.int32), np.zeros(B, np.int32)
    items = np.full((B, CAPACITY), -7, np.int32)  # beyond n anything may stand: here something that hurts
    times = np.full((B, CAPACITY), -(2**60), np.int64)
    kinds = np.full((B, CAPACITY), -7, np.int16)
    past: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    in_session: dict[int, int] = defaultdict(int)
    for b in range(B):
        key, now = int(actor[b]), int(ts_ms[b])
        history = past[key][-CAPACITY:]
        if history and now - history[-1][1] >= SESSION_GAP_MS:
            in_session[key] = 0
        n[b], session_n[b] = len(history), min(in_session[key], len(history))
        for place, (row, at, kind) in enumerate(history):
            items[b, place], times[b, place], kinds[b, place] = row, at, kind
        past[key].append((int(item[b]), now, int(marks.kind[b])))
        in_session[key] += 1
    return Step(
        ts_ms=np.asarray(ts_ms, np.int64), actor=np.asarray(actor, np.int32), item=np.asarray(item, np.int32),
        kind=marks.kind, scenario=marks.scenario, value=np.full(B, np.nan, np.float32), weight=marks.weight,
        n=n, session_n=session_n, items=items, times=times, kinds=kinds,
    )  # fmt: skip


def random_stream(seed: int, events: int = 400) -> Step:
    """Anything at all: skewed items, three kinds, scenarios with and without a name, weights of every sign."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(20_000, events) * np.where(rng.random(events) < 0.02, 5_000, 1)
    marks = Marks(
        kind=rng.integers(0, 3, events).astype(np.int16),
        scenario=rng.integers(-1, 3, events).astype(np.int16),
        weight=rng.choice(np.array([1, 1, 1, 3, 0, -1], np.float32), events),
    )
    item = np.minimum(rng.zipf(1.4, events) - 1, ITEMS - 1)
    return fold_step(START_MS + np.cumsum(gaps).astype(np.int64), _rows(rng, ACTORS, events), item, marks)


def extreme_streams(events: int = 120) -> dict[str, Step]:
    """Streams that a careless formula divides by zero, overflows or underflows on, by what is extreme in them."""
    rng = np.random.default_rng(3)
    ticks = START_MS + 1_000 * np.arange(events, dtype=np.int64)
    actor, item = _rows(rng, ACTORS, events), _rows(rng, ITEMS, events)
    year_ms = 365 * 86_400_000
    leaps = np.where(np.arange(events) % 7 == 6, ticks - 20 * year_ms, ticks)
    return {
        "equal times": fold_step(np.full(events, START_MS, np.int64), actor, item),
        "gaps of 30 years": fold_step(START_MS + 30 * year_ms * np.arange(events, dtype=np.int64), actor, item),
        "time going back": fold_step(ticks[::-1].copy(), actor, item),
        "a leap back of 20 years": fold_step(leaps, actor, item),
        "one item": fold_step(ticks, actor, np.zeros(events, np.int32)),
        "one actor": fold_step(ticks, np.zeros(events, np.int32), item),
        "weight 0": fold_step(ticks, actor, item, _weighted(events, 0.0)),
        "weight below 0": fold_step(ticks, actor, item, _weighted(events, -1.0)),
        "weight of a million": fold_step(ticks, actor, item, _weighted(events, 1e6)),
    }


def markov_stream(seed: int, events: int = 4_000, noise: float = 0.1) -> tuple[Step, Bool]:
    """Each next item is a known function of the actor's last one, but for some noise; all items equally popular.

    Returns:
        The events, and (B,) whether the event's item followed from the one before.
    """
    rng = np.random.default_rng(seed)
    successor = successors(seed)
    actor = _rows(rng, ACTORS, events)
    last = rng.integers(0, ITEMS, ACTORS)
    item, followed = np.zeros(events, np.int32), rng.random(events) >= noise
    for b in range(events):
        item[b] = successor[last[actor[b]]] if followed[b] else rng.integers(0, ITEMS)
        last[actor[b]] = item[b]
    step = fold_step(START_MS + 2_000 * np.arange(events, dtype=np.int64), actor, item)
    return step, followed & (step.n > 0)


def successors(seed: int) -> I32:
    """(ITEMS,) which item follows each in `markov_stream(seed)`: one cycle over all items."""
    order = np.random.default_rng([seed, 1]).permutation(ITEMS)
    successor = np.empty(ITEMS, np.int32)
    successor[order] = np.roll(order, -1)
    return successor


def popularity_stream(seed: int, events: int = 4_000) -> tuple[Step, Bool]:
    """Five items take four fifths of all events, whoever acts; every event is worth predicting."""
    rng = np.random.default_rng(seed)
    head = rng.random(events) < 0.8
    item = np.where(head, rng.integers(0, 5, events), rng.integers(0, ITEMS, events))
    step = fold_step(START_MS + 2_000 * np.arange(events, dtype=np.int64), _rows(rng, ACTORS, events), item)
    return step, np.ones(events, np.bool_)


def repeats_stream(seed: int, events: int = 4_000) -> tuple[Step, Bool]:
    """Everyone keeps coming back to three items of their own."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, ITEMS, (ACTORS, 3), np.int32)
    actor = _rows(rng, ACTORS, events)
    item = own[actor, rng.integers(0, 3, events)]
    step = fold_step(START_MS + 2_000 * np.arange(events, dtype=np.int64), actor, item)
    return step, step.n >= 8


def checkerboard_stream(seed: int, events: int = 4_000) -> tuple[Step, Bool]:
    """Actors of even rows take even items, actors of odd rows odd ones, in no order."""
    rng = np.random.default_rng(seed)
    actor = _rows(rng, ACTORS, events)
    item = 2 * rng.integers(0, ITEMS // 2, events) + actor % 2
    step = fold_step(START_MS + 2_000 * np.arange(events, dtype=np.int64), actor, item)
    return step, step.n >= 8


def _rows(rng: np.random.Generator, below: int, events: int) -> I32:
    return rng.integers(0, below, events).astype(np.int32)


def _weighted(events: int, weight: float) -> Marks:
    plain = plain_marks(events)
    return Marks(plain.kind, plain.scenario, np.full(events, weight, np.float32))
