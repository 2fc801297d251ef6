"""A second thread for what takes longest, so that another core shares the work of one fold or of one portion of lists.

It helps because the long loops are compiled and let go of the interpreter. What it does must touch nothing that the
caller's thread touches before the answer is fetched.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

AnswerT = TypeVar("AnswerT")


def begin(work: Callable[[], AnswerT]) -> Callable[[], AnswerT]:
    """Begin something on the second thread; where there is one core only, it is done when it is asked for.

    Args:
        work: waits for nobody, and asks for no second thread itself.

    Returns:
        Waits until it is done and gives the answer, or raises what it raised. It must be called whatever happens.
    """
    if not _has_cores():
        return work
    future: Future[AnswerT] = _thread(os.getpid()).submit(work)
    return future.result


@cache
def _has_cores() -> bool:
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return len(allowed) > 1


@cache
def _thread(_pid: int) -> ThreadPoolExecutor:
    """One thread of a process: what was forked has to make its own."""
    return ThreadPoolExecutor(1, "everbrook-beside")
