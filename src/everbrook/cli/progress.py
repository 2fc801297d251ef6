"""Progress on the terminal: bars on standard error where it is a terminal, nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

Told = Callable[[int, int], None]
"""Told what is done and the total."""


@contextmanager
def bars() -> Iterator[Progress]:
    """A place for bars."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        yield progress


@contextmanager
def bar(title: str) -> Iterator[Told]:
    """One bar, driven by calls with what is done and the total."""
    with bars() as progress:
        task = progress.add_task(title, total=None, note="")

        def told(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield told
