"""`everbrook serve`: answer over HTTP until asked to stop."""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import time
from types import FrameType

from everbrook.cli.opening import data_path, loaded_settings

_log = logging.getLogger("everbrook.serve")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--host", help="address to listen on (the setting serve.host)")
    parser.add_argument("--port", help="port to listen on; 0 takes a free one (the setting serve.port)")


def assignments_of(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The settings that the options stand for."""
    return tuple(
        f"serve.{name}={value}" for name, value in (("host", arguments.host), ("port", arguments.port))
        if value is not None
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve."""
    signal.signal(signal.SIGTERM, _leave)
    settings = loaded_settings(arguments, assignments_of(arguments)).settings
    gc.disable()  # what is imported stays: to look at it again and again meanwhile takes a tenth of the start

    from everbrook.engine.beginning import Beginning
    from everbrook.engine.compiling import Compiling, at_first
    from everbrook.engine.freed_memory import hold_large_apart
    from everbrook.engine.log_lines import say, write_lines
    from everbrook.engine.recommender import Recommender
    from everbrook.engine.spans import end_spans, start_spans
    from everbrook.engine.stale_kernels import drop_stale
    from everbrook.http.guard import check_address
    from everbrook.http.keys import FILE as KEYS_FILE
    from everbrook.http.keys import read_keys
    from everbrook.http.server import serve

    gc.freeze()
    gc.enable()
    hold_large_apart()
    write_lines(settings.serve, "server")
    start_spans(settings.serve, "server")
    has_keys = bool(read_keys(data_path(arguments) / KEYS_FILE))
    check_address(settings.serve, has_keys)  # before the log is read, which may take a while
    began_s = time.perf_counter()
    drop_stale()
    compiling = Compiling(at_first(lambda: say(_log, "Compiling for this machine: once, and that takes minutes.")))

    def listens(address: str) -> None:
        def ready() -> None:
            say(_log, "Ready.", took_s=round(time.perf_counter() - began_s, 2))
            print(f"Everbrook answers on {address} (docs: {address}/docs)", flush=True)

        beginning.start(ready)

    with (
        Recommender.open(data_path(arguments), settings, beside=True) as engine,
        Beginning(engine, compiling) as beginning,
    ):
        serve(engine, settings, listens)
        say(_log, "Stopping: what was accepted is answered.")
    end_spans()
    say(_log, "Stopped.")
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    """End a server that does not serve yet: the first process of a container is not ended by the signal alone."""
    raise SystemExit(128 + number)
