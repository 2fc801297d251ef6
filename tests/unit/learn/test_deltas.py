"""Deltas: the same after the way, whole or not at all, and quick to apply."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from everbrook.errors import DataError
from everbrook.learn.deltas import Assembler, Delta, decode, encode, frames


def made(rows: int = 5, width: int = 3, seed: int = 0) -> Delta:
    rng = np.random.default_rng(seed)
    return Delta(
        version="v7", offset=1234, ts_ms=1_700_000_000_000, digest="abc",
        rows=rng.choice(10 * rows + 1, rows, replace=False).astype(np.int32),
        values=rng.normal(size=(rows, width)).astype(np.float32),
        dense={"w": rng.normal(size=(2, 4)).astype(np.float32), "b": np.arange(3), "none": np.zeros((0, 2))},
        notes={"gate": {"home": 0.25}, "prior": [1, 2]},
    )  # fmt: skip


def same(a: Delta, b: Delta) -> bool:
    heads = [(d.version, d.offset, d.ts_ms, d.digest, d.notes, list(d.dense)) for d in (a, b)]
    pairs = [(a.rows, b.rows), (a.values, b.values), *((a.dense[name], b.dense[name]) for name in a.dense)]
    return heads[0] == heads[1] and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in pairs
    )


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_a_delta_is_the_same_after_the_way(rows: int) -> None:
    assert same(decode(encode(made(rows))), made(rows))


def test_bytes_that_were_changed_anywhere_are_noticed() -> None:
    body = encode(made())
    for at in range(len(body)):
        broken = bytearray(body)
        broken[at] ^= 0x40
        with pytest.raises(DataError):
            decode(broken)


def test_bytes_that_were_cut_off_anywhere_are_noticed() -> None:
    body = encode(made())
    for stop in range(len(body)):
        with pytest.raises(DataError):
            decode(body[:stop])


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0, "A delta must begin with b'EVBD'; got b'\\x05VBD'."),
        (4, "A delta must have format 1; got 65."),
        (60, "A delta must have the checksum its head tells, "),
    ],
)
def test_damage_is_named(at: int, said: str) -> None:
    broken = bytearray(encode(made()))
    broken[at] ^= 0x40
    with pytest.raises(DataError) as raised:
        decode(broken)
    assert str(raised.value).startswith(said)


def test_what_is_not_finite_is_neither_sent_nor_taken() -> None:
    delta = made()
    values = delta.values.copy()
    values[2, 1] = np.nan
    with pytest.raises(DataError) as raised:
        encode(replace(delta, values=values))
    assert str(raised.value) == f"A delta's values must be finite; row {delta.rows[2]} has others."
    with pytest.raises(DataError) as raised:
        encode(replace(delta, dense={"w": np.array([np.inf], np.float32)}))
    assert str(raised.value) == "A delta's values must be finite; 'w' has others."


def test_a_delta_in_frames_is_there_with_the_last_one_and_not_before() -> None:
    assembler = Assembler()
    for serial in range(3):
        delta = made(200, seed=serial)
        pieces = list(frames(delta, serial, 1000))
        assert len(pieces) > 3
        assert [assembler.take(piece) for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
        whole = assembler.take(pieces[-1])
        assert whole is not None
        assert same(whole, delta)


def test_frames_that_are_missing_or_of_two_deltas_give_nothing() -> None:
    one, other = (list(frames(made(200, seed=serial), serial, 1000)) for serial in (1, 2))
    assembler = Assembler()
    assembler.take(one[0])
    with pytest.raises(DataError, match="must come in turn"):
        assembler.take(one[2])
    assembler.take(one[0])
    with pytest.raises(DataError, match="must come in turn"):
        assembler.take(other[1])
    whole = [assembler.take(piece) for piece in other][-1]
    assert whole is not None
    assert same(whole, made(200, seed=2))


def test_a_broken_frame_drops_its_delta_and_the_next_one_is_whole() -> None:
    pieces = list(frames(made(200), 1, 1000))
    broken = bytearray(pieces[1])
    broken[50] ^= 1
    assembler = Assembler()
    assembler.take(pieces[0])
    with pytest.raises(DataError, match="frame 1 of"):
        assembler.take(broken)
    whole = [assembler.take(piece) for piece in frames(made(200), 2, 1000)][-1]
    assert whole is not None


def test_the_most_changed_rows_come_first_and_the_others_are_named() -> None:
    delta = made(5)
    first, left = delta.most_changed_first(np.array([1, 5, 2, 4, 3], np.float32), 3)
    assert first.rows.tolist() == delta.rows[[1, 3, 4]].tolist()
    np.testing.assert_array_equal(first.values, delta.values[[1, 3, 4]])
    assert left.tolist() == delta.rows[[2, 0]].tolist()


def test_a_delta_for_rows_that_a_table_lacks_changes_nothing() -> None:
    delta = replace(made(2), rows=np.array([0, 9], np.int32))
    table = np.zeros((5, 3), np.float32)
    with pytest.raises(DataError, match="from 0 to 4; got 9"):
        delta.apply(table)
    assert not table.any()


def test_a_thousand_rows_are_applied_within_three_tenths_of_a_millisecond() -> None:
    table = np.zeros((20_000, 64), np.float32)
    delta = decode(encode(made(1000, 64)))
    taken_s = []
    for _ in range(20):
        began = time.process_time()
        delta.apply(table)
        taken_s.append(time.process_time() - began)
    np.testing.assert_array_equal(table[delta.rows], delta.values)
    assert min(taken_s) < 0.0003
