"""A learner that dies in a loop is started later and later, each death is told, and who asks is answered at once."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from everbrook.engine import supervisor as supervising
from everbrook.engine.learner_link import Kind, Link
from everbrook.engine.living import DO_S, Living
from everbrook.engine.supervisor import Supervisor
from everbrook.errors import NotReadyError
from everbrook.events.sqlite_log import SqliteLog
from everbrook.settings import Settings
from everbrook.settings.log import LogSettings


def _dying() -> tuple[Link, subprocess.Popen[bytes]]:
    """A real process that ends by itself at once."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-S", "-c", "raise SystemExit(3)"]
        return Link(ours), subprocess.Popen(command, pass_fds=[theirs.fileno()])


def _mute() -> tuple[Link, subprocess.Popen[bytes]]:
    """A real process that never says that it is ready."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
        return Link(ours), subprocess.Popen(command, pass_fds=[theirs.fileno()])


def test_going_back_while_the_learner_starts_is_refused_at_once_and_not_done_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Kind] = []
    monkeypatch.setattr(supervising, "_spawn", _mute)
    monkeypatch.setattr(Link, "tell", lambda _, kind, what: told.append(kind))
    with SqliteLog.open(tmp_path / "data", LogSettings()) as log:
        living = Living(tmp_path / "data", log, Settings(), threading.RLock(), lambda: 0)
        living.supervisor = Supervisor(tmp_path / "data", Settings(), on_delta=lambda _: None)
        living.supervisor.start(0)
        try:
            until = time.monotonic() + 60.0
            while living.supervisor.status()["pid"] is None:
                assert time.monotonic() < until
                time.sleep(0.005)
            began_s = time.monotonic()
            with pytest.raises(NotReadyError, match=r"it is starting\. Nothing was done\."):
                living.command("rollback", version="live-1")
            assert time.monotonic() - began_s < DO_S / 2
        finally:
            living.supervisor.stop(0.1)
    assert told
    assert Kind.COMMAND not in told


def test_a_learner_that_dies_in_a_loop_is_started_later_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervising, "_spawn", _dying)
    learner = msgspec.structs.replace(Settings().learner, restart_backoff_s=0.01, restart_backoff_max_s=0.04)
    watched = Supervisor(tmp_path, msgspec.structs.replace(Settings(), learner=learner), on_delta=lambda _: None)
    with caplog.at_level(logging.WARNING, "everbrook.engine"):
        watched.start(0)
        until = time.monotonic() + 60.0
        while len(watched.errors) < 5:
            assert time.monotonic() < until
            time.sleep(0.005)
        with pytest.raises(NotReadyError):
            watched.command("standing", timeout_s=0.2)
        watched.stop()
    waits = [re.findall(r"exit code 3; it is started again in ([\d.]+) s", text)[0] for text in watched.errors[:5]]
    assert waits == ["0.01", "0.02", "0.04", "0.04", "0.04"]
    status = watched.status()
    assert (status["state"], status["pid"]) == ("stopped", None)
    assert status["starts"] >= 5
    assert sum("exit code 3" in record.getMessage() for record in caplog.records) >= 5


def test_a_learner_that_cannot_be_started_is_tried_again_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def spawn() -> tuple[Link, subprocess.Popen[bytes]]:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return _dying()

    monkeypatch.setattr(supervising, "_spawn", spawn)
    learner = msgspec.structs.replace(Settings().learner, restart_backoff_s=0.01, restart_backoff_max_s=0.02)
    watched = Supervisor(tmp_path, msgspec.structs.replace(Settings(), learner=learner), on_delta=lambda _: None)
    watched.start(0)
    until = time.monotonic() + 60.0
    while len(watched.errors) < 3:
        assert time.monotonic() < until
        time.sleep(0.005)
    watched.stop()
    first, second, third = watched.errors[:3]
    assert "could not be started: [Errno 11]" in first
    assert "could not be started" in second
    assert "ended with exit code 3" in third


def test_a_learner_that_dies_for_days_is_started_again_all_the_same() -> None:
    learner = Settings().learner
    assert supervising._wait_s(learner, 1) == learner.restart_backoff_s
    assert supervising._wait_s(learner, 100_000) == learner.restart_backoff_max_s


def test_no_file_is_left_open_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", none_left)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(OSError, match="memory"):
            supervising._spawn()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("wish", ["pause", "resume"])
def test_a_pause_holds_while_the_learner_starts_and_nobody_waits_for_it(tmp_path: Path, wish: str) -> None:
    with SqliteLog.open(tmp_path / "data", LogSettings()) as log:
        living = Living(tmp_path / "data", log, Settings(), threading.RLock(), lambda: 0)
        living.supervisor = Supervisor(tmp_path / "data", Settings(), on_delta=lambda _: None)
        began_s = time.monotonic()
        assert living.command(wish) == {"paused": wish == "pause", "pending": True}
        assert living.status()["process"]["wish"] == wish
        assert time.monotonic() - began_s < DO_S / 2
