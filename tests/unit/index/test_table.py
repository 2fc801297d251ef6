import numpy as np
import pytest

from everbrook.errors import InputError
from everbrook.index import ItemTable
from everbrook.settings.index import IndexSettings


def test_an_empty_table_finds_nothing():
    table = ItemTable(4)
    rows, scores = table.search(np.ones(4, np.float32), 5)
    assert len(rows) == len(scores) == 0
    rows, scores = table.search_batch(np.ones((2, 4), np.float32), 3)
    assert (rows == -1).all()
    assert (scores == -np.inf).all()


def test_rows_that_were_never_put_are_not_found():
    table = ItemTable(2)
    table.grow(10)
    table.put(np.array([7], np.int32), np.array([[-1, -1]], np.float32))
    rows, scores = table.search(np.ones(2, np.float32), 5)
    assert rows.tolist() == [7]
    assert scores.tolist() == [-2]


def test_growth_keeps_what_was_put():
    table = ItemTable(3)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((5000, 3)).astype(np.float32)
    for start in range(0, 5000, 500):
        table.put(np.arange(start, start + 500, dtype=np.int32), values[start : start + 500])
    np.testing.assert_array_equal(table.vectors, values)
    assert len(table) == 5000


def test_a_mask_shorter_than_the_table_hides_the_rest():
    table = ItemTable(1)
    table.put(np.arange(4, dtype=np.int32), np.array([[1], [2], [3], [4]], np.float32))
    rows, _ = table.search(np.ones(1, np.float32), 4, np.array([True, True]))
    assert rows.tolist() == [1, 0]


def test_state_and_load_keep_every_search():
    table = ItemTable(8)
    rng = np.random.default_rng(1)
    table.put(np.arange(50, dtype=np.int32), rng.standard_normal((50, 8)).astype(np.float32))
    table.remove(np.array([3], np.int32))
    other = ItemTable(8)
    other.load(table.state())
    query = rng.standard_normal(8).astype(np.float32)
    for mine, theirs in zip(table.search(query, 50), other.search(query, 50), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_vectors_cannot_be_written_from_outside():
    table = ItemTable(2)
    table.put(np.zeros(1, np.int32), np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match="read-only"):
        table.vectors[0, 0] = 2


@pytest.mark.parametrize(
    ("rows", "values", "message"),
    [
        ([0], [[1.0, np.nan]], "Item vectors must be finite numbers of at most 1e+15; got nan."),
        ([0], [[1.0, np.inf]], "Item vectors must be finite numbers of at most 1e+15; got inf."),
        ([0], [[1.0]], "Item vectors must have shape (1, 2); got (1, 1)."),
        ([-1], [[1.0, 1.0]], "Item rows must be >= 0; got -1."),
    ],
)
def test_bad_vectors_are_refused_and_nothing_is_kept(rows, values, message):
    table = ItemTable(2)
    with pytest.raises(InputError) as caught:
        table.put(np.array(rows, np.int32), np.array(values, np.float32))
    assert caught.value.message == message
    assert len(table) == 0


def test_a_query_of_another_width_is_refused():
    with pytest.raises(InputError) as caught:
        ItemTable(2).search(np.ones(3, np.float32), 1)
    assert caught.value.message == "A query must have 2 numbers; got 3."


@pytest.mark.parametrize("quantised", [True, False])
def test_one_scan_gives_the_best_rows_and_the_softmax_denominator(quantised):
    rng = np.random.default_rng(3)
    table = ItemTable(16, IndexSettings(quantised=quantised))
    table.put(np.arange(500, dtype=np.int32), rng.standard_normal((500, 16)).astype(np.float32))
    query = rng.standard_normal(16).astype(np.float32)
    rows, scores, log_total = table.search_with_total(query, 10)
    alone = table.search(query, 10)
    assert (rows == alone[0]).all()
    assert (scores == alone[1]).all()
    products = table.vectors.astype(np.float64) @ query
    assert log_total == pytest.approx(np.log(np.exp(products).sum()), abs=0.05 if quantised else 1e-5)
