"""What stands in order without branches stands as by sorting."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.models.least import RANKED, kth_least, least_places


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7, 100, RANKED + 50])
@pytest.mark.parametrize("n", [0, 1, 2, 50, 101, 700])
def test_the_least_stand_first_and_equal_ones_by_place(n: int, count: int, ties: bool) -> None:
    rng = np.random.default_rng(n + count)
    values = rng.integers(-5, 5, n).astype(np.float64) if ties else rng.normal(size=n)
    assert least_places(values, count).tolist() == np.argsort(values, kind="stable")[:count].tolist()


def test_each_place_has_its_value() -> None:
    values = np.random.default_rng(0).integers(0, 30, 60) / 3.0
    assert [kth_least(values, k) for k in range(60)] == np.sort(values).tolist()
