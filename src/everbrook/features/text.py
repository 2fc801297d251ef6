"""Text of any language as hashed features: words, pairs of words, and pieces of words. Knows no vocabulary.

Scripts that put spaces between words give words, pairs of neighbouring words and the 3- to 5-grams of each word with
its borders marked (which is how misspellings and inflections still meet). Scripts that do not (Chinese, Japanese, Thai
and their like; Korean with them) give the 1- to 3-grams of each run, since a word there is mostly one to three
characters long.

Source: hashing as in Weinberger et al. (2009); word pieces as in Bojanowski et al. (2017).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everbrook.types import F32, I32

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]

_GAP, _SPACED, _UNSPACED = 0, 1, 2
_PLANES = 0x32400  # letters end here; what follows is symbols, tags and private use
_UNSPACED_RANGES = (
    (0x0E01, 0x0EDF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17D3),  # Khmer
    (0x3005, 0x3007), (0x3041, 0x30FF), (0x31F0, 0x31FF),  # kana
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF),  # Han
    (0xAC00, 0xD7A3),  # Hangul has spaces, but endings grow on its short words
)
_WORD_SEED = np.uint64(0xCBF29CE484222325)
_PAIR_SEED = np.uint64(0x84222325CBF29CE4)
_PIECE_SEED = np.uint64(0x9AE16A3B2F90404F)
_LABEL_SEED = np.uint64(0xC949D7C7509E6557)
_PRIME = np.uint64(0x100000001B3)
_BORDER = np.uint32(0x02)
_SHORTEST, _LONGEST = 3, 5
_ACCENTS = re.compile("[\u0300-\u036f]")  # of Latin, Greek and Cyrillic; marks of other scripts are letters
_LONGEST_RUN = 3  # of unspaced scripts


@cache
def _classes() -> U8:
    """What each code point is: a gap, or a letter of a script with or without spaces."""
    letters = bytes(unicodedata.category(chr(code))[0] in "LNM" for code in range(_PLANES))
    classes = np.frombuffer(bytearray(letters), np.uint8)
    for first, last in _UNSPACED_RANGES:
        classes[first : last + 1] *= _UNSPACED
    return classes


def code_points(text: str, most: int) -> U32:
    """The beginning of a text as code points, with case, accents and typographic variants folded."""
    folded = text[:most].casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", folded)))
    return np.frombuffer(folded.encode("utf-32-le", "replace"), np.uint32).copy()


def text_terms(text: str, most: int, bits: int, char_weight: float) -> tuple[I32, F32]:
    """The features of a text.

    Args:
        text: in any language.
        most: how many characters of it are read.
        bits: columns are below 2**bits.
        char_weight: weight of a piece of a word; a word has 1.

    Returns:
        Columns and weights, in the order of the text, with repeats.
    """
    return _terms(code_points(text, most), _classes(), bits, char_weight)


def label_column(field: str, label: str, bits: int) -> int:
    """The column of a label as a whole, such as a category."""
    codes = np.frombuffer(f"{field}={label}".encode("utf-32-le", "replace"), np.uint32).copy()
    return int(_column_of(codes, bits))


def merged(columns: I32, weights: F32) -> tuple[I32, F32]:
    """Sum repeats, damped: a feature that comes twice counts log2(1 + 2), and so on.

    Returns:
        Columns, ascending and without repeats, and their weights.
    """
    return _merged(columns, weights)


@njit(cache=True)
def _merged(columns: I32, weights: F32) -> tuple[I32, F32]:
    order = np.argsort(columns, kind="mergesort")  # stable: sums come out the same whatever lies around them
    found, sums = np.empty(len(columns), np.int32), np.zeros(len(columns), np.float32)
    n = 0
    for at in order:
        if n == 0 or found[n - 1] != columns[at]:
            found[n] = columns[at]
            n += 1
        sums[n - 1] += weights[at]
    for i in range(n):
        sums[i] = np.log2(1.0 + sums[i])
    return found[:n], sums[:n]


@njit(cache=True)
def _step(state: np.uint64, code: np.uint64) -> np.uint64:
    return (state ^ code) * _PRIME


@njit(cache=True)
def _column(state: np.uint64, bits: int) -> int:
    """Fold a hash to a column; the last bits of a product alone would be weak."""
    mixed = (state ^ (state >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return int(mixed >> np.uint64(64 - bits))


@njit(cache=True)
def _column_of(codes: U32, bits: int) -> int:
    state = _LABEL_SEED
    for code in codes:
        state = _step(state, np.uint64(code))
    return _column(state, bits)


@njit(cache=True)
def _terms(codes: U32, classes: U8, bits: int, char_weight: float) -> tuple[I32, F32]:
    room = len(codes) * (_LONGEST - _SHORTEST + 2) + 16
    columns, weights = np.empty(room, np.int32), np.empty(room, np.float32)
    n, at = 0, 0
    previous = np.uint64(0)  # hash of the word before; 0 where there is none
    while at < len(codes):
        script = _class(codes[at], classes)
        stop = at + 1
        while stop < len(codes) and _class(codes[stop], classes) == script:
            stop += 1
        if script == _SPACED:
            n, previous = _word(codes[at:stop], previous, bits, char_weight, columns, weights, n)
        elif script == _UNSPACED:
            n = _run(codes[at:stop], bits, char_weight, columns, weights, n)
            previous = np.uint64(0)
        at = stop
    return columns[:n], weights[:n]


@njit(cache=True)
def _class(code: np.uint32, classes: U8) -> int:
    return int(classes[code]) if code < len(classes) else _GAP


@njit(cache=True)
def _word(
    word: U32, previous: np.uint64, bits: int, char_weight: float, columns: I32, weights: F32, n: int
) -> tuple[int, np.uint64]:
    """Write a word's features; how many there are now, and the word's hash."""
    state = _WORD_SEED
    for code in word:
        state = _step(state, np.uint64(code))
    columns[n], weights[n] = _column(state, bits), 1.0
    n += 1
    if previous != np.uint64(0):
        columns[n], weights[n] = _column(_step(_step(_PAIR_SEED, previous), state), bits), 1.0
        n += 1
    if char_weight > 0.0:
        bordered = np.empty(len(word) + 2, np.uint32)
        bordered[0], bordered[-1] = _BORDER, _BORDER
        bordered[1:-1] = word
        for first in range(len(bordered) - _SHORTEST + 1):
            piece = _PIECE_SEED
            for last in range(first, min(first + _LONGEST, len(bordered))):
                piece = _step(piece, np.uint64(bordered[last]))
                if last - first + 1 >= _SHORTEST:
                    columns[n], weights[n] = _column(piece, bits), char_weight
                    n += 1
    return n, state


@njit(cache=True)
def _run(run: U32, bits: int, char_weight: float, columns: I32, weights: F32, n: int) -> int:
    """Write the features of a run without spaces: single characters weigh like pieces, longer ones like words."""
    for first in range(len(run)):
        state = _WORD_SEED
        for last in range(first, min(first + _LONGEST_RUN, len(run))):
            state = _step(state, np.uint64(run[last]))
            columns[n], weights[n] = _column(state, bits), char_weight if last == first else 1.0
            n += 1
    return n
