"""Repeats against a plain table of hits and trials in dictionaries."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.models.repeats import Repeats
from everbrook.settings.repeats import RepeatsSettings
from everbrook.testing.streams import Marks, fold_step
from everbrook.types import Step

SETTINGS = RepeatsSettings(window=12, memory=1000, prior=5.0)
RANKS = (0, 1, 2, 3, 4, 6, 9, 15, 25)
GAPS_S = (10, 60, 300, 1800, 10800, 86400, 259200, 604800, 2592000)


def own_items(step: Step, b: int) -> list[tuple[int, dict[int, tuple[object, ...]]]]:
    """The distinct items of the window, nearest first, each with its cell by column."""
    n, now = int(step.n[b]), int(step.ts_ms[b])
    window = range(n - 1, max(0, n - SETTINGS.window) - 1, -1)
    own: list[tuple[int, dict[int, tuple[object, ...]]]] = []
    for p in window:
        item = int(step.items[b, p])
        if item in [i for i, _ in own]:
            continue
        times = sum(int(step.items[b, q]) == item for q in window)
        rank = max(r for r, least in enumerate(RANKS) if len(own) >= least)
        gap = sum((now - int(step.times[b, p])) > 1000 * g for g in GAPS_S)
        inside = p >= n - int(step.session_n[b])
        cells = {1: (rank, gap, min(times, 4), inside), 2: (rank, gap, int(step.kinds[b, p]) & 15)}
        if inside:
            cells[0] = (rank, gap, min(times, 4))
        own.append((item, cells))
    return own


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4_000), st.integers(0, 2), st.integers(0, 5), st.integers(0, 3)),
        min_size=1,
        max_size=70,
    )
)
def test_chances_are_what_plain_counting_gives(made: list[tuple[int, int, int, int]]) -> None:
    gaps_s, actors, items, kinds = (np.array(x) for x in zip(*made, strict=True))
    B = len(made)
    marks = Marks(kinds.astype(np.int16), np.full(B, -1, np.int16), np.ones(B, np.float32))
    ts = 1_700_000_000_000 + 1000 * np.cumsum(gaps_s)
    step = fold_step(ts, actors.astype(np.int32), items.astype(np.int32), marks)
    expert = Repeats(SETTINGS)
    mass, rest = np.empty((B, 3), np.float32), np.empty((B, 3), np.float32)
    expert.observe(step, mass, rest)
    table: dict[tuple[object, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    prior = SETTINGS.prior
    for b in range(B):
        own = own_items(step, b)
        for col in range(3):
            chances = {}
            for item, cells in own:
                if col in cells:
                    rank, cell = table[col, cells[col][0]], table[col, "cell", cells[col]]
                    above = (rank[0] + 0.02 * prior) / (rank[1] + prior)
                    chances[item] = (cell[0] + prior * above) / (cell[1] + prior)
            total = sum(chances.values())
            scale = min(1.0, 0.98 / total) if total else 1.0
            expected = scale * chances.get(int(step.item[b]), 0.0)
            np.testing.assert_allclose(mass[b, col], expected, rtol=1e-4, atol=1e-7)
            np.testing.assert_allclose(rest[b, col], 1 - scale * total if chances else np.nan, rtol=1e-4)
        for item, cells in own:
            for col, cell in cells.items():
                for counts in (table[col, "cell", cell], table[col, cell[0]]):
                    counts[0] += item == step.item[b]
                    counts[1] += 1
