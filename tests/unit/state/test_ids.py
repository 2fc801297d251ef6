"""Ids to rows and back."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.events.columns import Coded
from everbrook.state.ids import IdMap


def coded(texts: list[str | None], names: list[str]) -> Coded:
    return Coded(np.array([-1 if text is None else names.index(text) for text in texts], np.int32), names)


def test_rows_are_given_in_order_of_arrival() -> None:
    ids = IdMap()
    assert ids.rows(["b", "a", "b"], create=True).tolist() == [0, 1, 0]
    assert [ids.id(0), ids.id(1), len(ids)] == ["b", "a", 2]


def test_looking_up_creates_nothing() -> None:
    ids = IdMap(["a"])
    assert ids.rows(["a", "x"]).tolist() == [0, -1]
    assert ids.row("x") == -1
    assert len(ids) == 1


@pytest.mark.parametrize("repeats", [1, 100])
def test_coded_rows_follow_the_events_and_not_the_list_of_names(repeats: int) -> None:
    ids = IdMap()
    rows = ids.coded_rows(coded(["c", None, "a", "c"] * repeats, ["a", "never", "c"]))
    assert rows.tolist() == [0, -1, 1, 0] * repeats
    assert ids.names() == ["c", "a"]


def test_a_list_of_names_that_grows_is_looked_up_anew() -> None:
    ids, names = IdMap(), ["a", "b"]
    many = ["a", "b"] * 50
    ids.coded_rows(coded(many, names))
    names.append("c")
    assert ids.coded_rows(coded([*many, "c"], names)).tolist() == [0, 1] * 50 + [2]


def test_read_only_codes_are_taken() -> None:
    column = coded(["a", "b"] * 50, ["a", "b"])
    column.codes.flags.writeable = False
    assert IdMap().coded_rows(column).tolist() == [0, 1] * 50


def test_a_forgotten_row_is_never_given_again() -> None:
    ids, names = IdMap(), ["a", "b"]
    ids.coded_rows(coded(["a", "b"] * 50, names))
    assert ids.forget("a") == 0
    assert ids.id(0) == ""
    assert ids.coded_rows(coded(["a", "b"] * 50, names)).tolist() == [2, 1] * 50
    assert ids.forget("unheard of") == -1


@pytest.mark.parametrize("repeats", [1, 100])
def test_a_buried_id_is_not_found_and_has_its_row_in_events(repeats: int) -> None:
    ids = IdMap(["a", "b"])
    assert ids.bury("a") == 0
    assert [ids.row("a"), ids.bury("a"), ids.bury("unheard of"), list(ids), ids.id(0)] == [-1, -1, -1, ["b"], "a"]
    assert ids.coded_rows(coded(["a", "c", "b"] * repeats, ["a", "b", "c"])).tolist() == [0, 2, 1] * repeats
    assert (ids.row("a"), "a" in ids) == (-1, False)
    ids.unbury(["a", "b", "never"])
    assert (ids.rows(["a", "b", "never"]).tolist(), list(ids)) == ([0, 1, -1], ["a", "b", "c"])


def test_ids_of_any_text_come_back_from_arrays() -> None:
    ids = IdMap(["plain", "ünïcødé", "日本語", "\U0001f600", " spaced ", "a", "A"])
    ids.forget("plain")
    other = IdMap()
    other.load(ids.arrays())
    assert other.names() == ids.names()
    assert [other.row(name) for name in ids] == [ids.row(name) for name in ids]


def test_a_negative_row_has_no_id() -> None:
    with pytest.raises(IndexError, match=r"^A row must be an int >= 0; got -1\.$"):
        IdMap(["a"]).id(-1)


def test_a_batch_of_new_names_with_a_repeat_gives_it_one_row() -> None:
    ids = IdMap()
    assert ids.rows(["a", "b", "a", "c"], create=True).tolist() == [0, 1, 0, 2]
    assert ids.rows(["d", "c", "d"], create=True).tolist() == [3, 2, 3]
    assert ids.names() == ["a", "b", "c", "d"]
