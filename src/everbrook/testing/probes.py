"""How the contract suite looks at an expert: one call each to feed it, ask it, and judge the answer.

Not the checks themselves (see `contracts`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from everbrook.testing.streams import ACTORS, ITEMS, START_MS
from everbrook.types import F32, F64, I32, NO_ROW, Arrays, Bool, Expert, Query, Step

ALL_ROWS = np.arange(ITEMS, dtype=np.int32)
Make = Callable[[], Expert]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a family claims of itself, where families may differ."""

    learns: frozenset[str] = frozenset()
    """Names of `WORLDS` whose regularity at least one column finds from `observe` alone (or was fitted to)."""
    observe_sleeps: bool = False
    """`observe` may leave a column asleep where `score` would have spoken (dear families are sampled)."""
    seed: int = 1
    """Of the made worlds: a family that is fitted beforehand is fitted to `markov_stream(seed)` and the like."""
    bytes_limit: int | None = None
    """What `state` may take for `ITEMS` and `ACTORS`; where None it must only stop growing."""
    rtol: float = 2e-3
    """How far the same probability may differ between two ways to compute it."""


def must(holds: bool, message: str) -> None:
    """Fail the check with a message where something does not hold."""
    if not holds:
        raise AssertionError(message)


def grown(make: Make) -> Expert:
    """A fresh expert with room for `ITEMS` and `ACTORS`."""
    expert = make()
    expert.grow(ITEMS, ACTORS)
    return expert


def observe(expert: Expert, step: Step) -> tuple[F32, F32]:
    """What `observe` writes, over places that were filled with nonsense."""
    K = len(expert.names)
    mass, rest = np.full((len(step), K), -3, np.float32), np.full((len(step), K), -3, np.float32)
    expert.observe(step, mass, rest)
    return mass, rest


def score(expert: Expert, query: Query, rows: I32 = ALL_ROWS) -> tuple[F32, F32]:
    """What `score` writes, over places that were filled with nonsense."""
    K = len(expert.names)
    mass, rest = np.full((len(rows), K), -3, np.float32), np.full(K, -3, np.float32)
    expert.score(query, rows, mass, rest)
    return mass, rest


def strangers(now_ms: int = START_MS) -> tuple[Query, ...]:
    """Nobody we know: without a past, and with an item page's item as a past of one."""
    no_items, no_times, no_kinds = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int16)
    now = int(now_ms)
    one = (np.array([5], np.int32), np.array([now], np.int64), np.zeros(1, np.int16))
    return Query(now, NO_ROW, NO_ROW, no_items, no_times, no_kinds, 0), Query(now, NO_ROW, 0, *one, session_n=1)


def queries(step: Step, count: int) -> list[Query]:
    """What would have been asked before some events, evenly spread."""
    return [step.query(int(b)) for b in np.linspace(0, len(step) - 1, count)]


def far_future(step: Step) -> Query:
    """The last event's question, asked fifty years later."""
    last = step.query(len(step) - 1)
    later = last.now_ms + 50 * 365 * 86_400_000
    return Query(later, last.actor, last.scenario, last.items, last.times, last.kinds, 0)


def check_range(mass: F32, rest: F32, where: str) -> None:
    """Mass and rest are numbers that a probability can have."""
    must(bool(np.isfinite(mass).all()), f"Mass must be finite, asleep or not; got {_worst(mass)} from {where}.")
    must(bool((mass >= 0).all() and (mass <= 1.0001).all()), f"Mass must be in 0..1; got {_worst(mass)} from {where}.")
    awake = rest[~np.isnan(rest)]
    in_range = bool((awake >= -1e-6).all() and (awake <= 1.0001).all())
    must(in_range, f"Rest must be in 0..1, or NaN for asleep; got {_worst(awake)} from {where}.")


def _worst(values: F32) -> float:
    if not values.size:
        return float("nan")
    return float(values.flat[int(np.argmax(np.where(np.isfinite(values), np.abs(values - 0.5), np.inf)))])


def check_sum(expert: Expert, query: Query, when: str) -> None:
    """Each awake column sums to 1 over all items and its rest."""
    mass, rest = score(expert, query)
    check_range(mass, rest, f"score {when}")
    total = mass.astype(np.float64).sum(axis=0) + rest
    for name, value in zip(expert.names, total, strict=True):
        must(bool(np.isnan(value)) or abs(value - 1) <= 1e-4, f"'{name}' must sum to 1 {when}; got {value:.6f}.")


def check_proposal(rows: I32, limit: int) -> None:
    """Rows are distinct, known and few enough."""
    shaped = rows.dtype == np.int32 and rows.ndim == 1
    must(shaped, f"Proposals must be int32 of one axis; got {rows.dtype} of {rows.ndim} axes.")
    must(len(rows) <= limit, f"At most {limit} rows may be proposed; got {len(rows)}.")
    must(len(set(map(int, rows))) == len(rows), f"Proposed rows must be distinct; got {rows.tolist()}.")
    must(bool(((rows >= 0) & (rows < ITEMS)).all()), f"Proposed rows must be in 0..{ITEMS - 1}; got {rows.tolist()}.")


def close(got: F32, expected: F32, caps: Capabilities, what: str) -> None:
    """Two computations of the same probabilities agree."""
    same = np.allclose(got, expected, rtol=caps.rtol, atol=2e-6, equal_nan=True)
    must(same, f"Must agree: {what}; got {np.asarray(got).ravel()[:6]} and {np.asarray(expected).ravel()[:6]}.")


def same_scores(one: Expert, two: Expert, query: Query, caps: Capabilities, when: str) -> None:
    """Two experts answer a question alike."""
    for what, first, second in zip(("mass", "rest"), score(one, query), score(two, query), strict=True):
        close(second, first, caps, f"{what} {when}")


def copied(arrays: Arrays) -> Arrays:
    """The arrays, apart from their owner."""
    return {name: np.array(array, copy=True) for name, array in arrays.items()}


def same_arrays(before: Arrays, after: Arrays, when: str) -> None:
    """Two states are the same to the bit."""
    odd = sorted(before.keys() ^ after.keys())
    must(not odd, f"The same arrays must be there {when}; {odd} are not.")
    for name, array in before.items():
        numbers = array.dtype.kind == "f"
        same = np.array_equal(array, after[name], equal_nan=numbers)
        must(same, f"Array {name!r} must be the same {when}; it differs.")


def gain(expert: Expert, step: Step, known: Bool) -> tuple[float, float]:
    """Mean log-likelihood of the best column over a uniform guess, and how often the proposals hold the item.

    Args:
        expert: it learns from each event after it was asked.
        step: the events.
        known: (B,) which of them are worth predicting.
    """
    likelihoods: list[F64] = []
    held: list[bool] = []
    for b in range(len(step)):
        if known[b]:
            query = step.query(b)
            mass, rest = score(expert, query, step.item[b : b + 1])
            rest = np.where(np.isnan(rest), 1.0, rest)
            likelihoods.append(np.log(np.maximum(mass[0] + rest / ITEMS, 1e-6) * ITEMS))
            held.append(bool(np.isin(step.item[b], expert.propose(query, 24))))
        observe(expert, step.slice(b, b + 1))
    return float(np.mean(likelihoods, axis=0).max()), float(np.mean(held))
