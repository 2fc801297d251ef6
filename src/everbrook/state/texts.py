"""Many texts as two arrays (their UTF-8 bytes, end to end, and where each starts). Not a map: see `ids`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from everbrook.types import Arrays


def pack(texts: Iterable[bytes]) -> Arrays:
    """Lay texts end to end.

    Returns:
        `bytes` (uint8) and `offsets` (int64, one longer than the list).
    """
    parts = list(texts)
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=offsets[1:])
    return {"bytes": np.frombuffer(bytearray(b"".join(parts)), np.uint8), "offsets": offsets}


def unpack(arrays: Arrays) -> list[bytes]:
    """Take apart what `pack` laid together."""
    whole = arrays["bytes"].tobytes()
    offsets = arrays["offsets"].tolist()
    return [whole[start:stop] for start, stop in pairwise(offsets)]


def within(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names start with `prefix/`, without it."""
    return {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(prefix + "/")}


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The same arrays with `prefix/` before every name."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}
