"""The union of proposals, against Python's own."""

from __future__ import annotations

import numpy as np

from everbrook.rank.union import distinct


def test_the_union_of_each_list_has_every_row_once_in_order_of_first_appearance() -> None:
    rng = np.random.default_rng(0)
    families, lists, limit = 4, 6, 30
    found = rng.integers(0, 60, (families, lists, limit)).astype(np.int32)
    kept = rng.integers(0, limit + 1, (families, lists))
    kept[:, 2], kept[:, 3] = 0, limit
    stamp, counts = np.zeros(2, np.int32), np.empty(lists, np.int64)
    rows = np.empty((lists, families * limit), np.int32)
    distinct(found, kept, stamp, rows, counts)
    for b in range(lists):
        proposed = [row for f in range(families) for row in found[f, b, : kept[f, b]].tolist()]
        assert rows[b, : counts[b]].tolist() == list(dict.fromkeys(proposed))
    assert not stamp.any()


def test_the_union_of_no_lists_is_empty() -> None:
    stamp, none = np.zeros(1, np.int32), np.empty(0, np.int64)
    distinct(np.empty((3, 0, 5), np.int32), np.empty((3, 0), np.int64), stamp, np.empty((0, 15), np.int32), none)
    assert not stamp.any()
