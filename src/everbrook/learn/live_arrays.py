"""Named arrays: longer ones, and parts of parts."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from everbrook.types import Arrays

ArrayT = TypeVar("ArrayT", bound=NDArray[Any])


def longer(array: ArrayT, size: int) -> ArrayT:
    """A copy with room for `size` rows, zeros at the end."""
    wide = np.zeros((max(size, len(array)), *array.shape[1:]), array.dtype)
    wide[: len(array)] = array
    return wide  # type: ignore[return-value]


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays with a prefix before their names."""
    return {prefix + name: array for name, array in arrays.items()}


def within(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names have the prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
