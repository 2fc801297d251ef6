"""Kernels of an open-addressing table over texts that lie end to end as bytes. Owns no arrays: see `text_table`.

A slot of the table is an int64: 31 bits of the text's hash above, its row below; a slot that never held one is
`EMPTY`, one whose text was dropped is `GONE`. The hash only says where to look: whether a text is the same is decided
by its bytes. None of this makes room; where there is none a kernel stops, and the caller grows the arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everbrook.types import I32, I64, NO_ROW

U8 = NDArray[np.uint8]

EMPTY, GONE = -1, -2
_ROW = 0xFFFFFFFF
_GROUP = 64
_ONE, _TWO = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


@njit(cache=True, nogil=True, inline="always")
def _word(data: U8, at: int) -> np.uint64:
    """Eight bytes, which the compiler reads as one."""
    a = np.uint64(at)
    return (
        np.uint64(data[a]) | np.uint64(data[a + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[a + np.uint64(2)]) << np.uint64(16) | np.uint64(data[a + np.uint64(3)]) << np.uint64(24)
        | np.uint64(data[a + np.uint64(4)]) << np.uint64(32) | np.uint64(data[a + np.uint64(5)]) << np.uint64(40)
        | np.uint64(data[a + np.uint64(6)]) << np.uint64(48) | np.uint64(data[a + np.uint64(7)]) << np.uint64(56)
    )


@njit(cache=True, nogil=True, inline="always")
def _few(data: U8, at: int, size: int) -> np.uint64:
    """Fewer than eight bytes as a number."""
    word = np.uint64(0)
    for i in range(size):
        word = word << np.uint64(8) | np.uint64(data[np.uint64(at + i)])
    return word


@njit(cache=True, nogil=True)
def hash_of(data: U8, at: int, size: int, seed: int) -> np.int64:
    """31 bits of hash; each step is a bijection of the state (multiply and shift, as in splitmix64)."""
    h = (np.uint64(seed) ^ np.uint64(size)) * _ONE
    stop = at + size
    if size < 8:
        h = (h ^ _few(data, at, size)) * _TWO
    else:
        while at + 8 < stop:
            h = (h ^ _word(data, at)) * _TWO
            h ^= h >> np.uint64(29)
            at += 8
        h = (h ^ _word(data, stop - 8)) * _TWO
    h ^= h >> np.uint64(32)
    return np.int64((h * _ONE) >> np.uint64(33))


@njit(cache=True, nogil=True)
def same(data: U8, at: int, other: U8, place: int, size: int) -> bool:
    """Whether the bytes at two places are the same."""
    if size < 8:
        return _few(data, at, size) == _few(other, place, size)
    i = 0
    while i + 8 < size:
        if _word(data, at + i) != _word(other, place + i):
            return False
        i += 8
    return _word(data, at + size - 8) == _word(other, place + size - 8)


@njit(cache=True, nogil=True)
def slot_of(data: U8, at: int, size: int, tag: Any, table: I64, starts: I64, held: U8) -> Any:
    """The slot of a text, or the empty one where its probing ends."""
    mask = len(table) - 1
    slot = tag & mask
    while True:
        entry = table[np.uint64(slot)]
        if entry == EMPTY:
            return slot
        if entry >= 0 and entry >> 32 == tag:
            row = np.uint64(entry & _ROW)
            place = starts[row]
            if starts[row + np.uint64(1)] - place == size and same(data, at, held, place, size):
                return slot
        slot = (slot + 1) & mask


@njit(cache=True, nogil=True)
def take_in(
    first: int, n: int, data: U8, offsets: I64, chosen: I32, skip_empty: bool, seed: int,
    table: I64, starts: I64, held: U8, rows: I32,
) -> tuple[int, int]:
    """Give texts their rows, making those that are new, from the one at `first` on.

    Works in groups: all slots of a group are looked at, then all places of what they say, before the first text is
    compared, so that the memory brings them at the same time. An empty text gets NO_ROW where it is to be skipped, else
    a row of its own that is never found.

    Args:
        first: where to begin among the texts.
        n: how many rows there are.
        data: the texts' bytes.
        offsets: where each text begins, one longer.
        chosen: which of the texts, in this order; all where it is empty.
        skip_empty: whether an empty text is no text.
        seed: of the hash.
        table: the slots.
        starts: where each row's text begins, one longer than there are rows.
        held: the rows' bytes.
        rows: out: (B,) the row of each.

    Returns:
        How many texts are done (fewer than all where the table must grow), and how many rows there are.
    """
    B, mask = len(rows), len(table) - 1
    tags, places = np.empty(_GROUP, np.int64), np.empty(_GROUP, np.int64)
    touched = np.uint8(0)
    for start in range(first, B, _GROUP):
        stop = min(B, start + _GROUP)
        for b in range(start, stop):
            text = chosen[b] if len(chosen) else b
            tag = hash_of(data, offsets[text], offsets[text + 1] - offsets[text], seed)
            tags[b - start] = tag
            places[b - start] = table[tag & mask]
        for g in range(stop - start):
            places[g] = starts[places[g] & _ROW] if places[g] >= 0 else 0
        for g in range(stop - start):
            touched ^= held[places[g]]
        for b in range(start, stop):
            text = chosen[b] if len(chosen) else b
            at, size = offsets[text], offsets[text + 1] - offsets[text]
            if size == 0 and skip_empty:
                rows[b] = NO_ROW
                continue
            slot = slot_of(data, at, size, tags[b - start], table, starts, held) if size else -1
            if size and table[slot] >= 0:
                rows[b] = table[slot] & _ROW
                continue
            if 2 * (n + 1) > len(table):
                return b, n
            place = starts[n]
            for i in range(size):
                held[place + i] = data[at + i]
            starts[n + 1] = place + size
            if size:
                table[slot] = tags[b - start] << 32 | n
            rows[b] = n
            n += 1
    held[-1] = touched  # beyond all texts: keeps the compiler from leaving the early looks out
    return B, n


@njit(cache=True, nogil=True)
def refill(n: int, seed: int, table: I64, starts: I64, held: U8) -> None:
    """Enter the texts that are not empty into an empty table."""
    mask = len(table) - 1
    for row in range(n):
        size = starts[row + 1] - starts[row]
        if size == 0:
            continue
        tag = hash_of(held, starts[row], size, seed)
        slot = tag & mask
        while table[slot] != EMPTY:
            slot = (slot + 1) & mask
        table[slot] = tag << 32 | row


@njit(cache=True, nogil=True)
def move_slots(old: I64, new: I64) -> None:
    """Enter what one table holds into a larger, empty one."""
    mask = len(new) - 1
    for entry in old:
        if entry >= 0:
            slot = (entry >> 32) & mask
            while new[slot] != EMPTY:
                slot = (slot + 1) & mask
            new[slot] = entry


@njit(cache=True, nogil=True)
def find(data: U8, seed: int, table: I64, starts: I64, held: U8) -> int:
    """The slot of one text; -1 where it is not there."""
    slot = slot_of(data, 0, len(data), hash_of(data, 0, len(data), seed), table, starts, held)
    return slot if table[slot] >= 0 else -1


@njit(cache=True, nogil=True)
def is_plain(data: U8, offsets: I64) -> bool:
    """Whether all bytes are ASCII without capitals, and no text begins or ends with a space or a control character."""
    odd = False
    for at in range(offsets[0], offsets[-1]):
        odd |= (data[at] >= 128) | ((data[at] >= 65) & (data[at] <= 90))
    if odd:
        return False
    for text in range(len(offsets) - 1):
        at, stop = offsets[text], offsets[text + 1]
        if stop > at and (data[at] <= 32 or data[stop - 1] <= 32):
            return False
    return True
