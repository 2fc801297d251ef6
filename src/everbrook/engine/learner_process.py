"""The learner's process: `python -m everbrook.engine.learner_process SOCKET`, started and watched by the supervisor.

It reads the log, never writes it, and speaks with the server over the socket it was given. It ends when the server
says so or is gone, and when it does not get anywhere for long.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from everbrook.engine.compiling import Compiling, in_main_thread
from everbrook.engine.freed_memory import hold_large_apart
from everbrook.engine.learner_checkpoints import Found, LearnerCheckpoints
from everbrook.engine.learner_journal import SKIP, Entry, Journal
from everbrook.engine.learner_link import Kind, Link
from everbrook.engine.learner_loop import LONG_S, LearnerLoop, Learning, PortionError, absorb
from everbrook.engine.learner_portions import Portions
from everbrook.engine.log_lines import write_lines
from everbrook.engine.spans import end_spans, start_spans
from everbrook.errors import EverbrookError
from everbrook.events.log_follower import LogFollower
from everbrook.settings import Settings

FOLDER = "checkpoints"
JOURNAL = "learner.journal"
BEAT_PORTIONS = 16  # done again between two signs of life

Factory = Callable[[Path, Settings], Learning]
_log = logging.getLogger("everbrook.learner")


class Begin(msgspec.Struct, frozen=True):
    """What the server tells first."""

    path: str  # the data directory
    settings: Settings
    factory: str  # 'module:function' that makes what learns
    digest: str  # of the settings that shape what is learned
    types: tuple[str, ...]  # of records that it learns from
    skip: int | None = None  # leave out the portion up to this offset: it made learning fail again and again


class Recovery:
    """A learner put back to where the one before it was: checkpoint, then journal."""

    def __init__(self, begin: Begin, log: LogFollower) -> None:
        """Find the newest checkpoint that can be used; nothing is done again yet."""
        self._log = log
        path, settings = Path(begin.path), begin.settings
        factory = _factory(begin.factory)
        self.checkpoints = LearnerCheckpoints(path / FOLDER, begin.digest, settings.learner.checkpoints)
        self.learning = factory(path, settings)
        self.found: Found | None = None
        self.errors: list[str] = []
        begun = self.learning.offset
        for found in self.checkpoints.whole(log.end):
            try:
                self.learning.load_from(found.path)
            except (EverbrookError, OSError, ValueError, KeyError) as error:
                self.errors.append(f"The checkpoint '{found.path}' is passed over, for it cannot be loaded: {error}")
                self.learning = factory(path, settings)
                continue
            self.found = found
            break
        self.errors += self.checkpoints.errors
        self.journal = Journal(path / FOLDER / JOURNAL)
        self.entries = self._entries(f"{begin.digest}:{begun}")
        if self.journal.damage:
            self.errors.append(f"The learner's journal was not whole: {self.journal.damage}.")
        taken = self.found.notes["taken"] if self.found else self.learning.offset
        self.portions = Portions(log, taken, begin.types)

    def _entries(self, basis: str) -> list[Entry]:
        """What the journal has after the checkpoint; where it has nothing to do with it, it begins anew."""
        if self.found is not None:
            number, is_ours = self.found.notes["entries"], self.found.notes["journal"] == self.journal.id
        else:
            number, is_ours = 0, self.journal.basis == basis
        entries = self.journal.after(number) if is_ours else None
        if entries is None:
            self.journal.restart(number, basis)
            return []
        return entries

    def leave_out(self, stop: int) -> None:
        """Leave out the portion up to an offset, for good."""
        if stop in self.entries:
            at = self.entries.index(stop)
            self.entries[at] = (SKIP, {"stop": stop})
            self.journal.replace(self.journal.stop - len(self.entries) + at, self.entries[at])
            self.errors.append(f"The portion up to offset {stop} was left out: it could not be learned.")

    def do_again(self, on_progress: Callable[[], None]) -> None:
        """Do the journal's entries after the checkpoint."""
        first = self.journal.stop - len(self.entries)
        for done, entry in enumerate(self.entries):
            if done % BEAT_PORTIONS == 0:
                on_progress()
            if isinstance(entry, int):
                if entry > self._log.end:  # the log is a shorter one than it was
                    self.errors.append(f"The log ends before offset {entry}, up to which had been learned.")
                    self.journal.cut_back(first + done)
                    return
                absorb(self.learning, self.portions, entry)
            else:
                self._command(*entry)
            self.learning.moves()  # they are in the log

    def _command(self, name: str, arguments: dict[str, Any]) -> None:
        if name == SKIP:
            self.portions.take(arguments["stop"])
            return
        try:
            self.learning.command(name, arguments)
        except EverbrookError:
            _log.info("Command '%s' was refused, as it was the first time.", name)


def run(link: Link) -> None:
    """Wait for the server's first message, then learn until it is time to go."""
    begin = _first_message(link)
    if begin is None:
        return
    write_lines(begin.settings.serve, "learner")
    start_spans(begin.settings.serve, "learner")
    learner = begin.settings.learner
    os.nice(learner.niceness)
    guard = _Guard(link, learner.hang_s)
    guard.alive(LONG_S)
    with LogFollower(Path(begin.path), lenient=True) as log:
        recovery = Recovery(begin, log)
        if begin.skip is not None:
            recovery.leave_out(begin.skip)
        recovery.do_again(lambda: guard.beat(recovery.learning.offset, log.end))
        for error in recovery.errors:
            _log.warning(error)
            link.tell(Kind.ERROR, error)
        link.tell(Kind.READY, {
            "offset": recovery.learning.offset, "again": len(recovery.entries),
            "checkpoint": str(recovery.found.path) if recovery.found else None,
            "checkpoint_offset": recovery.found.offset if recovery.found else None,
        })  # fmt: skip
        loop = LearnerLoop(
            recovery.learning, log, recovery.portions, recovery.journal, recovery.checkpoints, link, learner
        )
        loop.on_alive = guard.alive
        Compiling(in_main_thread(loop.takes_long))
        try:
            loop.run()
        finally:
            recovery.journal.close()
            end_spans()


class _Guard:
    """Ends this process where it hangs, even if no one else is there to do it."""

    def __init__(self, link: Link, hang_s: float) -> None:
        self._link, self._hang_s = link, hang_s

    def alive(self, allowed_s: float) -> None:
        """Count the time anew; the server ends the process first, if it is there."""
        faulthandler.dump_traceback_later(2.0 * self._hang_s + allowed_s, exit=True)

    def beat(self, offset: int, end: int) -> None:
        """Give a sign of life while things are done again; the next may take long."""
        self.alive(LONG_S)
        self._link.tell(Kind.BEAT, {
            "offset": offset, "behind": max(0, end - offset), "allowed_s": LONG_S, "is_recovering": True,
        })  # fmt: skip
        if self._link.closed:
            raise SystemExit(0)


def _first_message(link: Link) -> Begin | None:
    while not link.closed:
        messages = link.receive(1.0)
        for place, message in enumerate(messages):
            if message.kind == Kind.BEGIN:
                link.put_back(messages[place + 1 :])
                return msgspec.json.decode(message.body, type=Begin)
            if message.kind == Kind.STOP:
                return None
    return None


def _factory(name: str) -> Factory:
    module, _, function = name.partition(":")
    found: Factory = getattr(import_module(module), function)
    return found


def main(arguments: list[str]) -> int:
    """Run with the number of the socket as the only argument; gives the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server stops us in its own time
    faulthandler.register(signal.SIGUSR1)
    hold_large_apart()
    link = Link(socket.socket(fileno=int(arguments[0])))
    try:
        run(link)
    except Exception as error:  # noqa: BLE001  whatever it was, the server must hear of it
        _log.exception("The learner's process ends.")
        link.tell(Kind.ERROR, f"{type(error).__name__}: {error}")
        if isinstance(error, PortionError):
            link.tell(Kind.FAILED, error.stop)
        link.flush()
        return 1
    finally:
        faulthandler.cancel_dump_traceback_later()
        link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
