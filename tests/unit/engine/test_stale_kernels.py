"""A compiled kernel goes where a file that it was compiled from is newer, its own or one that is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from everbrook.engine.stale_kernels import drop_stale

SOURCES = {
    "a/top.py": "from everbrook.b.middle import (\n    one,\n    two,\n)\n",
    "b/middle.py": "import numpy\n\n\ndef inside() -> None:\n    from everbrook.b import low\n",
    "b/low.py": "import everbrook.a.top\n", "b/other.py": "x = 1\n", "b/gone.py": "",
}  # fmt: skip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a kernel of each file, compiled after all were written; one whose file is there no more."""
    for name, text in SOURCES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        os.utime(file, (1_000_000, 1_000_000))
        index = file.parent / "__pycache__" / f"{file.stem}.kernel-7.py311.nbi"
        index.parent.mkdir(exist_ok=True)
        index.write_bytes(b"")
        os.utime(index, (2_000_000, 2_000_000))
    (tmp_path / "b/gone.py").unlink()
    return tmp_path


def _left(package: Path) -> set[str]:
    return {index.name.partition(".")[0] for index in package.rglob("*.nbi")}


def test_kernels_stay_while_nothing_changes(package: Path) -> None:
    assert drop_stale(package) == 0
    assert _left(package) == {"top", "middle", "low", "other", "gone"}


@pytest.mark.parametrize(("changed", "stale"), [
    ("b/low.py", {"top", "middle", "low"}), ("b/middle.py", {"top", "middle", "low"}), ("b/other.py", {"other"}),
])  # fmt: skip
def test_what_a_changed_file_is_compiled_into_goes(package: Path, changed: str, stale: set[str]) -> None:
    os.utime(package / changed, (3_000_000, 3_000_000))
    assert drop_stale(package) == len(stale)
    assert _left(package) == {"top", "middle", "low", "other", "gone"} - stale


def test_a_file_from_the_future_makes_nothing_stale_for_ever(package: Path) -> None:
    os.utime(package / "b/low.py", (9_000_000_000, 9_000_000_000))
    assert drop_stale(package) == 0


KERNELS = {
    "low.py": "from numba import njit\n\n\n@njit(cache=True)\ndef low():\n    return {}\n",
    "top.py": "from numba import njit\n\nfrom everbrook.low import low\n\n\n@njit(cache=True)\ndef top():\n"
    "    return low()\n",
}  # fmt: skip
ASK = "from everbrook.top import top; print(top())"
DROP = "from pathlib import Path; from everbrook.engine.stale_kernels import drop_stale; print(drop_stale(Path({!r})))"


def test_a_kernel_follows_what_it_calls_in_another_file(tmp_path: Path) -> None:
    package = tmp_path / "everbrook"
    package.mkdir()
    (package / "__init__.py").write_text("")

    def written(number: int, at_s: int) -> None:
        for name, text in KERNELS.items():
            if number == 1 or name == "low.py":
                (package / name).write_text(text.format(number))
                os.utime(package / name, (at_s, at_s))

    def run(code: str, path: Path | None = None) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        if path is not None:
            environment["PYTHONPATH"] = str(path)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
        return done.stdout.strip()

    written(1, 1_000_000)
    assert run(ASK, tmp_path) == "1"
    for index in package.rglob("*.nbi"):
        os.utime(index, (2_000_000, 2_000_000))
    written(2, 3_000_000)
    assert run(ASK, tmp_path) == "1"  # what numba alone makes of it
    assert run(DROP.format(str(package))) == "2"
    assert run(ASK, tmp_path) == "2"
