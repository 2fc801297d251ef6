"""What every process has in common that does one order beside a server and then ends: fits, replays, checks.

The order comes on standard input, signs of life go to standard output, a JSON line at a time. It stands back behind
everything else, and ends when whoever started it is gone. Not who starts it: `refit_run` and `evaluate.jobs`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from everbrook.settings import Settings

Tell = Callable[[dict[str, Any]], None]


class HasSettings(Protocol):
    """An order that comes with all settings."""

    @property
    def settings(self) -> Settings:
        """All of them."""
        ...


AskedT = TypeVar("AskedT", bound=HasSettings)


def obey(kind: type[AskedT], do: Callable[[AskedT, Tell], None]) -> int:
    """Do what standard input says; gives the exit code.

    Args:
        kind: of the order.
        do: given the order, and what to call with signs of life.

    Raises:
        SystemExit: whoever gave the order is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us ends us in their own time
    parent = os.getppid()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
    os.nice(order.settings.engine.refit_niceness)

    def tell(told: dict[str, Any]) -> None:
        if os.getppid() != parent:
            raise SystemExit(1)
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()

    do(order, tell)
    return 0
