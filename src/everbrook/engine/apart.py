"""Doing something with memory as it is now while it goes on changing here: in a process that is forked off this one.

Linux gives both the same pages, and copies one when either writes to it: to begin takes milliseconds where a copy of
everything takes a second. Source: the snapshots of Redis (its documentation, 'Redis persistence', BGSAVE).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from numba.core.compiler_lock import global_compiler_lock

MOST_S = 600.0
NICENESS = 5  # who answers people comes first
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_STANDARD = 3  # files below this are standard input, output and errors
_PART = 1 << 16


class ApartError(Exception):
    """What was done apart did not come to its end; the text says why, as far as it could.

    Args:
        kind: name of the exception there; empty where the process ended otherwise.
        text: of it.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def apart(what: Callable[[], object]) -> Callable[[], None] | None:
    """Begin to do something with memory as it is at this moment.

    Only the thread that calls goes on there: `what` must wait for no other, write no log line, import nothing and leave
    tensors alone. Files that are open here are closed there. It ends at once when the caller's thread ends.

    Args:
        what: is done there.

    Returns:
        Waits for its end, and raises ApartError where it failed; None where this system cannot do it.
    """
    if sys.platform != "linux":
        return None
    death = _death()
    read, write = os.pipe()
    parent = os.getpid()
    try:
        with _nobody_compiles(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: what `what` may do is said above
            pid = os.fork()
    except OSError:
        os.close(read)
        os.close(write)
        return None
    if pid == 0:
        _there(what, write, parent, death)
    os.close(write)
    return lambda: _wait(pid, read)


def settle() -> None:
    """Wait until nothing is compiled: what is begun with a lock held needs not wait for it then."""
    with _nobody_compiles():
        pass


@contextlib.contextmanager
def _nobody_compiles() -> Any:
    """Who compiles holds a lock that nobody would let go of there."""
    global_compiler_lock.acquire()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        global_compiler_lock.release()  # type: ignore[no-untyped-call]


def _death() -> Callable[[], object]:
    control = ctypes.CDLL(None).prctl
    return lambda: control(_DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def _there(what: Callable[[], object], write: int, parent: int, death: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        gc.disable()
        os.nice(NICENESS)
        death()
        signal.set_wakeup_fd(-1)
        for number, does in ((signal.SIGINT, signal.SIG_IGN), (signal.SIGTERM, signal.SIG_DFL)):
            signal.signal(number, does)
        for file in [int(name) for name in os.listdir("/proc/self/fd")]:
            if file >= _STANDARD and file != write:
                with contextlib.suppress(OSError):
                    os.close(file)
        if os.getppid() == parent:
            what()
            code = 0
    except BaseException as error:  # noqa: BLE001  there is nobody else to tell
        with contextlib.suppress(OSError):
            os.write(write, f"{type(error).__name__}\n{error}".encode("utf-8", "replace")[:_PART])
    os._exit(code)


def _wait(pid: int, read: int) -> None:
    told, until_s, ready = b"", time.monotonic() + MOST_S, select.poll()
    ready.register(read, select.POLLIN)
    try:
        while ready.poll(max(0.0, 1000.0 * (until_s - time.monotonic()))):
            part = os.read(read, _PART)
            if not part:
                break
            told += part
        else:
            os.kill(pid, signal.SIGKILL)
            told = f"\nIt took longer than {MOST_S:.0f} s.".encode()
    finally:
        os.close(read)
        _, status = os.waitpid(pid, 0)
    if status:
        kind, _, text = (told.decode("utf-8", "replace") or f"\nIt ended with status {status}.").partition("\n")
        raise ApartError(kind, text)
