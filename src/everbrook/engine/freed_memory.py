"""Memory that was freed and that the C library keeps for later: a process that runs for months must give it back.

glibc serves large things by maps of their own, which go back to the system when they are freed. But each freed map
raises the size from which it makes one, up to 32 MiB (`M_MMAP_THRESHOLD` in mallopt(3)): after hours, tables that have
grown and copies for checkpoints lie on the heap between small things that stay, and leave holes that nothing fits into.
So the size is fixed when a process begins (`hold_large_apart`). What is smaller stays on the heap, where it is taken
again without asking the system; after a checkpoint its whole free pages go back (`give_back`).
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

APART_BYTES = 2 << 20  # from here on a thing has a map of its own
KEPT_BYTES = 16 << 20  # free memory at the heap's end that is kept, so that it does not come and go
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of <malloc.h>


@cache
def _own(name: str) -> Any:
    """A function of the C library that glibc has; None elsewhere."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None


def hold_large_apart() -> bool:
    """Let large things go back to the system when they are freed, from now on; whether the C library can do it."""
    choose = _own("mallopt")
    return choose is not None and bool(
        choose(_MMAP_THRESHOLD, APART_BYTES) and choose(_TRIM_THRESHOLD, KEPT_BYTES)
    )


def give_back() -> bool:
    """Let the system have what no one uses; whether there was anything, as far as is known.

    It takes some milliseconds, in which other threads go on unless they ask the same heap for memory.
    """
    trim = _own("malloc_trim")
    return trim is not None and bool(trim(ctypes.c_size_t(0)))
