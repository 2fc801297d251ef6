"""What is compiled is noticed; what is loaded from the cache is not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from numba import njit

from everbrook.engine.compiling import Compiling, in_main_thread

SCRIPT = """
from everbrook.engine.compiling import Compiling
watching = Compiling()
from kernel_of_test import double
assert double(2) == 4
print(watching.count)
"""


def _count(folder: Path) -> int:
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


def test_a_kernel_is_compiled_once_and_loaded_from_then_on(tmp_path: Path) -> None:
    code = "from numba import njit\n@njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    (tmp_path / "kernel_of_test.py").write_text(code, encoding="utf-8")
    assert _count(tmp_path) > 0
    assert _count(tmp_path) == 0


def test_who_asked_is_told_until_he_watches_no_longer() -> None:
    begun: list[str] = []
    watching = Compiling(lambda: begun.append(threading.current_thread().name))

    @njit
    def triple(x):  # type: ignore[no-untyped-def]
        return 3 * x

    assert triple(2) == 6
    assert begun
    assert set(begun) == {threading.current_thread().name}
    assert watching.count == len(begun)
    watching.close()
    assert triple(2.0) == 6.0
    assert watching.count == len(begun)


def test_only_the_main_thread_is_heard_where_that_is_asked_for() -> None:
    called: list[str] = []
    heard = in_main_thread(lambda: called.append(threading.current_thread().name))
    other = threading.Thread(target=heard)
    other.start()
    other.join()
    assert called == []
    heard()
    assert called == [threading.main_thread().name]
