import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.index import ItemTable
from everbrook.settings.index import IndexSettings


def brute(table, query, top, usable):
    rows = np.arange(len(table), dtype=np.int32)
    scores = table.score(query, rows)
    order = [r for r in np.lexsort((rows, -scores)) if usable[r]][:top]
    return rows[order], scores[order]


def made(seed, n, width, spread, quantised):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, width)).astype(np.float32)
    if spread == "ties":
        values = np.round(values).astype(np.float32)
    elif spread == "scales":
        values *= np.float32(10.0) ** rng.integers(-12, 12, (n, 1)).astype(np.float32)
    elif spread == "close":
        values = (values[:1] + 1e-4 * values).astype(np.float32)
    elif spread == "zeros":
        values[rng.random(n) < 0.7] = 0
    table = ItemTable(width, IndexSettings(quantised=quantised))
    table.put(rng.permutation(n).astype(np.int32), values)
    return table, rng


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 700),
    width=st.integers(1, 70),
    top=st.integers(1, 120),
    spread=st.sampled_from(["plain", "ties", "scales", "close", "zeros"]),
    quantised=st.booleans(),
)
def test_a_search_equals_a_full_sort(seed, n, width, top, spread, quantised):
    table, rng = made(seed, n, width, spread, quantised)
    query = rng.standard_normal(width).astype(np.float32)
    if spread == "ties":
        query = np.round(query)
    visible = rng.random(n) < rng.random()
    gone = rng.integers(0, n, 3).astype(np.int32)
    table.remove(gone)
    usable = visible.copy()
    usable[gone] = False
    rows, scores = table.search(query, top, visible)
    want_rows, want_scores = brute(table, query, top, usable)
    np.testing.assert_array_equal(rows, want_rows)
    np.testing.assert_array_equal(scores, want_scores)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 500),
    width=st.integers(1, 40),
    b=st.integers(1, 9),
    spread=st.sampled_from(["plain", "ties", "scales", "close"]),
)
def test_a_batch_of_queries_equals_its_queries_one_by_one(seed, n, width, b, spread):
    table, rng = made(seed, n, width, spread, True)
    table.settings = IndexSettings(batch_bytes=1 << 16)
    queries = rng.standard_normal((b, width)).astype(np.float32)
    rows, scores = table.search_batch(queries, 20)
    for i, query in enumerate(queries):
        one_rows, one_scores = table.search(query, 20)
        np.testing.assert_array_equal(rows[i, : len(one_rows)], one_rows)
        np.testing.assert_array_equal(scores[i, : len(one_rows)], one_scores)
        assert (rows[i, len(one_rows) :] == -1).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 300), width=st.integers(1, 64))
def test_scores_are_those_of_float64(seed, n, width):
    table, rng = made(seed, n, width, "plain", True)
    query = rng.standard_normal(width).astype(np.float32)
    slow = table.vectors.astype(np.float64) @ query.astype(np.float64)
    np.testing.assert_allclose(table.score(query, np.arange(n, dtype=np.int32)), slow, rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(2, 200))
def test_a_row_written_in_place_is_found_by_the_next_search(seed, n):
    table, rng = made(seed, n, 16, "plain", True)
    row = np.array([rng.integers(0, n)], np.int32)
    table.put(row, np.full((1, 16), 9, np.float32))
    rows, _ = table.search(np.ones(16, np.float32), 1)
    assert rows[0] == row[0]


def test_the_extremes_that_are_allowed_do_not_overflow():
    table = ItemTable(64)
    table.put(np.arange(3, dtype=np.int32), np.array([[-1e15], [1e15], [1e-40]], np.float32) * np.ones((1, 64), "f4"))
    rows, scores = table.search(np.full(64, 1e15, np.float32), 3)
    assert rows.tolist() == [1, 2, 0]
    assert np.isfinite(scores).all()
    assert scores[0] == pytest.approx(64e30)
