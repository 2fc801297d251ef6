"""The live model beside a recommender: learning in the same process, in one of its own, or not at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from everbrook.engine.fitting import TYPES
from everbrook.engine.last_known import LastKnown
from everbrook.engine.learner_loop import READS_ONLY
from everbrook.engine.learning_files import read_arrays
from everbrook.engine.log_lines import say
from everbrook.engine.publishing import adopt, apply, share, take_over
from everbrook.engine.resuming import (
    keep_for_process,
    keep_parts_for_process,
    newest_kept,
    newest_weights,
    offset_of,
    resumed,
)
from everbrook.engine.supervisor import Supervisor, go_on_from
from everbrook.errors import NotReadyError
from everbrook.events.log import Log
from everbrook.events.records import Version
from everbrook.learn.deltas import Delta
from everbrook.learn.gate import Gate
from everbrook.models.live_expert import LiveExpert
from everbrook.settings import Settings
from everbrook.types import Arrays

if TYPE_CHECKING:
    from everbrook.engine.learning import LiveLearning

_log = logging.getLogger("everbrook.engine")
FILE = "online.safetensors"  # of a learner's checkpoint

PATIENCE_S = 0.2  # of who only looks, with a learner that is busy and whose last answer is known
HELD = {"pause": {"paused": True}, "resume": {"paused": False}}  # wishes that hold when the learner is not there yet
READ_S, DO_S = 2.0, 10.0  # longest waits for a learner's answer: of who only looks, and of who wants something done


@dataclass(frozen=True, slots=True)
class LiveStamp:
    """Which live weights answer."""

    version: str
    offset: int  # up to which they have learned
    published_ms: int


class Living:
    """Keeps the live expert of a core supplied with weights."""

    def __init__(
        self, path: Path, log: Log, settings: Settings, lock: AbstractContextManager[Any], now_ms: Callable[[], int]
    ) -> None:
        """Begin with nothing learned.

        Args:
            path: the data directory.
            log: what happens.
            settings: all of them.
            lock: under which lists are made; weights change only under it.
            now_ms: the present moment.
        """
        self._path, self._log, self._settings, self._lock, self._now_ms = path, log, settings, lock, now_ms
        self._expert: LiveExpert | None = None
        self.learning: LiveLearning | None = None
        self.supervisor: Supervisor | None = None
        self.retired: Supervisor | None = None  # the one before, until there is another
        self.stamp: LiveStamp | None = None
        self._left: dict[str, Arrays] = {}  # what a live model in here had learned, for the process to go on from
        self._adopted: Path | None = None  # the checkpoint of the process from which lists are made until it sends
        self._standing = LastKnown(lambda: self.command("standing"), PATIENCE_S)
        self._is_waiting = False  # for `start_process`: there is a supervisor, and no process yet
        self.starting = threading.RLock()  # of the process, by whoever starts it
        self.errors: list[str] = []
        self.on_drift: Callable[[str], None] = lambda _: None  # told why the large model should be fitted anew

    # -- where it learns -----------------------------------------------------------------------------------------

    def attach(self, expert: LiveExpert | None) -> None:
        """Supply this expert from now on, in the place of the one before; None where the mixture has none.

        Where a process learns, what it has sent so far is taken over, since it sends only what changes.
        """
        earlier, self._expert = self._expert, expert
        if self.supervisor is not None and earlier is not None and expert is not None and earlier is not expert:
            take_over(earlier, expert)
        if self.learning is not None:
            self._shared()

    def learn_inside(self, learning: LiveLearning | None = None) -> None:
        """Learn in this process, from a learner that has already learned or from nothing."""
        if self._expert is not None and self._settings.learner.mode != "off" and self.supervisor is None:
            from everbrook.engine.learning import LiveLearning  # which nothing needs that only serves

            self.learning = learning or LiveLearning(self._settings)
            self._shared()

    def take_up(self, left: dict[str, Arrays]) -> None:
        """Go on from what a learner left, this process or one that only learned: from what is further.

        Args:
            left: parts of a live model that learned in a process like this one; empty where none did.
        """
        if self.learning is not None and left:
            self.learning.load(left)
            self._shared()
        if self.learning is None or self._settings.learner.mode != "process":
            return
        if newest_kept(self._path, self._settings, self._log.end) >= max(self.learning.offset, 1):
            self.learn_inside(resumed(self._path, self._settings, self._log.end))

    def wait_for_process(self, left: dict[str, Arrays]) -> None:
        """Make lists from what a learner left until a process sends what it learns; nothing is learned in here.

        Args:
            left: see `take_up`.
        """
        if self._expert is None:
            return
        self._left, self.supervisor, self._is_waiting = left, self._new_supervisor(), True
        folder, parts = newest_weights(self._path, self._settings, self._log.end)
        if offset_of(left) > offset_of(parts):
            folder, parts = None, left
        if parts:
            self._adopt(parts)
            self._adopted = folder
            self.supervisor.level = max(self.supervisor.level, offset_of(parts))

    def _adopt(self, parts: dict[str, Arrays]) -> None:
        gate, place = Gate(self._settings.gate), parts["place"]["place"]
        gate.load(parts["gate"])
        assert self._expert is not None  # whoever calls has looked
        stage, offset = gate.stage if place[1] else "off", int(place[0])
        with self._lock:
            adopt(parts["online"], self._expert, stage, self._settings.gate.canary_share)
            self.stamp = LiveStamp(f"live-{offset}", offset, self._now_ms())

    def start_process(self) -> bool:
        """Let a process beside this one learn instead; whether one was started."""
        if self._expert is None or self._settings.learner.mode != "process":
            return False
        with self.starting:
            if self.supervisor is None or self._is_waiting:
                with self._lock:
                    self._hand_over()
                self.supervisor = self.supervisor or self._new_supervisor()
                self._is_waiting = False
                self.supervisor.start(self._log.end)
        return True

    def _new_supervisor(self) -> Supervisor:
        told = {"on_delta": self.take, "on_move": self._on_move, "on_ready": self._on_ready}
        made = Supervisor(self._path, self._settings, **told)  # type: ignore[arg-type]  # of three kinds
        go_on_from(made, self.supervisor or self.retired)
        return made

    def _hand_over(self) -> None:
        """Let the process go on from what was learned in here, and the lists from what it will send."""
        (learning, self.learning), (left, self._left) = (self.learning, None), (self._left, {})
        if learning is not None:
            if learning.offset > newest_kept(self._path, self._settings, self._log.end):
                keep_for_process(self._path, self._settings, learning)
            self.stamp = None
            if self._expert is not None:
                self._expert.begin()
        elif left and offset_of(left) > newest_kept(self._path, self._settings, self._log.end):
            self._adopted = keep_parts_for_process(self._path, self._settings, left)

    def tell_end(self, end: int) -> None:
        """Tell the process, where one learns, that records below an offset are durable."""
        if self.supervisor is not None:
            self.supervisor.note_end(end)

    def follow(self, end: int, most: int | None = None) -> None:
        """Learn what the log has up to an offset, where learning is inside; or tell the process.

        Args:
            end: the offset.
            most: nothing is learned where more records than this wait; None learns all.
        """
        self.tell_end(end)
        learning = self.learning
        if learning is None or learning.offset >= end or (most is not None and end - learning.offset > most):
            return
        for run in self._log.runs(learning.offset, end, TYPES, limit=self._settings.learner.micro_batch_events):
            learning.absorb(run)
            self._log_moves(learning.moves())
        learning.offset = max(learning.offset, end)
        self._shared()

    def close(self) -> None:
        """Let the process keep what it learned, and go."""
        if self.supervisor is not None:
            self.supervisor.stop()

    def _shared(self) -> None:
        learning = self.learning
        if learning is not None and self._expert is not None:
            share(learning, self._expert)
            self.stamp = LiveStamp(learning.version, learning.offset, self._now_ms())

    @property
    def learns(self) -> bool:
        """Whether anything learns live, here or in a process of its own."""
        return self.supervisor is not None or self.learning is not None

    # -- from the process ----------------------------------------------------------------------------------------

    def take(self, delta: Delta) -> None:
        """Make lists from what a delta brings, from now on."""
        with self._lock:
            if self._expert is not None:
                apply(delta, self._expert)
                self.stamp = LiveStamp(delta.version, delta.offset, self._now_ms())

    def _on_ready(self, ready: dict[str, Any]) -> None:
        """A new process goes on from a checkpoint: whoever has no weights yet takes them from there."""
        checkpoint = ready.get("checkpoint")
        adopted, self._adopted = self._adopted, None
        if self.stamp is not None and (adopted is None or checkpoint == str(adopted.absolute())):
            return
        arrays = None if checkpoint is None else read_arrays(Path(checkpoint) / FILE)
        with self._lock:
            if self._expert is not None and adopted is not None:  # it goes on from elsewhere
                self._expert.begin()
                self.stamp = None
            if self._expert is not None and arrays is not None:
                adopt(arrays, self._expert)

    def _on_move(self, move: dict[str, Any]) -> None:
        self._log_moves([move])

    def _log_moves(self, moves: list[dict[str, Any]]) -> None:
        for move in moves:
            say(_log, "The gate moved.", move=move["kind"], to=move.get("to"), because=move.get("because"))
            if move.get("refit") or move["kind"] == "refit":
                self.on_drift(move.get("because") or "The loss has risen again and again.")
        records = [_record(move, self._now_ms(), self._settings.digest()) for move in moves]
        if records:
            self._log.submit(records)

    # -- commands ------------------------------------------------------------------------------------------------

    def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Let the learner do something; one that is starting pauses and resumes when it is there.

        Args:
            name: as `LiveLearning.command` knows it.
            arguments: its arguments.

        Raises:
            NotReadyError: nothing learns here, or the process is not there.
            EverbrookError: what the command raised.
        """
        if self.supervisor is not None:
            if not self.supervisor.is_ready and name in HELD:
                self.supervisor.wish(name)
                return HELD[name] | {"pending": True}
            if not self.supervisor.is_ready:  # who is refused must not find it done later all the same
                wanted = "tell how it stands" if name in READS_ONLY else f"do '{name}'"
                told = f"The learner must be running to {wanted}; it is starting. Nothing was done."
                raise NotReadyError(told, "Ask again in a few seconds.")
            if name in READS_ONLY:
                return self.supervisor.command(name, arguments, READ_S)
            try:
                return self.supervisor.command(name, arguments, DO_S)
            finally:
                self._standing.forget()
        if self.learning is None:
            raise NotReadyError(f"A learner must be there to do '{name}'; the setting learner.mode is 'off'.")
        with self._lock:
            answer = self.learning.command(name, arguments)
            self._log_moves(self.learning.moves())
            self._shared()
            if name not in READS_ONLY and self._settings.learner.mode == "process":
                keep_for_process(self._path, self._settings, self.learning)
            return answer

    def status(self) -> dict[str, Any]:
        """Where learning stands, for people and machines."""
        mode: Literal["process", "inside", "off"] = "off"
        told: dict[str, Any] = {}
        if self.supervisor is not None:
            mode, told = "process", {"process": self.supervisor.status()}
        elif self.learning is not None:
            mode = "inside"
        if self.stamp is not None:
            told["published"] = {
                "version": self.stamp.version, "offset": self.stamp.offset,
                "age_ms": max(0, self._now_ms() - self.stamp.published_ms),
            }  # fmt: skip
        if self._expert is not None:
            told["stage"] = self._expert.stage
        try:
            told |= {} if mode == "off" else self.command("standing") if mode == "inside" else self._standing.told()
        except NotReadyError as error:
            told["note"] = error.message
        return {"mode": mode} | told


def _record(move: dict[str, Any], now_ms: int, digest: str) -> Version:
    """A decision as the log keeps it."""
    offset = int(move.get("offset", 0))
    return Version(
        version=str(move.get("version") or f"live-{offset}"), offset=offset, ts=now_ms, action=move["kind"],
        settings=digest, to=str(move["to"]) if move.get("to") else None, because=move.get("because"),
        evidence=move.get("evidence"),
    )  # fmt: skip
