"""Variety and calibration: what is chosen next, compared with a plain loop; and what each does to a made list."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everbrook.rank.variety import SMOOTHING, mix_of, no_mix, varied
from everbrook.types import F32, F64, I32, I64, NO_ROW


def csr(sets: list[list[int]]) -> tuple[I64, I32]:
    """Sets of codes end to end."""
    begins = np.concatenate(([0], np.cumsum([len(one) for one in sets]))).astype(np.int64)
    return begins, np.array([code for one in sets for code in one], np.int32)


def plain(
    vectors: F32, probability: F64, history: list[list[int]], sets: list[list[int]], k: int,
    shares: tuple[float, float], pins: dict[int, int] | None = None,
) -> list[int]:  # fmt: skip
    """The formulas as they are written, one candidate at a time; pins are taken when their place comes."""
    d, c = shares
    logs = [math.log(p) for p in probability]
    relevance = [(x - min(logs)) / (max(logs) - min(logs)) for x in logs]
    want = mix(history)
    chosen: list[int] = []
    while len(chosen) < k:
        if len(chosen) in (pins or {}):
            chosen.append((pins or {})[len(chosen)])
            continue
        values = {}
        for i in range(len(logs)):
            if i in chosen:
                continue
            near = max([0.0, *(float(vectors[i] @ vectors[j]) for j in chosen)])
            got = mix([sets[j] for j in [*chosen, i]], whole=True)
            distance = sum(
                share * math.log(share / ((1 - SMOOTHING) * got.get(code, 0.0) + SMOOTHING * share))
                for code, share in want.items()
            )
            values[i] = (1 - d) * (1 - c) * relevance[i] - d * near - (c * distance if c else 0.0)
        chosen.append(max(values, key=lambda i: values[i]))
    return chosen


def mix(sets: list[list[int]], whole: bool = False) -> dict[int, float]:
    """Shares of categories; of all items, or of those that have any."""
    found: dict[int, float] = {}
    counted = len(sets) if whole else sum(bool(one) for one in sets)
    for one in sets:
        for code in one:
            found[code] = found.get(code, 0.0) + 1.0 / len(one) / counted
    return found


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (0.2, 0.5), (1.0, 0.0), (0.0, 0.9)])
def test_the_choice_is_that_of_the_written_formulas(shares: tuple[float, float]) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        vectors = rng.normal(size=(30, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        probability = rng.gamma(0.5, size=30) + 1e-6
        sets = [rng.choice(6, rng.integers(0, 4), replace=False).tolist() for _ in range(30)]
        history = [rng.choice(6, rng.integers(0, 3), replace=False).tolist() for _ in range(12)]
        found = varied(vectors, probability, mix_of(csr(history), csr(sets)), 10, shares)
        assert found.tolist() == plain(vectors, probability, history, sets, 10, shares)


def test_no_wish_for_variety_keeps_the_order_of_probability() -> None:
    probability = np.random.default_rng(3).gamma(1.0, size=50)
    found = varied(np.eye(50, 8, dtype=np.float32), probability, no_mix(50), 50, (0.0, 0.0))
    assert found.tolist() == np.argsort(-probability).tolist()


def test_of_two_alike_only_the_better_stands_high() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    probability = np.array([0.4, 0.39, 0.2, 0.1])
    assert varied(vectors, probability, no_mix(4), 3, (0.6, 0.0)).tolist() == [0, 2, 3]


def test_a_calibrated_list_has_the_mix_of_the_history() -> None:
    """Seven of ten past items are of one category, three of another whose best candidate is the sixteenth."""
    sets = [[0]] * 15 + [[1]] * 15 + [[2]] * 10
    probability = 0.9 ** np.arange(40)
    mixed = mix_of(csr([[0]] * 7 + [[1]] * 3), csr(sets))
    chosen = varied(np.zeros((40, 1), np.float32), probability, mixed, 10, (0.0, 0.98))
    assert np.bincount([sets[i][0] for i in chosen], minlength=3).tolist() == [7, 3, 0]
    plainly = varied(np.zeros((40, 1), np.float32), probability, mixed, 10, (0.0, 0.0))
    assert np.bincount([sets[i][0] for i in plainly], minlength=3).tolist() == [10, 0, 0]


def test_a_history_without_categories_calibrates_nothing() -> None:
    probability = 0.9 ** np.arange(5)
    mixed = mix_of(csr([[], []]), csr([[0], [1], [0], [2], []]))
    assert varied(np.zeros((5, 1), np.float32), probability, mixed, 5, (0.0, 1.0)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shares", [(0.4, 0.0), (0.9, 0.0), (0.0, 0.6), (0.3, 0.4)])
def test_a_pinned_item_counts_for_what_stands_below_it_and_for_nothing_above(shares: tuple[float, float]) -> None:
    """Against the written formulas, where the pinned ones are chosen by force when their place comes."""
    turns = np.array([NO_ROW, 1, NO_ROW, NO_ROW, 0, NO_ROW, NO_ROW], np.int64)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        vectors = rng.normal(size=(22, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        probability = rng.gamma(0.5, size=20) + 1e-6
        sets = [rng.choice(6, rng.integers(0, 4), replace=False).tolist() for _ in range(22)]
        history = [rng.choice(6, rng.integers(1, 3), replace=False).tolist() for _ in range(12)]
        found = varied(vectors, probability, mix_of(csr(history), csr(sets)), 5, shares, turns)
        want = plain(vectors, probability, history, sets, len(turns), shares, {1: 21, 4: 20})
        assert found.tolist() == [one for one in want if one < 20]


def test_a_pool_smaller_than_the_list_is_taken_whole() -> None:
    assert varied(np.zeros((2, 3), np.float32), np.array([0.1, 0.2]), no_mix(2), 5, (0.5, 0.0)).tolist() == [1, 0]
    assert varied(np.zeros((0, 3), np.float32), np.zeros(0), no_mix(0), 5, (0.5, 0.0)).tolist() == []
