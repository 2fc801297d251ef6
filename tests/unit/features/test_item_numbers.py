"""Numeric properties and given vectors."""

from __future__ import annotations

import numpy as np

from everbrook.features.numbers import Numbers
from everbrook.features.vectors import GivenVectors


def test_numbers_are_deviations_from_the_mean_of_what_is_held_now() -> None:
    rng, numbers, held = np.random.default_rng(0), Numbers(clip=1e9), {}
    for _ in range(500):
        row = int(rng.integers(0, 20))
        held[row] = {name: float(rng.normal(100, 5)) for name in ("price", "weight") if rng.random() < 0.7}
        numbers.put(row, held[row])
    found = numbers.normalised(range(20))
    for column, name in enumerate(numbers.names):
        values = np.array([held[row][name] for row in range(20) if name in held.get(row, {})])
        for row in range(20):
            known = name in held.get(row, {})
            expected = (held[row][name] - values.mean()) / values.std() if known else 0.0
            np.testing.assert_allclose(found[row, column], expected, rtol=1e-4, atol=1e-5)


def test_numbers_far_out_are_cut_off() -> None:
    numbers = Numbers(clip=2.0)
    for row in range(100):
        numbers.put(row, {"price": 1e9 if row == 0 else row})
    assert numbers.normalised([0, 1]).tolist()[0] == [2.0]


def test_what_is_no_number_is_passed_over() -> None:
    numbers = Numbers(clip=5.0)
    numbers.put(0, {"brand": "x", "new": True, "bad": float("nan"), "price": 3})
    assert numbers.names == ("price",)
    assert numbers.normalised([0, 7]).tolist() == [[0.0], [0.0]]


def test_given_vectors_have_length_one_and_the_first_sets_the_width() -> None:
    vectors = GivenVectors()
    vectors.put(0, {"image": [3.0, 4.0], "text": None})
    vectors.put(1, {"image": [1.0, 2.0, 3.0]})
    vectors.put(2, {"image": [0.0, 0.0]})
    table, known = vectors.table("image", 4)
    np.testing.assert_allclose(table, [[0.6, 0.8], [0, 0], [0, 0], [0, 0]], rtol=1e-6)
    assert known.tolist() == [True, False, False, False]
    assert (vectors.refused, vectors.names, vectors.width("text")) == (2, ("image",), 0)
    vectors.put(0, {})
    assert not vectors.table("image", 1)[1].any()
