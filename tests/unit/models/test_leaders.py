"""The leaders of many items against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.models.leaders import key_of, leaders


def led(shares: np.ndarray, rows: np.ndarray, limit: int) -> list[int]:
    keys = np.array([key_of(np.float32(share), row) for share, row in zip(shares, rows, strict=True)], np.int64)
    out = np.empty(limit, np.int32)
    return out[: leaders(keys, limit, out)].tolist()


@pytest.mark.parametrize("halvings", [2, 20, 60])
def test_leaders_are_those_of_a_plain_sort_equal_ones_in_the_order_of_rows(halvings: int) -> None:
    rng = np.random.default_rng(halvings)
    for _ in range(100):
        size, limit = int(rng.integers(1, 300)), int(rng.integers(1, 80))
        rows = rng.permutation(1_000_000)[:size].astype(np.int32)
        shares = (rng.integers(0, 8, size) * 2.0 ** -rng.integers(0, halvings, size)).astype(np.float32)
        wanted = sorted(zip(-shares, rows, strict=True))[:limit]
        assert led(shares, rows, limit) == [row for _, row in wanted]


def test_of_nothing_nothing_leads() -> None:
    assert led(np.empty(0), np.empty(0, np.int32), 5) == []
    assert led(np.ones(3), np.arange(3), 0) == []
