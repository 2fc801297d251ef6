"""What the learner's process does all the time: read, cut, learn, publish, answer, keep.

Time decides here when a portion is cut and when a delta goes out. What is learned depends on the log and the journal
alone: each cut and each command is in the journal before the model sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from everbrook.engine.learner_checkpoints import LearnerCheckpoints
from everbrook.engine.learner_journal import Journal
from everbrook.engine.learner_link import Kind, Link
from everbrook.engine.learner_portions import Portions
from everbrook.engine.spans import span
from everbrook.errors import EverbrookError, StorageError
from everbrook.events.log import Run
from everbrook.events.log_follower import LogFollower
from everbrook.learn.deltas import Delta, frames
from everbrook.settings.learner import LearnerSettings

SLICE_S = 0.005  # longest sleep in which no message is heard
LOOK_S = 0.005  # between two looks at the log while the server has not told its end
TOLD_LOOK_S = 0.1  # once it has
ACK_S = 0.001  # between two looks for what the server took
DRAIN_S = 2.0  # longest wait for the server to read what was sent
LATE_TIMES = 5  # as long between what is published while far behind: to encode it took as long as to learn it
CALM_S = 5.0  # longest wait for the server to take what a checkpoint counts as published
MOST_REST_S = 0.25
LATER_S = 30.0  # before the next try where a checkpoint could not be made
LONG_S = 600.0  # for what takes long and cannot give a sign of life: loading, compiling, writing a checkpoint
READS_ONLY = ("standing",)  # commands that change nothing and leave no entry


class Learning(Protocol):
    """What learns. Given the same runs and commands in the same order it is the same, to the last bit."""

    offset: int
    """Of the log, up to which it has learned: the last record's plus one."""

    def absorb(self, run: Run) -> None:
        """Fold the next records of a portion; test on its events, then learn from them."""
        ...

    def delta(self) -> Delta | None:
        """What changed since the last call; None where nothing did. Asking changes nothing of what is learned."""
        ...

    def snapshot_to(self, folder: Path) -> None:
        """Write everything into a folder, cut at `offset`. It is called in a copy of the process."""
        ...

    def load_from(self, folder: Path) -> None:
        """Take over what `snapshot_to` wrote; what changes from then on is in the next delta."""
        ...

    def command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do what someone asks for: roll back, pause, resume, override, refit, or tell how it stands."""
        ...

    def moves(self) -> list[dict[str, Any]]:
        """Decisions since the last call, to be written to the log."""
        ...


class PortionError(Exception):
    """A portion of the log makes learning fail. It ends the process and reaches nobody else."""

    def __init__(self, stop: int, error: Exception) -> None:
        super().__init__(f"The portion up to offset {stop} could not be learned: {error!r}.")
        self.stop = stop


class Pace:
    """Holds work to a share of a core: after each piece of work comes a rest."""

    def __init__(self, share: float, now: Callable[[], float]) -> None:
        self._ratio, self._now = 1.0 / share - 1.0, now
        self._until = now()

    def worked(self, busy_s: float, is_behind: bool) -> None:
        """Take note of work; who is behind does not rest."""
        rest_s = min(busy_s * self._ratio, MOST_REST_S)  # compiling the first time is no reason to sleep for long
        self._until = self._now() if is_behind else max(self._until, self._now()) + rest_s

    @property
    def rest_s(self) -> float:
        """How long still to rest."""
        return max(0.0, self._until - self._now())


class LearnerLoop:
    """One learner at work."""

    def __init__(
        self, learning: Learning, log: LogFollower, portions: Portions, journal: Journal,
        checkpoints: LearnerCheckpoints, link: Link, settings: LearnerSettings,
    ) -> None:  # fmt: skip
        self._learning, self._log, self._portions, self._journal = learning, log, portions, journal
        self._checkpoints, self._link, self._settings = checkpoints, link, settings
        self._now = time.monotonic
        self._pace = Pace(settings.core_share, self._now)
        now = self._now()
        self._end, self._end_is_told, self._look_at = log.end, False, now
        self._waiting_since: float | None = None
        self._beat_at, self._publish_at = now, now
        self._changed = True  # what was done again may not have been published
        self._serial, self._acked = 0, 0
        self._checkpoint_at, self._calm_until = now + settings.checkpoint_s, 0.0
        self._records, self._portions_done, self._busy_s = 0, 0, 0.0
        self._records_kept, self._kept_offset = 0, learning.offset
        self._last_checkpoint: int | None = None
        self._stopping = False
        self.on_alive: Callable[[float], None] = lambda _: None  # told how long the next sign of life may take

    def run(self) -> None:
        """Learn until the server says stop, or is gone."""
        self._beat()
        while not self._stopping and not self._link.closed:
            wait_s = self._wait_s()
            if self._waiting_since is not None or self._pace.rest_s > 0.0:
                time.sleep(min(wait_s, SLICE_S))
                wait_s = 0.0
            self._hear(wait_s)
            self._turn()
        if self._stopping:
            self._keep_last()

    # -- one turn ------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._link.drain(DRAIN_S)  # or signs of life wait behind what is published
        if self._now() >= self._beat_at:
            self._beat()
        self._look()
        started = time.process_time()
        if not self._keep_when_due() and self._is_due() and self._pace.rest_s == 0.0:
            self._learn()
        self._publish()
        busy_s = time.process_time() - started
        self._busy_s += busy_s
        self._pace.worked(busy_s, self._behind > self._settings.behind_events)

    @property
    def _behind(self) -> int:
        return self._portions.waiting + max(0, self._end - self._portions.read)

    def _look(self) -> None:
        """Learn where the log ends, from the server or by looking."""
        now = self._now()
        if now >= self._look_at:
            self._end = max(self._end, self._log.end)
            self._look_at = now + (TOLD_LOOK_S if self._end_is_told else LOOK_S)
        if self._waiting_since is None and self._behind:
            self._waiting_since = now

    def _is_due(self) -> bool:
        """Whether a portion is to be cut now; reads the log where it may be."""
        if self._waiting_since is None:
            return False
        wanted = self._settings.micro_batch_events
        is_time = self._now() >= self._waiting_since + self._settings.micro_batch_ms / 1000.0
        if is_time or self._behind >= wanted:
            self._portions.look(self._end, wanted)
        if not self._behind:  # what came is not for learning
            self._waiting_since = None
        return self._portions.waiting >= wanted or (is_time and self._portions.waiting > 0)

    def _learn(self) -> None:
        stop = self._portions.cut(self._settings.micro_batch_events)
        self._journal.append(stop)
        if not self._portions_done:
            self._beat(LONG_S)  # the first portion may compile
        before = self._portions.waiting
        with span("learn", records=before, offset=stop):
            absorb(self._learning, self._portions, stop)
        self._records += before - self._portions.waiting
        self._portions_done += 1
        if self._portions_done == 1:
            self._beat()
        self._changed = True
        if not self._behind:
            self._waiting_since = None
        self._tell_moves()

    def _publish(self) -> None:
        """Send what changed, unless the server has not yet taken what was sent before."""
        now = self._now()
        if not self._changed or self._acked != self._serial or now < self._publish_at:
            return
        delta = self._learning.delta()
        if delta is None:
            self._changed = False
            self._link.tell(Kind.LEVEL, self._portions.taken)
            return
        self._serial += 1
        for frame in frames(delta, self._serial, self._settings.frame_bytes):
            self._link.send(Kind.FRAME, frame)
        rarer = LATE_TIMES if self._behind > self._settings.behind_events else 1
        self._publish_at = now + rarer * self._settings.publish_ms / 1000.0

    def _wait_s(self) -> float:
        now = self._now()
        if self._calm_until:
            return ACK_S
        times = [self._beat_at, self._look_at]
        if self._changed and self._acked == self._serial:
            times.append(self._publish_at)
        if self._waiting_since is not None:
            is_full = self._portions.waiting >= self._settings.micro_batch_events
            due = now if is_full else self._waiting_since + self._settings.micro_batch_ms / 1000.0
            times.append(max(due, now + self._pace.rest_s))
        return max(0.0, min(times) - now)

    # -- messages ------------------------------------------------------------------------------------------------

    def _hear(self, wait_s: float) -> None:
        for message in self._link.receive(wait_s):
            if message.kind == Kind.END:
                self._end, self._end_is_told = max(self._end, message.told()), True
            elif message.kind == Kind.ACK:
                self._acked = message.told()
            elif message.kind == Kind.STOP:
                self._stopping = True
            elif message.kind == Kind.COMMAND:
                self._command(**message.told())

    def _command(self, number: int, name: str, arguments: dict[str, Any]) -> None:
        if name not in READS_ONLY:
            self._journal.append((name, arguments))
        try:
            answer: dict[str, Any] = {"result": self._learning.command(name, arguments)}
        except EverbrookError as error:
            answer = {"error": type(error).__name__, "message": error.message, "type": error.type}
        self._changed, self._publish_at = True, 0.0
        self._tell_moves()
        self._publish()
        self._link.tell(Kind.ANSWER, answer | {"number": number})

    def _tell_moves(self) -> None:
        for move in self._learning.moves():
            self._link.tell(Kind.MOVE, move)

    def takes_long(self) -> None:
        """Say that the next sign of life may take long, since something is compiled."""
        self._beat(LONG_S)

    def _beat(self, allowed_s: float = 0.0) -> None:
        """Give a sign of life; the next one may take the usual time and `allowed_s`."""
        self._beat_at = self._now() + self._settings.heartbeat_s
        self.on_alive(allowed_s)
        self._link.tell(Kind.BEAT, {
            "offset": self._learning.offset, "behind": self._behind, "records": self._records,
            "portions": self._portions_done, "deltas": self._serial, "busy_s": self._busy_s,
            "checkpoint": self._last_checkpoint, "is_keeping": self._checkpoints.is_writing, "allowed_s": allowed_s,
        })  # fmt: skip

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def _keep_when_due(self) -> bool:
        """Begin or end a checkpoint; true while learning has to wait for the server to take the last delta.

        A checkpoint counts nothing as learned that the server does not have: a learner that goes on from it publishes
        what it changes from there on, and that must be all that the server lacks.
        """
        now = self._now()
        if self._checkpoints.is_writing:
            self._finish_checkpoint()
            return False
        if self._learning.offset == self._kept_offset or not (
            now >= self._checkpoint_at or self._records - self._records_kept >= self._settings.checkpoint_events
        ):
            return False
        if not self._changed and self._acked == self._serial:
            self._calm_until = 0.0
            self._begin_checkpoint()
            return False
        self._calm_until = self._calm_until or now + CALM_S
        if now < self._calm_until:
            return True
        self._put_off()
        return False

    def _put_off(self) -> None:
        self._calm_until, self._records_kept = 0.0, self._records
        self._checkpoint_at = self._now() + LATER_S

    def _begin_checkpoint(self) -> None:
        self._beat(LONG_S)
        self._journal.sync()
        self._records_kept, self._kept_offset = self._records, self._learning.offset
        self._checkpoint_at = self._now() + self._settings.checkpoint_s
        self._checkpoints.begin(self._learning.offset, self._notes(), self._learning.snapshot_to, self._link.close)
        self._beat()

    def _notes(self) -> dict[str, Any]:
        return {"journal": self._journal.id, "entries": self._journal.stop, "taken": self._portions.taken}

    def _finish_checkpoint(self, wait: bool = False) -> None:
        try:
            path = self._checkpoints.finish(wait)
        except StorageError as error:
            self._link.tell(Kind.ERROR, error.message)
            self._kept_offset = -1
            self._put_off()
            return
        if path is not None:
            self._after_checkpoint(path)

    def _after_checkpoint(self, path: Path) -> None:
        self._last_checkpoint = int(path.name.rpartition("-")[2])
        notes = self._checkpoints.prune()
        if all(note.get("journal") == self._journal.id for note in notes):
            self._journal.prune(min(note["entries"] for note in notes))

    def _keep_last(self) -> None:
        """Keep a checkpoint before going."""
        self._beat(LONG_S)
        self._finish_checkpoint(wait=True)
        if self._learning.offset != self._kept_offset:
            self._journal.sync()
            path = self._checkpoints.save(self._learning.offset, self._notes(), self._learning.snapshot_to)
            self._after_checkpoint(path)
        self._beat()
        self._link.flush()


def absorb(learning: Learning, portions: Portions, stop: int) -> None:
    """Let a learner take the records below an offset as one portion.

    Raises:
        PortionError: learning failed; what was learned may be half of it.
    """
    runs = portions.take(stop)
    try:
        for run in runs:
            learning.absorb(run)
    except Exception as error:
        raise PortionError(stop, error) from error
