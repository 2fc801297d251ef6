"""The union of proposals, against Python's own."""

from __future__ import annotations

import numpy as np

from everbrook.rank.union import distinct
from everbrook.types import I32


def test_the_union_of_each_list_has_every_row_once_in_order_of_first_appearance() -> None:
    rng = np.random.default_rng(0)
    found: list[list[I32]] = [
        [rng.integers(0, 60, int(rng.integers(0, 30))).astype(np.int32) for _ in range(4)] for _ in range(6)
    ]
    found[2] = [np.empty(0, np.int32)] * 4
    stamp = np.zeros(2, np.int32)
    for own, rows in zip(found, distinct(found, stamp), strict=True):
        assert rows.tolist() == list(dict.fromkeys(np.concatenate(own).tolist()))
        assert rows.dtype == np.int32
    assert not stamp.any()


def test_the_union_of_no_lists_and_of_nobody_is_empty() -> None:
    stamp = np.zeros(1, np.int32)
    assert distinct([], stamp) == []
    assert [rows.tolist() for rows in distinct([[], []], stamp)] == [[], []]
