"""The best of some rows, against NumPy's own sorting."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.models.best import best_places, pick_best


@pytest.mark.parametrize("k", [-1, 0, 1, 7, 39, 40, 100])
def test_the_best_come_first_and_of_equals_the_lower_row(k: int) -> None:
    rng = np.random.default_rng(k + 1)
    for levels in (2, 5, 1000):
        final, rows = rng.integers(0, levels, 40) / levels, rng.permutation(1000)[:40].astype(np.int32)
        expected = np.lexsort((rows, -final))[: max(k, 0)]
        assert best_places(final, rows, k).tolist() == expected.tolist()


def test_the_best_of_the_first_are_picked_with_what_they_have() -> None:
    rng = np.random.default_rng(3)
    final, all_rows = rng.integers(0, 5, 40) / 5, rng.permutation(1000)[:40].astype(np.int32)
    for shown, k in ((40, 7), (30, 30), (1, 1), (12, 0)):
        places, rows, scores = np.empty(k, np.int32), np.empty(k, np.int32), np.empty(k)
        pick_best(final, all_rows, shown, places, rows, scores)
        expected = np.lexsort((all_rows[:shown], -final[:shown]))[:k]
        assert places.tolist() == expected.tolist()
        assert rows.tolist() == all_rows[expected].tolist()
        assert scores.tolist() == final[expected].tolist()
