"""Going back is exact: the ring against whole copies of the tables, the overlay against one copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.learn.overlay import Overlay
from everbrook.learn.ring import Ring
from everbrook.types import F32, Arrays

N, D = 12, 3
rows_of = st.lists(st.integers(0, N - 1), max_size=6)
changes = st.tuples(st.just("change"), rows_of)
points = st.tuples(st.just("point"), st.integers(-3_000, 30_000))
backs = st.tuples(st.just("back"), st.integers(0, 100))
moves = st.tuples(st.sampled_from(["move"]), st.just(0))
stories = st.lists(st.one_of(changes, changes, points, backs, moves), max_size=60)


class Copies:
    """Tables that change, with a whole copy of them at every point."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.vectors: F32 = self.rng.normal(size=(N, D)).astype(np.float32)
        self.squares: F32 = self.rng.random(N, dtype=np.float32)
        self.dense: Arrays = {"bias": self.rng.normal(size=2).astype(np.float32)}
        self.then: dict[str, tuple[F32, F32, F32]] = {}

    @property
    def tables(self) -> tuple[F32, F32]:
        return self.vectors, self.squares

    def change(self, rows: Sequence[int]) -> None:
        for row in rows:
            self.vectors[row] = self.rng.normal(size=D)
            self.squares[row] += 1
        self.dense["bias"] += 1

    def keep(self, version: str) -> None:
        self.then[version] = (self.vectors.copy(), self.squares.copy(), self.dense["bias"].copy())


@settings(max_examples=150, deadline=None)
@given(stories, st.integers(0, 2**32 - 1))
def test_rolling_back_gives_what_a_copy_of_everything_gives(story: list[tuple[str, object]], seed: int) -> None:
    copies = Copies(seed)
    ring = Ring(N, D, 1, spans_s=(10.0, 30.0, 90.0))
    now_ms = 0
    for number, (what, argument) in enumerate(story):
        if what == "change":
            assert isinstance(argument, list)
            ring.note(copies.tables, np.array(argument, np.int64))
            copies.change(argument)
        elif what == "point":
            assert isinstance(argument, int)
            now_ms += argument
            copies.keep(str(number))
            ring.point(str(number), number, now_ms, copies.dense)
        elif what == "move":
            arrays = {name: array.copy() for name, array in ring.state().items()}
            ring = Ring(N, D, 1, spans_s=(10.0, 30.0, 90.0))
            ring.load(arrays)
        elif ring.points():
            assert isinstance(argument, int)
            _go_back(ring, copies, ring.points()[argument % len(ring.points())].version)


def _go_back(ring: Ring, copies: Copies, version: str) -> None:
    before = copies.vectors.copy()
    older = [point.version for point in ring.points() if point.offset <= int(version)]
    rows, dense, point = ring.rollback(copies.tables, version)
    vectors, squares, bias = copies.then[version]
    np.testing.assert_array_equal(copies.vectors, vectors)
    np.testing.assert_array_equal(copies.squares, squares)
    np.testing.assert_array_equal(dense["bias"], bias)
    copies.dense = dense
    assert point.version == version
    assert [point.version for point in ring.points()] == older
    assert set(np.flatnonzero((before != vectors).any(axis=1))) <= set(rows.tolist())
    assert len(set(rows.tolist())) == len(rows)


@settings(max_examples=100, deadline=None)
@given(st.lists(rows_of, max_size=10), st.lists(rows_of, max_size=10), st.integers(0, 2**32 - 1))
def test_an_overlay_knows_what_a_copy_knows(first: list[list[int]], then: list[list[int]], seed: int) -> None:
    copies = Copies(seed)
    older, newer = Overlay(N, D, 1), Overlay(N, D, 1)
    copies.keep("older")
    for overlay, changes_of in ((older, first), (newer, then)):
        copies.keep("newer")
        for rows in changes_of:
            overlay.note(copies.tables, np.array(rows, np.int32))
            copies.change(rows)
    every = np.arange(N, dtype=np.int32)
    np.testing.assert_array_equal(newer.gather(copies.vectors, every), copies.then["newer"][0])
    np.testing.assert_array_equal(newer.gather(copies.squares, every, 1)[:, 0], copies.then["newer"][1])
    older.merge_older(newer)
    np.testing.assert_array_equal(older.gather(copies.vectors, every), copies.then["older"][0])
    older.restore(copies.tables)
    np.testing.assert_array_equal(copies.vectors, copies.then["older"][0])
    np.testing.assert_array_equal(copies.squares, copies.then["older"][1])
