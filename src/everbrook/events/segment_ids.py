"""Which event ids a segment holds: a sorted table of hashes, each hit verified against the id itself.

Live ids are SQLite's business; this is for segments, whose millions of ids would take it many seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from everbrook.types import I32

U64 = NDArray[np.uint64]
CHUNK = 65_536
_PLACES = 256


def _weights() -> U64:
    """A fixed odd number for each place of a byte, and one for the size (splitmix64: Steele et al. 2014, fig. 16)."""
    z = (np.arange(1, _PLACES + 2, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) | np.uint64(1)


_WEIGHTS = _weights()


def hash_texts(texts: Sequence[str]) -> U64:
    """(B,) a 64-bit hash of each text, the same in every process (multilinear: Lemire, Kaser 2014)."""
    hashes = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), CHUNK):
        hashes[start : start + CHUNK] = _hash_chunk(texts[start : start + CHUNK])
    return hashes


def _hash_chunk(texts: Sequence[str]) -> U64:
    import pyarrow as pa

    _, offset_bytes, text_bytes = pa.array(texts, pa.string()).buffers()
    offsets = np.frombuffer(offset_bytes, np.int32)[: len(texts) + 1].astype(np.int64)
    starts, sizes = offsets[:-1], np.diff(offsets)
    weighed = np.zeros(offsets[-1] + 1, np.uint64)  # one more, so that an empty last text has a place
    if offsets[-1]:
        places = np.arange(offsets[-1]) - np.repeat(starts, sizes)
        weighed[:-1] = np.frombuffer(text_bytes, np.uint8)[: offsets[-1]] * _WEIGHTS[places % _PLACES]
    sums = np.add.reduceat(weighed, starts)
    sums[sizes == 0] = 0
    return sums + sizes.astype(np.uint64) * _WEIGHTS[_PLACES]


def sorted_hashes(texts: Sequence[str]) -> tuple[U64, I32]:
    """The hashes in ascending order, and the position of each one's text."""
    hashes = hash_texts(texts)
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order.astype(np.int32)


def candidates(hashes: U64, wanted: U64) -> list[tuple[int, int, int]]:
    """For each wanted hash that is there: its position in `wanted`, and the range of its places in `hashes`."""
    low = np.searchsorted(hashes, wanted, "left")
    high = np.searchsorted(hashes, wanted, "right")
    hits = np.flatnonzero(high > low)
    return list(zip(hits.tolist(), low[hits].tolist(), high[hits].tolist(), strict=True))
