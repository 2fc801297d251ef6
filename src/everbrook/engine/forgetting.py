"""Deletions beside other things: tried again until they are done, and told by name to what reads the log meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec

from everbrook.engine.log_lines import say
from everbrook.errors import EverbrookError
from everbrook.events.log import Readable, Run
from everbrook.events.records import Deletion

FIRST_S, MOST_S = 5.0, 600.0  # between two tries; each wait is twice the one before

_log = logging.getLogger("everbrook.engine")


class Retries:
    """Tries again on a thread of its own, which is there only while something is pending.

    Args:
        pending: who is still to be forgotten.
        erase: forgets somebody.
        note: is told of what went wrong.
        first_s: wait before the first try.
    """

    def __init__(
        self, pending: Callable[[], list[str]], erase: Callable[[str], object], note: Callable[[str], None],
        first_s: float = FIRST_S,
    ) -> None:  # fmt: skip
        self._pending, self._erase, self._note, self._first_s = pending, erase, note, first_s
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """See to it that what is pending is tried again."""
        with self._lock:
            if self._closing.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="everbrook-forgetting", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Try no more; the next start goes on. Waits for a try that is under way."""
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        wait_s = self._first_s
        while not self._closing.wait(wait_s):
            try:
                names = self._pending()
                for name in names:
                    self._erase(name)
            except EverbrookError as error:
                wait_s = min(2.0 * wait_s, MOST_S)
                self._note(f"A person is not forgotten everywhere yet; it is tried again in {wait_s:g} s: "
                           f"{error.message}")
                continue
            say(_log, "Deletions that were pending are done.", people=len(names))
            return


class Names:
    """Whom the log's newest deletions mean: kept in memory while somebody is forgotten, or the log is learned anew.

    Who read a person's events before they went would meet a deletion that names nobody any more.
    """

    def __init__(self) -> None:
        self._lock, self._holders = threading.Lock(), 0
        self._names: dict[int, str] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep what is noted at least as long as this lasts."""
        with self._lock:
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._names.clear()

    def note(self, offset: int, user_id: str) -> None:
        """Keep whom a deletion means, before the log ceases to name anybody in it.

        Args:
            offset: of its record.
            user_id: of the person.
        """
        with self._lock:
            self._names[offset] = user_id

    def told(self, run: Run) -> Run:
        """The same records, in which those deletions name the person."""
        if run.type != "deletion":
            return run
        with self._lock:
            names = [self._names.get(offset) for offset in run.offsets.tolist()]
        if not any(names):
            return run
        pairs = zip(run.records, names, strict=True)
        return replace(run, records=tuple(
            msgspec.structs.replace(record, id=name) if name and isinstance(record, Deletion) else record
            for record, name in pairs
        ))  # fmt: skip


class NamedLog:
    """A log read with the names of those who are forgotten meanwhile; to be read while they are held."""

    def __init__(self, log: Readable, names: Names) -> None:
        self._log, self._names = log, names

    @property
    def end(self) -> int:
        """The offset that the next record will get."""
        return self._log.end

    def runs(
        self, start: int, stop: int | None = None, types: Collection[str] | None = None, limit: int = 1_000_000
    ) -> Iterator[Run]:
        """Read the records at start..stop-1 in order, as `Readable.runs` says."""
        yield from map(self._names.told, self._log.runs(start, stop, types, limit))
