"""Which rows are among others, for few and for many, as NumPy says it."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.models.members import allowed_of, among


@pytest.mark.parametrize(("rows", "some"), [(0, 5), (5, 0), (30, 12), (3_000, 900)])
def test_membership_is_that_of_numpy(rows: int, some: int) -> None:
    rng = np.random.default_rng(rows)
    left, right = (rng.integers(-1, 60, count).astype(np.int32) for count in (rows, some))
    np.testing.assert_array_equal(among(left, right), np.isin(left, right))


@pytest.mark.parametrize(("rows", "some"), [(0, 5), (5, 0), (30, 12), (3_000, 900)])
def test_what_is_allowed_and_not_left_out_stays_in_its_order(rows: int, some: int) -> None:
    rng = np.random.default_rng(rows)
    allowed = rng.random(60) < 0.7
    left, right = (rng.integers(0, 60, count).astype(np.int32) for count in (rows, some))
    out = set(right.tolist())
    expected = [row for row in left.tolist() if allowed[row] and row not in out]
    assert allowed_of(left, allowed, right).tolist() == expected
