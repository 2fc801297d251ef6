"""Which rows are among others, for few and for many, as NumPy says it."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.models.members import among


@pytest.mark.parametrize(("rows", "some"), [(0, 5), (5, 0), (30, 12), (3_000, 900)])
def test_membership_is_that_of_numpy(rows: int, some: int) -> None:
    rng = np.random.default_rng(rows)
    left, right = (rng.integers(-1, 60, count).astype(np.int32) for count in (rows, some))
    np.testing.assert_array_equal(among(left, right), np.isin(left, right))
