"""Doing something with memory as it was: another process has it, and nothing of this one is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from everbrook.engine import apart as module
from everbrook.engine.apart import ApartError, apart

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Only Linux is asked to fork.")


def test_memory_is_as_it_was_when_it_began(tmp_path: Path) -> None:
    numbers = np.arange(1_000_000)
    wait = apart(lambda: np.save(tmp_path / "numbers.npy", numbers))
    assert wait is not None
    numbers[:] = -1
    wait()
    np.testing.assert_array_equal(np.load(tmp_path / "numbers.npy"), np.arange(1_000_000))
    assert (numbers == -1).all()


def test_what_goes_wrong_is_told() -> None:
    def fail() -> None:
        raise ValueError("The number must be even; got 3.")

    wait = apart(fail)
    assert wait is not None
    with pytest.raises(ApartError, match="The number must be even; got 3"):
        wait()


def test_a_process_that_was_ended_is_told() -> None:
    wait = apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert wait is not None
    with pytest.raises(ApartError, match="status 9"):
        wait()


def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_S", 0.2)
    wait = apart(lambda: time.sleep(60))
    assert wait is not None
    with pytest.raises(ApartError, match="took longer"):
        wait()


def test_files_that_are_open_here_are_closed_there(tmp_path: Path) -> None:
    opened = [(tmp_path / str(n)).open("w") for n in range(5)]
    told = tmp_path / "told"
    wait = apart(lambda: told.write_text(" ".join(os.readlink(f"/proc/self/fd/{n}") for n in _files())))
    assert wait is not None
    wait()
    assert not [file for file in opened if file.name in told.read_text()]
    for file in opened:
        file.write("still open here")
        file.close()


def _files() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]


def test_a_lock_that_another_thread_holds_is_no_harm(tmp_path: Path) -> None:
    """Threads go on here while it is done, and many at a time allocate memory."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            np.zeros(200_000)[:] = 1.0

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(20):
            wait = apart(lambda turn=turn: np.save(tmp_path / f"{turn}.npy", np.arange(1000) + turn))  # type: ignore[misc]
            assert wait is not None
            wait()
            assert np.load(tmp_path / f"{turn}.npy")[0] == turn
    finally:
        stop.set()
        for thread in threads:
            thread.join()


ORDER = """
import os, sys, time
from pathlib import Path
from everbrook.engine.apart import apart
def stay():
    Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(60)
apart(stay)()
"""


def test_it_ends_with_whoever_began_it(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    began = subprocess.Popen([sys.executable, "-c", ORDER, str(told)])
    try:
        while not (told.exists() and told.read_text()):
            assert began.poll() is None
            time.sleep(0.02)
    finally:
        began.kill()
        began.wait()
    pid, until_s = int(told.read_text()), time.monotonic() + 10.0
    while _runs(pid):
        assert time.monotonic() < until_s
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_where_no_process_can_be_had_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    before = len(_files())
    assert apart(lambda: None) is None
    assert len(_files()) == before
