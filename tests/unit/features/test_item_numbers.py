"""Numeric properties and given vectors."""

from __future__ import annotations

import numpy as np

from everbrook.features.numbers import DRIFT, Numbers
from everbrook.features.vectors import GivenVectors


def test_numbers_are_deviations_from_the_mean_of_what_is_held_now() -> None:
    rng, numbers, held = np.random.default_rng(0), Numbers(clip=1e9, names=9), {}
    for _ in range(500):
        row = int(rng.integers(0, 20))
        held[row] = {name: float(rng.normal(100, 5)) for name in ("price", "weight") if rng.random() < 0.7}
        numbers.put(row, held[row])
    found, has = numbers.table()
    for column, name in enumerate(numbers.names):
        values = np.array([held[row][name] for row in range(20) if name in held.get(row, {})])
        for row in range(20):
            known = name in held.get(row, {})
            assert has[column, row] == known
            expected = (held[row][name] - values.mean()) / values.std() if known else 0.0
            np.testing.assert_allclose(found[column, row], expected, rtol=2 * DRIFT, atol=2 * DRIFT)


def test_a_change_moves_its_row_at_once_and_the_others_only_when_the_scale_is_off() -> None:
    rng, numbers, held = np.random.default_rng(1), Numbers(clip=1e9, names=9), np.full((3000, 2), np.nan)

    def put(row: int, *values: float) -> None:
        held[row] = values
        numbers.put(row, {name: value for name, value in zip("ab", values, strict=True) if not np.isnan(value)})

    for row in range(3000):
        put(row, rng.normal(10, 3), rng.normal(0, 1))
    whole = 0
    for turn in range(400):
        before = numbers.table()[0].copy()
        row = int(rng.integers(0, 3000))
        put(row, rng.normal(10 + turn / 50, 3), np.nan if turn % 3 else rng.normal(0, 1))
        found, has = numbers.table()
        expected = np.nan_to_num((held - np.nanmean(held, 0)) / np.nanstd(held, 0))
        np.testing.assert_allclose(found[:, :3000], expected.T, rtol=2 * DRIFT, atol=2 * DRIFT)
        np.testing.assert_array_equal(has[:, :3000], ~np.isnan(held.T))
        others = np.arange(3000) != row
        whole += bool((found[:, :3000] != before[:, :3000])[:, others].any())
    assert 0 < whole < 40
    again = Numbers(clip=1e9, names=9)
    again.load(numbers.arrays())
    np.testing.assert_array_equal(again.table()[0], numbers.table()[0])


def test_numbers_far_out_are_cut_off() -> None:
    numbers = Numbers(clip=2.0, names=9)
    for row in range(100):
        numbers.put(row, {"price": 1e9 if row == 0 else row})
    assert numbers.table()[0][0, 0] == 2.0


def test_what_is_no_number_is_passed_over() -> None:
    numbers = Numbers(clip=5.0, names=9)
    numbers.put(0, {"brand": "x", "new": True, "bad": float("nan"), "huge": 1e200, "price": 3})
    assert numbers.names == ("price",)
    assert numbers.table()[0].tolist() == [[0.0]]


def test_names_beyond_the_limit_are_passed_over_and_counted() -> None:
    numbers = Numbers(clip=5.0, names=1)
    numbers.put(0, {"price": 3})
    numbers.put(1, {"weight": 2, "price": 4})
    assert (numbers.names, numbers.refused) == (("price",), 1)


def test_loaded_numbers_and_vectors_go_on_as_those_that_were_kept() -> None:
    numbers, vectors = Numbers(clip=5.0, names=3), GivenVectors()
    for row in range(5):
        numbers.put(row, {"price": row**2, "größe": 1.5 * row})
        vectors.put(row, {"image": [1.0, row], "text": [1.0, 2.0, row]} if row % 2 else {})
    again, other = Numbers(clip=5.0, names=3), GivenVectors()
    again.load(numbers.arrays())
    other.load(vectors.arrays())
    for one in (numbers, again):
        one.put(2, {"price": 7.0})
    assert again.names == numbers.names
    np.testing.assert_array_equal(again.table()[0], numbers.table()[0])
    assert other.names == vectors.names
    for name in vectors.names:
        np.testing.assert_array_equal(other.table(name)[0], vectors.table(name)[0])


def test_given_vectors_have_length_one_and_the_first_sets_the_width() -> None:
    vectors = GivenVectors()
    vectors.put(0, {"image": [3.0, 4.0], "text": None})
    vectors.put(1, {"image": [1.0, 2.0, 3.0]})
    vectors.put(2, {"image": [0.0, 0.0]})
    vectors.put(3, {"image": [0.0, -2.0]})
    table, known = vectors.table("image")
    np.testing.assert_allclose(table[:4], [[0.6, 0.8], [0, 0], [0, 0], [0, -1]], rtol=1e-6)
    assert known[:4].tolist() == [True, False, False, True]
    assert (vectors.refused, vectors.names, vectors.width("text")) == (2, ("image",), 0)
    vectors.put(0, {})
    assert vectors.table("image")[1].tolist()[:4] == [False, False, False, True]
