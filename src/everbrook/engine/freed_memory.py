"""Memory that was freed and that the C library keeps for later: given back to the system after large things went.

Each thread's heap keeps what was freed between things that stay. A checkpoint copies everything learned, now on this
thread and now on that; without this each heap would keep room for such a copy. It takes some milliseconds, in which
other threads go on unless they ask the same heap for memory.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    """The C library's own function, which glibc has; None elsewhere."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def give_back() -> bool:
    """Let the system have what no one uses; whether there was anything, as far as is known."""
    trim = _trim()
    return trim is not None and bool(trim(ctypes.c_size_t(0)))
