"""The items nearest by their numbers: as a plain look at all of them says, ties included."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.features.numbers import Numbers
from everbrook.models.content_scan import NumberScan, Scan


@pytest.mark.parametrize("size", [0, 3, 40, 3_000])
@pytest.mark.parametrize("steps", [4, 1_000_000])
def test_the_nearest_are_those_of_a_plain_look_at_all(size: int, steps: int) -> None:
    rng = np.random.default_rng(size + steps)
    numbers = Numbers(4.0, 8)
    for row in range(size):
        named = {name: float(rng.integers(0, steps)) for name in ("price", "pages", "age") if rng.random() < 0.7}
        numbers.put(row, named)
    scan = NumberScan(numbers, 0.25)
    for top in (1, 7, 20, 5_000):
        recent = rng.integers(0, max(size, 1), 4).astype(np.int32)
        left_out = np.append(recent, np.int32(size + 9)).astype(np.int32)
        wanted = Scan.alike(scan, recent, 0.8, left_out, top)
        found = scan.alike(recent, 0.8, left_out, top)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
