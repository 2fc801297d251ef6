"""Importing Everbrook is light, and so is asking the command line for help."""

from __future__ import annotations

import resource
import subprocess
import sys

HEAVY = ("torch", "starlette", "uvicorn", "numpy", "numba", "pyarrow", "matplotlib")
LOADED = f"print([name for name in {HEAVY!r} if name in sys.modules])"


def _fresh(*arguments: str) -> str:
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout


def _least_cpu_s(*arguments: str) -> float:
    """Processor time of the quickest of several runs: other work on the machine only adds to it."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _fresh(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(times)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _fresh("-c", f"import sys, everbrook; {LOADED}").strip() == "[]"


def test_importing_the_package_takes_less_than_150_ms() -> None:
    assert _least_cpu_s("-c", "import everbrook") < 0.150


def test_help_loads_nothing_heavy() -> None:
    told = _fresh("-c", f"import sys, everbrook.cli.main as m; m.main(['--help']); {LOADED}")
    assert told.strip().splitlines()[-1] == "[]"


def test_help_takes_less_than_300_ms() -> None:
    assert _least_cpu_s("-m", "everbrook.cli.main", "--help") < 0.300
