"""A table of texts, and the id map on it, give the rows that a plain dictionary would, whatever the texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from everbrook.events import text_kernels
from everbrook.events.columns import Coded
from everbrook.events.text_table import Texts, TextTable
from everbrook.state.ids import IdMap

letters = st.text(st.sampled_from("ab\0é日\U0001f600"), max_size=20)
texts = st.one_of(st.sampled_from(["", "a", "b", "ab", "abcdefg", "abcdefgh", "abcdefghi"]), letters)
names = texts.filter(bool)


def dictionary_rows(known: dict[str, int], batch: list[str]) -> list[int]:
    return [known.setdefault(text, len(known)) for text in batch]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(names, max_size=60), max_size=6))
def test_a_table_gives_the_rows_of_a_dictionary(batches: list[list[str]]) -> None:
    table, known = TextTable(), dict[str, int]()
    for batch in batches:
        assert table.add(Texts.of(batch)).tolist() == dictionary_rows(known, batch)
    assert table.texts().names() == list(known)
    assert [table.find(text) for text in known] == list(known.values())
    loaded = TextTable.load(table.texts())
    assert [loaded.find(text) for text in known] == list(known.values())
    assert table.find("not there") == table.find("") == loaded.find("") == -1


def test_a_table_that_grows_many_times_keeps_every_row() -> None:
    table, known = TextTable(), dict[str, int]()
    rng = np.random.default_rng(0)
    for size in (1, 10, 1_000, 30_000):
        batch = [f"{'é' * int(number % 5)}{number}" for number in rng.integers(0, 40_000, size).tolist()]
        assert table.add(Texts.of(batch)).tolist() == dictionary_rows(known, batch)
    assert [table.find(text) for text in known] == list(known.values())


def test_texts_of_equal_hash_stay_apart() -> None:
    held = np.zeros(1_000, np.uint8)
    table, starts = np.full(64, text_kernels.EMPTY, np.int64), np.zeros(64, np.int64)
    batch = Texts.of(["one", "two", "a much longer text", "a much longer test", "one"])
    slots = []
    for row in range(len(batch)):
        at, stop = batch.offsets[row : row + 2].tolist()
        place = int(starts[row])
        held[place : place + stop - at], starts[row + 1] = batch.data[at:stop], place + stop - at
        slot = text_kernels.slot_of(batch.data, at, stop - at, 7, table, starts, held)  # the same hash for all
        if table[slot] == text_kernels.EMPTY:
            table[slot] = 7 << 32 | row
        slots.append(slot)
    assert slots == [7, 8, 9, 10, 7]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | texts, max_size=30), st.integers(0, 5), st.sampled_from([pa.string(), pa.large_string()]))
def test_arrow_texts_come_as_they_are_and_null_as_empty(column: list[str | None], cut: int, kind: Any) -> None:
    array = pa.array(column, kind).slice(cut)
    packed = Texts.from_arrow(array)
    assert packed.names() == [text or "" for text in column[cut:]]
    assert packed.to_arrow().to_pylist() == packed.names()
    assert [packed.name(row) for row in range(len(packed))] == packed.names()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(texts, st.sampled_from(["A", " a", "a ", "a\t", "\u00a0a", "É", "a b", "a\u0085"]))))
def test_plain_texts_are_their_own_lower_case_without_spaces_around(batch: list[str]) -> None:
    if Texts.of(batch).are_plain():
        assert [text.strip().lower() for text in batch] == batch
    elif all(text.isascii() and text.isprintable() for text in batch):
        assert [text.strip().lower() for text in batch] != batch


def test_halves_of_surrogate_pairs_are_kept() -> None:
    ids = IdMap(["\ud800", "a"])
    ids.coded_rows(Coded(np.arange(40, dtype=np.int32), packed := [f"n{i}" for i in range(40)], Texts.of(packed)))
    other = IdMap()
    other.load(ids.arrays())
    assert other.names() == ids.names() == ["\ud800", "a", *packed]
    assert other.row("\ud800") == 0


class TwoMaps(RuleBasedStateMachine):
    """An id map beside a dictionary: singly, in lists, as columns with and without bytes, forgotten and loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.ids, self.rows, self.names = IdMap(), dict[str, int](), list[str]()
        self.buried = set[str]()

    def expect(self, name: str) -> int:
        if name not in self.rows:
            self.rows[name] = len(self.names)
            self.names.append(name)
        return self.rows[name]

    @rule(name=names)
    def add_one(self, name: str) -> None:
        assert self.ids.add(name) == self.expect(name)

    @rule(batch=st.lists(names, max_size=12))
    def add_list(self, batch: list[str]) -> None:
        assert self.ids.rows(batch, create=True).tolist() == [self.expect(name) for name in batch]

    @rule(batch=st.lists(names, unique=True, max_size=12), picks=st.lists(st.integers(-1, 11), max_size=60),
          with_bytes=st.booleans(), cut=st.integers(0, 60))
    def add_columns(self, batch: list[str], picks: list[int], with_bytes: bool, cut: int) -> None:
        codes = np.array([pick if pick < len(batch) else -1 for pick in picks], np.int32)
        coded = Coded(codes, batch, Texts.of(batch) if with_bytes else None)
        expected = [self.expect(batch[code]) if code >= 0 else -1 for code in codes.tolist()]
        parts = [Coded(part, batch, coded.packed) for part in (codes[:cut], codes[cut:])]
        assert [row for part in parts for row in self.ids.coded_rows(part).tolist()] == expected

    @rule(name=names)
    def look_up(self, name: str) -> None:
        expected = self.rows.get(name, -1) if name not in self.buried else -1
        assert self.ids.row(name) == expected
        assert (name in self.ids) == (expected >= 0)

    @rule(name=names)
    def bury(self, name: str) -> None:
        row = self.rows.get(name, -1) if name not in self.buried else -1
        assert self.ids.bury(name) == row
        if row >= 0:
            self.buried.add(name)

    @rule(batch=st.lists(names, max_size=6))
    def unbury(self, batch: list[str]) -> None:
        self.ids.unbury(batch)
        self.buried -= set(batch)

    @rule(name=names)
    def forget(self, name: str) -> None:
        if name in self.buried:
            assert self.ids.forget(name) == -1
            return
        row = self.rows.pop(name, -1)
        assert self.ids.forget(name) == row
        if row >= 0:
            self.names[row] = ""

    @rule()
    def load(self) -> None:
        arrays = self.ids.arrays()
        assert b"".join(name.encode() for name in self.names) == arrays["bytes"].tobytes()
        self.ids = IdMap(["something else"])
        self.ids.load(arrays)
        for name in self.buried:
            self.ids.bury(name)

    @invariant()
    def both_say_the_same(self) -> None:
        assert self.ids.names() == self.names
        assert [self.ids.id(row) for row in range(len(self.names))] == self.names
        assert list(self.ids) == [name for name in self.names if name and name not in self.buried]
        assert len(self.ids) == len(self.names)


def test_an_id_map_equals_a_dictionary_whatever_comes() -> None:
    run_state_machine_as_test(TwoMaps, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))
