"""One refit's process, from its start to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from everbrook.engine.learning_files import write_arrays
from everbrook.engine.refit_process import FOLDER, ROWS, Order, Outcome
from everbrook.engine.supervisor import THREADS
from everbrook.settings import Settings
from everbrook.types import Arrays


def order_for(path: Path, settings: Settings, digest: str, earns: bool, rows: Arrays) -> Order:
    """What a process is told: to fit on one thread, beside a live model that is not its business; leaves the rows.

    Args:
        path: the data directory.
        settings: all of them.
        digest: of the settings that shape what is learned.
        earns: whether the model also earns its weight in the mixture.
        rows: the numbering of the state in which the model will answer.
    """
    (path / FOLDER).mkdir(exist_ok=True)
    write_arrays(path / FOLDER / ROWS, rows)
    alone = msgspec.structs.replace(
        settings, fit=msgspec.structs.replace(settings.fit, threads=1),
        learner=msgspec.structs.replace(settings.learner, mode="off"),
    )  # fmt: skip
    return Order(str(path.absolute()), alone, digest, earns)


def spawn() -> subprocess.Popen[bytes]:
    """Start a process that waits for its order."""
    return subprocess.Popen(
        [sys.executable, "-m", "everbrook.engine.refit_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | dict.fromkeys(THREADS, "1"),
    )  # fmt: skip


def followed(
    process: subprocess.Popen[bytes], order: Order, on_progress: Callable[[dict[str, Any]], None]
) -> tuple[int, Outcome | None]:
    """Give a process its order and listen to it until it ends.

    Args:
        process: as `spawn` gave it.
        order: what it shall do.
        on_progress: told how far it is.

    Returns:
        Its exit code, and what it fitted; None where there was too little to learn from, or it failed.
    """
    outcome: Outcome | None = None
    assert process.stdin is not None  # both are pipes
    assert process.stdout is not None
    with process:
        try:
            process.stdin.write(msgspec.json.encode(order))
            process.stdin.close()
            for line in process.stdout:
                told = msgspec.json.decode(line)
                if "outcome" in told:
                    outcome = msgspec.convert(told["outcome"], Outcome | None)
                else:
                    on_progress(told)
        except (OSError, msgspec.MsgspecError):  # it is gone, or was in the middle of a line: its exit code says why
            pass
        code = process.wait()
    (Path(order.path) / FOLDER / ROWS).unlink(missing_ok=True)
    return code, outcome


def ended(code: int) -> str:
    """Words for an exit code."""
    try:
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
