"""Old values of changed rows: kept once, found again, forgotten at no cost to the rest."""

from __future__ import annotations

import time

import numpy as np
import pytest

from everbrook.errors import InputError
from everbrook.learn.overlay import Overlay
from everbrook.types import F32


def table(rows: int, width: int) -> F32:
    return np.arange(rows * width, dtype=np.float32).reshape(rows, width)


def test_a_row_keeps_the_value_of_its_first_noting() -> None:
    vectors = table(5, 2)
    overlay = Overlay(5, 2)
    for step in range(3):
        overlay.note(vectors, np.array([3, 1], np.int64))
        vectors[[3, 1]] += step + 1
    assert overlay.rows().tolist() == [3, 1]
    np.testing.assert_array_equal(overlay.values(), table(5, 2)[[3, 1]])


def test_a_kernel_finds_an_old_value_by_its_place() -> None:
    vectors = table(5, 2)
    overlay = Overlay(5, 2)
    overlay.note(vectors, np.array([4], np.int32))
    vectors[:] = 0
    assert overlay.place.tolist() == [-1, -1, -1, -1, 0]
    np.testing.assert_array_equal(overlay.buffer[overlay.place[4]], table(5, 2)[4])


def test_after_clearing_nothing_is_noted() -> None:
    vectors = table(5, 2)
    overlay = Overlay(5, 2)
    overlay.note(vectors, np.array([4, 0], np.int32))
    overlay.clear()
    vectors += 1
    assert len(overlay) == 0
    assert (overlay.place == -1).all()
    np.testing.assert_array_equal(overlay.gather(vectors, np.array([4], np.int32)), vectors[[4]])


def test_rows_that_come_later_have_room_after_growing() -> None:
    vectors = table(9, 2)
    overlay = Overlay(3, 2)
    with pytest.raises(InputError) as raised:
        overlay.note(vectors, np.array([8], np.int32))
    assert str(raised.value) == "Rows of an overlay must be from 0 to 2; got 8 to 8."
    overlay.grow(9)
    overlay.note(vectors, np.array([8], np.int32))
    assert overlay.rows().tolist() == [8]


def test_a_table_of_another_width_is_refused() -> None:
    with pytest.raises(InputError) as raised:
        Overlay(3, 2, 1).note((table(3, 2), table(3, 4)), np.array([0], np.int32))
    assert str(raised.value) == (
        "An overlay must be given float32 tables of the widths (2, 1); got [((3, 2), 'float32'), ((3, 4), 'float32')]."
    )


def test_a_million_rows_are_noted_and_the_next_moment_costs_little() -> None:
    rows = 1_000_000
    vectors = np.zeros((rows, 4), np.float32)
    overlay = Overlay(rows, 4)
    every = np.arange(rows, dtype=np.int32)
    for start in range(0, rows, 1000):
        overlay.note(vectors, every[start : start + 1000])
    assert len(overlay) == rows
    overlay.clear()
    few = every[:10]
    overlay.note(vectors, few)
    began = time.process_time()
    for _ in range(100):
        overlay.clear()
        overlay.note(vectors, few)
    assert (time.process_time() - began) / 100 < 0.001
