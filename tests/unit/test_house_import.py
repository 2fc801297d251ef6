"""Importing Everbrook is light, and so is asking the command line for help."""

from __future__ import annotations

import subprocess
import sys
import time

HEAVY = ("torch", "starlette", "uvicorn", "numpy", "numba", "pyarrow", "matplotlib")


def _fresh(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60)


def _fastest(*arguments: str) -> float:
    """The least of several runs, since other work on the machine only adds."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        _fresh(*arguments)
        times.append(time.perf_counter() - started)
    return min(times)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, everbrook; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert _fresh("-c", code).stdout.strip() == "[]"


def test_importing_the_package_takes_less_than_150_ms() -> None:
    assert _fastest("-c", "import everbrook") - _fastest("-c", "pass") < 0.150


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, everbrook.cli.main as m; m.main(['--help']); print([name for name in {HEAVY!r} if name in sys.modules])"
    assert _fresh("-c", code).stdout.strip().splitlines()[-1] == "[]"


def test_help_takes_less_than_300_ms() -> None:
    assert _fastest("-m", "everbrook.cli.main", "--help") < 0.300
