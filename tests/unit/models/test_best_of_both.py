"""The best items of two answers, each once, against a plain sort."""

from __future__ import annotations

import numpy as np

from everbrook.models.collaborative_kernels import best_of_both


def test_the_best_of_both_are_those_of_a_plain_sort_without_repeats() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        sizes = rng.integers(0, 60, 2)
        items, users = (rng.permutation(80)[:size].astype(np.int32) for size in sizes)
        mass, other = (rng.integers(1, 12, size).astype(np.float32) / 16.0 for size in sizes)
        limit = int(rng.integers(1, 40))
        best: dict[int, float] = {}
        for rows, shares in ((items, mass), (users, other)):
            for place, row in enumerate(rows.tolist()):
                best[row] = max(float(shares[place]), best.get(row, 0.0))
        wanted = sorted(best, key=lambda row: (-best[row], row))[:limit]
        assert best_of_both(items, mass, users, other, limit).tolist() == wanted


def test_nothing_gives_nothing() -> None:
    none, zero = np.empty(0, np.int32), np.empty(0, np.float32)
    assert best_of_both(none, zero, none, zero, 10).tolist() == []
