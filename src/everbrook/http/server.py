"""Listening: a socket, uvicorn on it, and an orderly end."""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from everbrook.errors import BusyError, SettingError
from everbrook.http.address import announce, url_of, withdraw
from everbrook.http.app import build_app
from everbrook.http.gate import check_address
from everbrook.http.keys import FILE as KEYS_FILE
from everbrook.http.keys import Keyring
from everbrook.http.patience import Listening, look_at_all

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Settings
    from everbrook.settings.serve import ServeSettings

SWITCH_S = 0.0002  # after so long a thread lets others have the interpreter: a commit of the log wants it eight times
OWN_FILES = 512  # that are no connections

OnReady = Callable[[str], None]
"""Told the address once connections are taken; whether requests are answered the engine says (`is_warm`)."""


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it listens."""

    def __init__(self, config: uvicorn.Config, told: Callable[[], None], ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._told, self._ending = told, ending

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; once a second the connections are looked at."""
        if counter % 10 == 0:
            look_at_all(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets=sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._told()


def serve(engine: Recommender, settings: Settings, on_ready: OnReady) -> None:
    """Answer requests until the process is asked to stop (SIGINT, SIGTERM); requests in flight are ended first.

    Raises:
        SettingError: the address is not loopback and there are no keys, or does not exist.
        BusyError: the port is taken.
    """
    keyring = Keyring(settings.serve.keys, engine.path / KEYS_FILE)
    check_address(settings.serve, keyring.locked)
    allow_connections(settings.serve.connections_limit)
    listening = bind(settings.serve)
    try:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host

        def listens() -> None:
            announce(engine.path, url_of(host, port))
            on_ready(f"http://{shown}:{port}")

        server = build_server(engine, settings, keyring, listens)
        sys.setswitchinterval(SWITCH_S)
        gc.collect()
        gc.freeze()  # what stands now stays: to look at all of it again and again takes a tenth of a second each time
        with _signals_end_quietly():
            server.run(sockets=[listening])
    finally:
        withdraw(engine.path)
        listening.close()


def build_server(
    engine: Recommender, settings: Settings, keyring: Keyring, on_listening: Callable[[], None]
) -> uvicorn.Server:
    """uvicorn with our application and limits, not yet running.

    Args:
        engine: an open engine.
        settings: all of them.
        keyring: who is let in.
        on_listening: told once requests are answered.
    """
    app = build_app(engine, settings, keyring)
    config = Listening(
        app, settings.serve, app.state.direct, ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, date_header=False, proxy_headers=False,
        timeout_graceful_shutdown=settings.serve.stop_timeout_s,
    )
    return _Server(config, on_listening, app.state.close)


def bind(settings: ServeSettings) -> socket.socket:
    """A socket on the address of the settings, not yet listening."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        if isinstance(error, socket.gaierror) or error.errno != errno.EADDRINUSE:
            raise SettingError(
                f"Settings 'serve.host' and 'serve.port' must be an address of this machine; got "
                f"'{settings.host}:{settings.port}' ({error.strerror})."
            ) from error
        raise BusyError(
            f"Port {settings.port} must be free; another process listens on it.",
            "Choose another: --port 8001, or make run PORT=8001",
        ) from error
    return listening


def allow_connections(limit: int) -> None:
    """Let this process open as many files as so many connections and its own files need, as far as the system lets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limit + OWN_FILES if hard == resource.RLIM_INFINITY else min(limit + OWN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """Let the server return after a signal: it raises the signal again when it has stopped, and closing comes after."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
