"""Where a server answers, told in its data directory, so that the command line finds it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from everbrook.events.log_files import write_durably

log = logging.getLogger("everbrook.http")

FILE = "server.json"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # addresses that are listened on, and how they are reached


class Address(msgspec.Struct, frozen=True):
    """A server's address, and whose it is."""

    url: str
    pid: int


def url_of(host: str, port: int) -> str:
    """The address at which this machine reaches a server."""
    reached = EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{reached}:{port}"


def announce(data: Path, url: str) -> None:
    """Tell the address of this process's server; lists are made also where the disk refuses that."""
    try:
        write_durably(data / FILE, msgspec.json.encode(Address(url, os.getpid())))
    except OSError as error:
        log.warning("The server's address could not be written to '%s': %s", data / FILE, error.strerror)


def withdraw(data: Path) -> None:
    """Tell it no more."""
    (data / FILE).unlink(missing_ok=True)


def announced(data: Path) -> Address | None:
    """What was told, by a server that may have been killed since; None where nothing is told."""
    try:
        return msgspec.json.decode((data / FILE).read_bytes(), type=Address)
    except (OSError, msgspec.MsgspecError):
        return None
