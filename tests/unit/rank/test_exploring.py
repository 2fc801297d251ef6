"""Drawn places: the probabilities that are told are those that happen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from everbrook.rank.exploring import explored

DRAWS = 20_000


@pytest.mark.parametrize(("share", "temperature", "rest"), [(0.3, 1.0, 9), (1.0, 3.0, 10), (0.05, 0.5, 4)])
def test_what_is_told_is_how_often_it_happens(share: float, temperature: float, rest: int) -> None:
    rng = np.random.default_rng(7)
    k, probability = 4, rng.gamma(1.0, size=4 + rest)
    ranked, below = np.arange(k, dtype=np.int32), np.arange(k, k + rest, dtype=np.int32)
    seen: Counter[tuple[int, int]] = Counter()
    told: dict[tuple[int, int], float] = {}
    for _ in range(DRAWS):
        rows, known = explored(ranked, below, probability, share, temperature, rng)
        assert len(set(rows.tolist())) == k
        for place, (row, odds) in enumerate(zip(rows.tolist(), known.tolist(), strict=True)):
            seen[row, place] += 1
            assert told.setdefault((row, place), odds) == pytest.approx(odds)
    for one, odds in told.items():
        assert abs(seen[one] / DRAWS - odds) < 5.0 * np.sqrt(odds * (1.0 - odds) / DRAWS) + 1e-9, one
    for place in range(k):  # whatever can stand in a place has been seen, and its chances are all there are
        assert sum(odds for (_, at), odds in told.items() if at == place) == pytest.approx(1.0, abs=0.01)


def test_a_place_without_items_below_it_is_never_drawn() -> None:
    rows, known = explored(
        np.arange(3, dtype=np.int32), np.array([3], np.int32), np.full(4, 0.25), 1.0, 1.0, np.random.default_rng(0)
    )
    assert rows.tolist() == [3, 1, 2]
    assert known.tolist() == [1.0, 1.0, 1.0]
    rows, known = explored(rows, np.empty(0, np.int32), np.full(4, 0.25), 0.5, 1.0, np.random.default_rng(0))
    assert (rows.tolist(), known.tolist()) == ([3, 1, 2], [1.0, 1.0, 1.0])


def test_what_has_no_probability_is_never_drawn() -> None:
    """However even the draws are; a place that has nothing else below it keeps its own for sure."""
    probability = np.array([0.4, 0.3, 0.2, 0.1, 0.0, 0.0, 0.0])
    rng, ranked, below = np.random.default_rng(1), np.arange(2, dtype=np.int32), np.arange(2, 7, dtype=np.int32)
    for _ in range(50):
        rows, known = explored(ranked, below, probability, 1.0, 100.0, rng)
        assert (rows.tolist(), known.tolist()) == ([2, 3], [1.0, 1.0])
    rows, known = explored(np.arange(4, dtype=np.int32), below[2:], probability, 1.0, 100.0, rng)
    assert (rows.tolist(), known.tolist()) == ([0, 1, 2, 3], [1.0] * 4)


def test_the_same_seed_draws_the_same() -> None:
    lists = [
        explored(np.arange(5, dtype=np.int32), np.arange(5, 50, dtype=np.int32), np.full(50, 0.02), 0.5, 1.0,
                 np.random.default_rng(3))[0].tolist()
        for _ in range(2)
    ]  # fmt: skip
    assert lists[0] == lists[1]
