"""Transitions against plain dictionaries that remember every pair with its time."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.models.pairs import FIRST, LENGTH, OFFSET, ROOM
from everbrook.models.transitions import Transitions
from everbrook.settings.transitions import TransitionsSettings
from everbrook.testing.streams import fold_step
from everbrook.types import F64, Step

ITEMS = 10
SETTINGS = TransitionsSettings(half_lives_s=(3600.0, 0.0), learn_window=3, query_window=4, row_limit=64)
NEXT, AFTER, BEFORE = 0, 1, 2

events = st.lists(
    st.tuples(st.integers(0, 2_500), st.integers(0, 2), st.integers(0, ITEMS - 1)), min_size=1, max_size=60
)


def step_of(made: list[tuple[int, int, int]]) -> Step:
    gaps_s, actors, items = zip(*made, strict=True)
    ts = 1_700_000_000_000 + 1000 * np.cumsum(np.array(gaps_s, np.int64))
    return fold_step(ts, np.array(actors, np.int32), np.array(items, np.int32))


class Slow:
    """The same expert, event by event, with every pair in a list."""

    def __init__(self, s: TransitionsSettings) -> None:
        self.s, self.H = s, len(s.half_lives_s)
        self.seen: dict[tuple[int, int, int], list[tuple[float, float]]] = defaultdict(list)
        self.popular: dict[int, list[float]] = defaultdict(list)
        self.trust = {(col, bucket): [0.3, 20.0] for col in range(3 * self.H) for bucket in range(24)}

    def faded(self, row: int, kind: int, now: float, h: int, item: int | None = None) -> float:
        half_life = self.s.half_lives_s[h]
        return sum(
            w * (2.0 ** (-(now - t) / half_life) if half_life else 1.0)
            for (a, b, c), all_ in self.seen.items()
            if a == row and c == kind and item in (None, b)
            for t, w in all_
        )

    def asked(self, step: Step, b: int, width: int) -> list[tuple[int, bool]]:
        n, found = int(step.n[b]), []
        for p in range(n - 1, max(0, n - 4 * max(self.s.query_window, self.s.learn_window)) - 1, -1):
            item = int(step.items[b, p])
            if item not in [i for i, _ in found]:
                found.append((item, p >= n - int(step.session_n[b])))
        return found[:width]

    def read(self, now: float, asked: list[tuple[int, bool]], y: int) -> tuple[F64, F64]:
        got, evidence, weights = np.zeros(3 * self.H), np.zeros(3 * self.H), np.zeros(3 * self.H)
        for j, (row, inside) in enumerate(asked):
            q = self.s.query_decay**j * (1.0 if inside else self.s.across)
            for h in range(self.H):
                kinds = ((AFTER, 1.0),), ((AFTER, 1.0), (BEFORE, self.s.backward))
                for col, parts in zip((self.H + h, 2 * self.H + h), kinds, strict=True):
                    total = sum(w * self.faded(row, c, now, h) for c, w in parts)
                    if total > 1e-9:
                        sure = q * total / (total + self.s.doubt)
                        weights[col] += sure
                        evidence[col] += q * total
                        got[col] += sure * sum(w * self.faded(row, c, now, h, y) for c, w in parts) / total
                total = self.faded(row, NEXT, now, h)
                if j == 0 and total > 1e-9:
                    got[h], evidence[h], weights[h] = self.faded(row, NEXT, now, h, y) / total, total, 1.0
        return np.divide(got, weights, out=np.zeros_like(got), where=weights > 0), evidence

    def one(self, step: Step, b: int) -> tuple[F64, F64]:
        now, y = (int(step.ts_ms[b]) - int(step.ts_ms[0])) // 1000, int(step.item[b])
        got, evidence = self.read(now, self.asked(step, b, self.s.query_window), y)
        rest = np.full(3 * self.H, np.nan)
        p = self.base(now, y)
        for col in np.flatnonzero(evidence > 0):
            cell = self.trust[col, min(max(math.frexp(evidence[col])[1] + 10, 0), 23)]
            rest[col] = cell[0]
            blame = cell[0] * p / (cell[0] * p + (1 - cell[0]) * got[col] + 1e-30)
            cell[1] += 1
            cell[0] = min(max(cell[0] + (blame - cell[0]) / cell[1], 1e-3), 1 - 1e-3)
        self.popular[y].append(now)
        for j, (row, inside) in enumerate(self.asked(step, b, self.s.learn_window)):
            v = self.s.learn_decay**j * (1.0 if inside else self.s.across)
            if row != y:
                for kind, a, c in ((NEXT, row, y), (AFTER, row, y), (BEFORE, y, row)):
                    if kind != NEXT or j == 0:
                        self.seen[a, c, kind].append((now, v))
        return np.where(evidence > 0, (1 - rest) * got, 0.0), rest

    def base(self, now: float, y: int) -> float:
        p = 0.0
        for half_life in (3600.0, 0.0):
            weigh = {
                i: sum(2.0 ** (-(now - t) / half_life) if half_life else 1.0 for t in ts)
                for i, ts in self.popular.items()
            }
            p += (weigh.get(y, 0.0) + 0.01) / (sum(weigh.values()) + 0.01 * ITEMS)
        return p / 2


@settings(max_examples=40, deadline=None)
@given(events)
def test_masses_are_what_plain_dictionaries_give(made: list[tuple[int, int, int]]) -> None:
    step = step_of(made)
    expert, slow = Transitions(SETTINGS), Slow(SETTINGS)
    expert.grow(ITEMS, 3)
    mass, rest = np.empty((len(step), 6), np.float32), np.empty((len(step), 6), np.float32)
    expert.observe(step, mass, rest)
    for b in range(len(step)):
        slow_mass, slow_rest = slow.one(step, b)
        np.testing.assert_allclose(mass[b], slow_mass, rtol=2e-3, atol=1e-6)
        np.testing.assert_allclose(rest[b], slow_rest, rtol=2e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 7, 16]), st.integers(1, 3))
def test_a_full_row_keeps_its_limit_and_its_sums(seed: int, row_limit: int, learn_window: int) -> None:
    rng = np.random.default_rng(seed)
    B, N = 400, 40
    ts = 1_700_000_000_000 + np.cumsum(rng.integers(0, 600_000, B))
    step = fold_step(ts, rng.integers(0, 4, B).astype(np.int32), (N * rng.random(B) ** 3).astype(np.int32))
    expert = Transitions(
        TransitionsSettings(half_lives_s=(3600.0, 0.0), learn_window=learn_window, row_limit=row_limit)
    )
    expert.grow(N, 4)
    expert.observe(step, np.empty((B, 6), np.float32), np.empty((B, 6), np.float32))
    state = expert.state()
    head, totals, counts = state["pairs.head"], state["pairs.totals"], state["pairs.counts"]
    assert head[:, LENGTH].max() <= row_limit
    taken = np.zeros(len(counts), np.int64)
    for row in range(N):
        start, length = head[row, OFFSET], head[row, LENGTH]
        taken[start : start + head[row, ROOM]] += 1
        others = state["pairs.others"][start : start + length]
        assert len(set(others.tolist())) == length
        never_forgotten = counts[start : start + length, 1::2].sum(0)
        np.testing.assert_allclose(totals[row, 1::2], never_forgotten, rtol=1e-4, atol=1e-4)
    for size_class, first in enumerate(state["pairs.free"]):
        block = int(first)
        while block >= 0:
            taken[block : block + (FIRST << size_class)] += 1
            block = max(-1, FIRST * int(state["pairs.others"][block]))
    assert (taken == 1).all()  # each place of the pool belongs to one row or to one free block
