"""The supervisor: starts the learner's process beside the server, watches it, and starts it anew whenever it is gone.

Nothing here stops a list: whatever becomes of the learner, what it published stays, and what it missed it makes up.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import msgspec

from everbrook import errors
from everbrook.engine.fitting import TYPES
from everbrook.engine.freshness import Freshness
from everbrook.engine.keeping import learned_digest
from everbrook.engine.learner_link import Kind, Link, Message
from everbrook.engine.learner_loop import READS_ONLY
from everbrook.engine.learner_process import Begin
from everbrook.errors import NotReadyError
from everbrook.learn.deltas import Assembler, Delta
from everbrook.settings import Settings
from everbrook.settings.learner import LearnerSettings

FACTORY = "everbrook.engine.learning:open_learning"
LOOK_S = 0.1  # longest wait for a message before the process is looked at
BEGIN_S = 600.0  # longest time until the first sign of life: imports, loading
TRACE_S = 0.2  # for a process that hangs to write where
HEALTHY_S = 60.0  # after so long a life a death is counted as the first
MOST_DOUBLED = 64  # times that the wait before a start is doubled; the settings bound it before
FAILED_PORTIONS = 3  # a portion that made learning fail so often is left out
LAST_ERRORS = 10
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_log = logging.getLogger("everbrook.engine")

StateName = Literal["starting", "recovering", "catching_up", "learning", "waiting", "stopped"]


class Supervisor:
    """Keeps one learner's process running. Everything public is safe from any thread."""

    def __init__(
        self, path: Path, settings: Settings, on_delta: Callable[[Delta], None],
        on_move: Callable[[dict[str, Any]], None] = lambda _: None,
        on_ready: Callable[[dict[str, Any]], None] = lambda _: None, factory: str = FACTORY,
    ) -> None:  # fmt: skip
        """Get ready; nothing is started yet.

        Args:
            path: the data directory, whose log is open in this process.
            settings: all of them.
            on_delta: puts a delta into the lists, at once; called in the supervisor's thread.
            on_move: writes a decision to the log.
            on_ready: told where a new process goes on: offset, checkpoint, checkpoint_offset.
            factory: 'module:function' that makes the `Learning` from the path and the settings, in the process.
        """
        self._path, self._settings, self._factory = path, settings, factory
        self._on_delta, self._on_move, self._on_ready = on_delta, on_move, on_ready
        self._thread = threading.Thread(target=self._run, name="everbrook-learner", daemon=True)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._link: Link | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._assembler, self._is_out_of_step = Assembler(), False
        self._answers = _Answers()
        self._end = 0
        self._told: tuple[Link | None, int] = None, 0  # to which process the end was told, and which
        self._stop_at: float | None = None
        self._deadline, self._delta_rows = 0.0, 0
        self._is_ready = False  # whether the process has said from where it goes on
        self._state: StateName = "starting"
        self._beat: dict[str, Any] = {}
        self._beat_at = 0.0
        self._failed = (-1, 0)  # up to where the portion goes that made it fail, and how often
        self._starts, self._hangs, self._deaths = 0, 0, 0
        self._serial, self._version, self.level = 0, "", 0  # the last: up to where the lists have what it learned
        self.freshness = Freshness()
        self.errors: list[str] = []

    # -- from the server -----------------------------------------------------------------------------------------

    def start(self, end: int) -> None:
        """Start the process.

        Args:
            end: of the log.
        """
        self._end = end
        self._state = "starting"
        self._thread.start()

    def note_end(self, end: int) -> None:
        """Tell the learner that the log has grown, as soon as records are durable."""
        if end > self._end:  # it may be told again when the records are taken in
            self.freshness.note(end, time.monotonic())
        self._end, link = max(self._end, end), self._link
        if link is not None and self._told != (link, self._end) and not link.waiting_bytes:  # else it looks by itself
            link.tell(Kind.END, self._end)
            self._told = link, self._end

    def command(self, name: str, arguments: dict[str, Any] | None = None, timeout_s: float = 10.0) -> dict[str, Any]:
        """Let the learner do something between two portions.

        Args:
            name: of the command, as `Learning.command` knows it.
            arguments: its arguments, JSON-able.
            timeout_s: longest wait for the answer.

        Raises:
            NotReadyError: the learner is not there, or does not answer in time.
            EverbrookError: what the command raised.
        """
        with self._lock:
            link = self._link
            if link is None:
                raise NotReadyError(f"The learner must be running to do '{name}'; it is {self._state}.")
            number, future = self._answers.expect()
        link.tell(Kind.COMMAND, {"number": number, "name": name, "arguments": arguments or {}})
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            raise NotReadyError(_too_late(name, timeout_s)) from None
        finally:
            self._answers.forget(number)

    def wish(self, name: str) -> None:
        """Have a command without arguments done once there is a process for it, in the place of the wish before."""
        with self._lock:
            self._answers.wish(name, self._link)

    def stop(self, timeout_s: float = 60.0) -> None:
        """Let the learner keep a checkpoint and go; one that is still starting, or does not go in time, is killed."""
        if not self._thread.is_alive():
            return
        self._stop_at = time.monotonic() + timeout_s
        self._wake.set()
        link = self._link
        if link is not None:
            link.send(Kind.STOP, b"")
        self._thread.join()

    @property
    def is_ready(self) -> bool:
        """Whether a process is there that answers commands."""
        return self._is_ready

    def status(self) -> dict[str, Any]:
        """How the learner stands, for people and machines."""
        process = self._process
        return {
            "state": self._state, "wish": self._answers.wished, "pid": None if process is None else process.pid,
            "offset": self._beat.get("offset"), "behind": _behind(self._beat, self._is_ready, self._end - self.level),
            "published": {"version": self._version or None, "offset": self.level, "deltas": self._serial,
                          "rows": self._delta_rows},
            "freshness": self.freshness.told(), "busy_s": self._beat.get("busy_s"),
            "portions": self._beat.get("portions"), "checkpoint": self._beat.get("checkpoint"),
            "silent_s": round(time.monotonic() - self._beat_at, 3) if self._beat_at else None,
            "starts": self._starts, "hangs": self._hangs, "last_errors": list(self.errors),
        }  # fmt: skip

    # -- the supervisor's thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._stop_at is None:
            started = time.monotonic()
            how = self._one_life()
            if self._stop_at is not None:
                break
            self._deaths = 1 if time.monotonic() - started > HEALTHY_S else self._deaths + 1
            wait_s = _wait_s(self._settings.learner, self._deaths)
            self._state = "waiting"
            self._note(f"The learner's process {how}; it is started again in {wait_s:g} s.")
            self._wake.wait(wait_s)
        self._state = "stopped"

    def _one_life(self) -> str:
        """Start a process and serve it until it is gone; gives how it ended."""
        try:
            link, process = self._begin()
        except OSError as error:  # no memory, no process or no file is left
            return f"could not be started: {error}"
        try:
            while process.poll() is None:
                is_silent = not self._serve(link, LOOK_S)  # not while what it sent takes us long
                self._kill_where_due(process, is_silent)
                if link.closed:
                    process.wait()
            while self._serve(link, 0.0):  # what it sent before it ended
                pass
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            with self._lock:
                self._link, self._process, self._is_ready = None, None, False
            link.close()
            self._answers.give_up()
        return f"ended with {_words(process.returncode)}"

    def _begin(self) -> tuple[Link, subprocess.Popen[bytes]]:
        link, process = _spawn()
        link.send(Kind.BEGIN, _first_message(self._path, self._settings, self._factory, self._failed))
        link.tell(Kind.END, self._end)
        self._assembler, self._is_out_of_step = Assembler(), False
        self._beat, self._beat_at, self._is_ready = {}, 0.0, False
        self._deadline = time.monotonic() + BEGIN_S
        self._starts, self._state = self._starts + 1, "starting"
        with self._lock:
            self._link, self._process = link, process
            self._answers.tell_wish(link)
        if self._stop_at is not None:
            link.send(Kind.STOP, b"")
        return link, process

    def _kill_where_due(self, process: subprocess.Popen[bytes], is_silent: bool) -> None:
        now = time.monotonic()
        if self._stop_at is not None and not self._is_ready:  # all that it would keep is on disk
            process.kill()
        elif self._stop_at is not None and now > self._stop_at:
            self._note("The learner's process did not stop in time and was killed.")
            process.kill()
        elif self._is_out_of_step:
            process.kill()
        elif is_silent and now > self._deadline:
            self._hangs += 1
            self._note(f"The learner's process gave no sign of life for {now - self._beat_at:.1f} s and was killed.")
            process.send_signal(signal.SIGUSR1)  # it says where it is, if it can
            time.sleep(TRACE_S)
            process.kill()
        else:
            return
        process.wait()

    def _serve(self, link: Link, wait_s: float) -> int:
        """Do what the process tells; gives the number of messages."""
        messages = link.receive(wait_s)
        for message in messages:
            try:
                self._take(message, link)
            except Exception as error:  # noqa: BLE001  whatever a message does here, lists go on
                self._note(f"What the learner sent could not be used: {error}")
                _log.debug("The message was of kind %s.", message.kind, exc_info=True)
                self._is_out_of_step = True  # it starts anew and sends again what is missing
        return len(messages)

    def _take(self, message: Message, link: Link) -> None:
        if message.kind == Kind.FRAME:
            self._frame(message.body, link)
        elif message.kind == Kind.BEAT:
            self._note_beat(message.told())
        elif message.kind == Kind.LEVEL:
            self._note_level(message.told())
        elif message.kind == Kind.ANSWER:
            self._answers.take(message.told())
        elif message.kind == Kind.MOVE:
            self._on_move(message.told())
        elif message.kind == Kind.READY:
            self._is_ready = True
            self._on_ready(message.told())
        elif message.kind == Kind.ERROR:
            self._note(f"The learner says: {message.told()}")
        elif message.kind == Kind.FAILED:
            stop = message.told()
            self._failed = (stop, self._failed[1] + 1 if self._failed[0] == stop else 1)

    def _frame(self, body: bytes, link: Link) -> None:
        delta = self._assembler.take(body)
        if delta is None:
            return
        self._on_delta(delta)
        self._note_level(delta.offset)
        self._serial += 1
        self._version, self._delta_rows = delta.version, len(delta.rows)
        link.tell(Kind.ACK, self._assembler.serial)

    def _note_level(self, offset: int) -> None:
        self.freshness.served(offset, time.monotonic())
        self.level = max(self.level, offset)

    def _note_beat(self, beat: dict[str, Any]) -> None:
        self._beat, self._beat_at = beat, time.monotonic()
        self._deadline = self._beat_at + self._settings.learner.hang_s + beat["allowed_s"]
        self._state = _state_of(beat, self._settings.learner.behind_events)

    def _note(self, text: str) -> None:
        _log.warning(text)
        self.errors = [*self.errors[1 - LAST_ERRORS :], text]


class _Answers:
    """Commands that wait for their answers, and the one that waits for a process to do it."""

    def __init__(self) -> None:
        self._wish: tuple[int, str] | None = None  # and the number under which it will be answered
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._count = 0

    def expect(self) -> tuple[int, Future[dict[str, Any]]]:
        with self._lock:
            self._count += 1
            future = self._waiting[self._count] = Future()
            return self._count, future

    @property
    def wished(self) -> str | None:
        wish = self._wish
        return None if wish is None else wish[1]

    def wish(self, name: str, link: Link | None) -> None:
        with self._lock:
            self._count += 1
            self._wish = self._count, name
        if link is not None:
            self.tell_wish(link)

    def tell_wish(self, link: Link) -> None:
        """To each process once, since one that ended may not have done it."""
        wish = self._wish
        if wish is not None:
            link.tell(Kind.COMMAND, {"number": wish[0], "name": wish[1], "arguments": {}})

    def take(self, answer: dict[str, Any]) -> None:
        with self._lock:
            if self._wish is not None and self._wish[0] == answer["number"]:
                self._wish = None
        future = self.forget(answer["number"])
        if future is None:
            return
        if "error" in answer:
            future.set_exception(_error(answer["error"], answer["message"], answer["type"]))
        else:
            future.set_result(answer["result"])

    def forget(self, number: int) -> Future[dict[str, Any]] | None:
        with self._lock:
            return self._waiting.pop(number, None)

    def give_up(self) -> None:
        """Nobody is there any more who would answer."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(NotReadyError("The learner must be running to answer; its process ended."))


def _wait_s(learner: LearnerSettings, deaths: int) -> float:
    """How long to wait before a process is started again."""
    return min(learner.restart_backoff_s * 2.0 ** min(deaths - 1, MOST_DOUBLED), learner.restart_backoff_max_s)


def _first_message(path: Path, settings: Settings, factory: str, failed: tuple[int, int]) -> bytes:
    """What a process is told first; a portion that failed again and again is left out."""
    skip = failed[0] if failed[1] >= FAILED_PORTIONS else None
    return msgspec.json.encode(
        Begin(str(path.absolute()), settings, factory, learned_digest(settings), TYPES, skip=skip)
    )


def _state_of(beat: dict[str, Any], behind_events: int) -> StateName:
    if beat.get("is_recovering"):
        return "recovering"
    return "catching_up" if beat["behind"] > behind_events else "learning"


def _spawn() -> tuple[Link, subprocess.Popen[bytes]]:
    """Start a process that waits for its first message."""
    ours, theirs = socket.socketpair()
    with theirs, ExitStack() as otherwise:
        otherwise.callback(ours.close)
        process = subprocess.Popen(
            [sys.executable, "-m", "everbrook.engine.learner_process", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], env=os.environ | dict.fromkeys(THREADS, "1"), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        otherwise.pop_all()
    return Link(ours), process


def go_on_from(supervisor: Supervisor, earlier: Supervisor | None) -> None:
    """Let one count on from another that has stopped, and do what that was asked for and had not done."""
    if earlier is None:
        return
    supervisor.freshness, supervisor.errors, supervisor.level = earlier.freshness, earlier.errors, earlier.level
    supervisor._starts, supervisor._hangs, supervisor._end = earlier._starts, earlier._hangs, earlier._end
    wished = earlier._answers.wished
    if wished is not None:
        supervisor.wish(wished)


def _behind(beat: dict[str, Any], is_ready: bool, unpublished: int) -> int | None:
    """Records that were not learned: as the process says, or what the lists lack where none is there to say it."""
    return beat.get("behind") if is_ready else max(0, unpublished)


def _too_late(name: str, timeout_s: float) -> str:
    """Words for a command whose answer did not come in time."""
    yet = "" if name in READS_ONLY else " It may do it yet: look at GET /v1/versions before you ask again."
    return f"The learner must answer '{name}' within {timeout_s:g} s; it is busy.{yet}"


def _words(code: int) -> str:
    """Words for an exit code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _error(name: str, message: str, kind: str) -> errors.EverbrookError:
    """An error of ours as it was raised elsewhere."""
    found: type[errors.EverbrookError] = getattr(errors, name, errors.EverbrookError)
    if found is errors.UnknownNameError:  # which would word its own sentence
        found = errors.InputError
    made = found(message)
    made.type = kind  # type: ignore[misc]  # what clients match on
    return made
