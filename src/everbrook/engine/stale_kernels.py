"""Compiled kernels that a change of the sources made stale: they are dropped, so that they are compiled anew.

Numba keeps a compiled kernel beside its source and takes it as long as that file is the same. What it calls in other
files is compiled into it, and a change there, as an update of a checkout brings, would go unnoticed.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

_IMPORT = re.compile(r"^\s*from (everbrook[\w.]*) import (\([^)]*\)|[^\n]*)|^\s*import (everbrook[\w.]*)", re.MULTILINE)
_NAME = re.compile(r"\w+")


def drop_stale(package: Path | None = None) -> int:
    """Remove the indices of compiled kernels that are older than a source which they were compiled from.

    Only those that lie beside their sources: a cache elsewhere (NUMBA_CACHE_DIR) is left alone.

    Args:
        package: folder of the package; this one's where None.

    Returns:
        How many were removed. What cannot be removed is not counted, and stays.
    """
    root, dropped = package or Path(__file__).parents[1], 0
    sources, found = _Sources(root), list(_stamped(str(root)))
    newest_ns = max((changed_ns for name, changed_ns in found if name.endswith(".py")), default=0)
    for name, compiled_ns in found:
        if compiled_ns >= newest_ns or not name.endswith(".nbi"):  # mostly all are younger than all sources
            continue
        index = Path(name)
        with contextlib.suppress(OSError):
            if compiled_ns < sources.newest_ns(index.parents[1] / f"{index.name.partition('.')[0]}.py"):
                index.unlink()
                dropped += 1
    return dropped


def _stamped(folder: str) -> Iterator[tuple[str, int]]:
    """Sources and indices of compiled kernels in a folder and below, each with the time of its last change."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _stamped(entry.path)
            elif entry.name.endswith((".py", ".nbi")):
                yield entry.path, entry.stat().st_mtime_ns


class _Sources:
    """The files of a package, and what each imports."""

    def __init__(self, root: Path) -> None:
        self._root, self._now_ns = root, time.time_ns()
        self._imports: dict[Path, set[Path]] = {}
        self._newest: dict[Path, int] = {}

    def newest_ns(self, source: Path) -> int:
        """When the newest of the files changed that a file consists of with all that it imports."""
        if source not in self._newest:
            found, waiting = {source}, [source]
            while waiting:
                new = self._imported(waiting.pop()) - found
                found |= new
                waiting.extend(new)
            self._newest[source] = max(map(self._changed_ns, found))
        return self._newest[source]

    def _changed_ns(self, file: Path) -> int:
        """When a file changed; one from the future would make all stale for ever, and counts as old."""
        changed_ns = file.stat().st_mtime_ns if file.exists() else 0
        return changed_ns if changed_ns <= self._now_ns else 0

    def _imported(self, file: Path) -> set[Path]:
        if file not in self._imports:
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            self._imports[file] = {one for name in _modules(text) if (one := self._file(name)).is_file()}
        return self._imports[file]

    def _file(self, module: str) -> Path:
        return self._root.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _modules(text: str) -> Iterator[str]:
    """Names that are modules of the package, or things in one."""
    for whence, names, whole in _IMPORT.findall(text):
        yield whence or whole
        for name in _NAME.findall(names):
            yield f"{whence}.{name}"
