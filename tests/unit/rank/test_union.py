"""The union of proposals and the best of candidates, against Python's own."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.rank.union import best_places, distinct
from everbrook.types import I32


def test_the_union_of_each_list_has_every_row_once_in_order_of_first_appearance() -> None:
    rng = np.random.default_rng(0)
    found: list[list[I32]] = [
        [rng.integers(0, 60, int(rng.integers(0, 30))).astype(np.int32) for _ in range(4)] for _ in range(6)
    ]
    found[2] = [np.empty(0, np.int32)] * 4
    for own, rows in zip(found, distinct(found), strict=True):
        assert rows.tolist() == list(dict.fromkeys(np.concatenate(own).tolist()))
        assert rows.dtype == np.int32


def test_the_union_of_no_lists_and_of_nobody_is_empty() -> None:
    assert distinct([]) == []
    assert [rows.tolist() for rows in distinct([[], []])] == [[], []]


@pytest.mark.parametrize("k", [-1, 0, 1, 7, 39, 40, 100])
def test_the_best_come_first_and_of_equals_the_lower_row(k: int) -> None:
    rng = np.random.default_rng(k + 1)
    for levels in (2, 5, 1000):
        final, rows = rng.integers(0, levels, 40) / levels, rng.permutation(1000)[:40].astype(np.int32)
        expected = np.lexsort((rows, -final))[: max(k, 0)]
        assert best_places(final, rows, k).tolist() == expected.tolist()
