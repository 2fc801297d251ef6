"""Refitting: the large model fitted anew in a process beside the server, and let in by the gate.

A fit is asked for, or due by the settings, or wanted because of drift. What it leaves is a candidate: published at
once where no large model is, else on trial against the published one on live events. Lists go on all the while, and
whatever becomes of the process, what is published stays. A trial outlives restarts (`candidate_files`).
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from everbrook.engine.candidate_files import CandidateFiles
from everbrook.engine.keeping import Snapshot
from everbrook.engine.refit_process import Outcome
from everbrook.engine.refit_run import ended, followed, order_for, spawn
from everbrook.engine.trial import Trial
from everbrook.errors import NotReadyError, SettingError
from everbrook.events.records import VersionAction
from everbrook.learn.gate_moves import Move
from everbrook.settings import Settings
from everbrook.types import Arrays, Step

if TYPE_CHECKING:
    from everbrook.models.sequence import SequenceModel

LOOK_S = 0.2  # between two looks at what there is to do
AGAIN_S = 600.0  # before a fit by itself is tried again after one that failed
_log = logging.getLogger("everbrook.engine")

StateName = Literal["idle", "asked", "fitting", "on_trial"]


class Host(Protocol):
    """What refitting needs of the recommender that owns it."""

    def published(self) -> Snapshot:
        """What answers now."""
        ...

    def fitted_events(self) -> int:
        """How many events there are to learn from."""
        ...

    def numbering(self) -> Arrays:
        """Which rows the items have where the model will answer; see `everbrook.state.numbering`."""
        ...

    def take_in(self, model: SequenceModel, offset: int, weights: Arrays, judged: int, because: str | None) -> str:
        """Publish a refitted model; gives its version.

        Args:
            model: the model.
            offset: up to which it has learned.
            weights: how much the mixture trusts each expert, learned with the model; empty where it was not.
            judged: lists from which these were learned.
            because: why.
        """
        ...

    def last_fit_ms(self) -> int:
        """When the last fit ended of which the log tells; 0 where it tells of none."""
        ...

    def decided(self, offset: int, action: VersionAction, because: str, evidence: float | None) -> None:
        """Write a decision about a refitted model to the log."""
        ...

    def note_error(self, text: str) -> None:
        """Remember a failure for `status`."""
        ...


class Refitting:
    """At most one fit and one candidate at a time. Everything public is safe from any thread."""

    def __init__(
        self, path: Path, settings: Settings, digest: str, now_ms: Callable[[], int], host: Host
    ) -> None:
        """Begin with nothing to do; no thread and no process runs before `start` or `ask`.

        Args:
            path: the data directory.
            settings: all of them.
            digest: of the settings that shape what is learned.
            now_ms: the present moment.
            host: whose models these are.
        """
        self._path, self._settings, self._digest, self._now_ms, self._host = path, settings, digest, now_ms, host
        self._files = CandidateFiles(path, host.note_error)
        self._thread: threading.Thread | None = None
        self._wake, self._lock = threading.Event(), threading.Lock()
        self._closing, self._scheduled = False, False
        self._process: subprocess.Popen[bytes] | None = None
        self._because: str | None = None  # of the fit that is asked for
        self._progress: dict[str, Any] = {}
        self._trial: Trial | None = None
        self._candidate: Outcome | None = None
        self._fits, self._failures = 0, 0
        self._tried_ms, self._failed = 0, False
        self._last: dict[str, Any] = {}

    # -- from the recommender ------------------------------------------------------------------------------------

    def start(self) -> None:
        """From now on fit by the schedule of the settings, and go on with a candidate that an earlier process left."""
        self._scheduled = True
        self._tried_ms = max(self._tried_ms, self._host.last_fit_ms())
        self._begin()

    def ask(self, because: str = "Asked for.") -> None:
        """Fit as soon as possible; a fit that is under way or asked for already is the one.

        Raises:
            NotReadyError: there is too little to learn from.
            SettingError: the mixture has no such model.
        """
        events, least = self._host.fitted_events(), self._settings.engine.least_fit_events
        if "sequence" not in self._settings.mixture.experts:
            raise SettingError("Setting 'mixture.experts' must name 'sequence' for a refit; it does not.")
        if events < least:
            raise NotReadyError(f"A refit must have at least {least} events to learn from; there are {events}.")
        if self._process is None and self._because is None:
            self._because = because
        self._begin()

    def want(self, because: str) -> None:
        """Fit because of what was found by itself, where fits by themselves are wanted and there is no candidate.

        Whatever is found, and however often, from one fit to the next it takes as long as the settings say.
        """
        engine = self._settings.engine
        is_early = self._now_ms() - self._tried_ms < 1000.0 * engine.refit_drift_s
        if self._scheduled and engine.refit_every_s and self.state == "idle" and not is_early:
            try:
                self.ask(because)
            except (NotReadyError, SettingError) as error:
                _log.info("A refit was wanted: %s %s", because, error.message)

    def note(self, step: Step, b: int) -> None:
        """Take note of a judged event, for a candidate's trial."""
        trial = self._trial
        if trial is not None:
            trial.note(step, b)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until no fit is asked for or under way; whether that came about in time."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while self.state in ("asked", "fitting"):
            if until is not None and time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        """End the process, if one runs, and the thread."""
        self._closing = True
        self._wake.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()
        if self._thread is not None:
            self._thread.join()
        if self._trial is not None:
            self._files.keep(self._trial, at_once=True)

    @property
    def state(self) -> StateName:
        """What it is at."""
        if self._process is not None:
            return "fitting"
        if self._because is not None:
            return "asked"
        return "idle" if self._candidate is None else "on_trial"

    def status(self) -> dict[str, Any]:
        """How refitting stands, for people and machines."""
        process, trial, candidate = self._process, self._trial, self._candidate
        told: dict[str, Any] = {
            "state": self.state, "pid": None if process is None else process.pid, "fits": self._fits,
            "failures": self._failures, "every_s": self._settings.engine.refit_every_s if self._scheduled else 0.0,
        }  # fmt: skip
        if process is not None:
            told["progress"] = self._progress
        if candidate is not None:
            told["candidate"] = {"offset": candidate.offset, **(trial.told() if trial is not None else {})}
        return told | ({"last": self._last} if self._last else {})

    # -- the thread ----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="everbrook-refitting", daemon=True)
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        self._safely(self._find)
        while not self._closing:
            self._wake.wait(LOOK_S if self._trial is not None or self._scheduled else None)
            self._wake.clear()
            if self._closing:
                return
            if self._because is None and self._scheduled:
                self._because = self._due()
            if self._because is not None:
                self._safely(self._fit)
            elif self._trial is not None:
                self._safely(self._judge)

    def _safely(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001  whatever it was, lists go on
            _log.exception("A refit did not come to its end.")
            self._fail(f"A refit did not come to its end: {type(error).__name__}: {error}.")
            self._because, self._trial, self._candidate = None, None, None

    def _fail(self, text: str) -> None:
        self._failures, self._failed = self._failures + 1, True
        self._last = {"failed": text, "ts_ms": self._now_ms()}
        self._host.note_error(text)

    def _due(self) -> str | None:
        """Why a fit is due by itself; None where none is."""
        every_ms = 1000.0 * self._settings.engine.refit_every_s
        now_ms, shot = self._now_ms(), self._host.published()
        if not every_ms or self._candidate is not None or "sequence" not in self._settings.mixture.experts:
            return None
        if now_ms - self._tried_ms < (1000.0 * AGAIN_S if self._failed else min(every_ms, 1000.0 * AGAIN_S)):
            return None
        events = self._host.fitted_events()
        if events < self._settings.engine.least_fit_events or events == self._last.get("events"):
            return None
        if shot.model is None:
            return "There is no large model yet."
        return "Its time has come." if now_ms - max(shot.published_ms, self._tried_ms) >= every_ms else None

    # -- one fit -------------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        """Let a process fit, and take up what it leaves."""
        because = self._because or ""
        self._tried_ms, self._failed, self._progress = self._now_ms(), False, {}
        code, outcome = self._one_process()
        if self._closing:
            return
        if code:
            self._because = None  # before anybody can see that it failed
            self._fail(f"The refit's process ended with {ended(code)}; what is published stays.")
        elif outcome is None:
            self._last = {"because": because, "outcome": "too little to learn from", "ts_ms": self._now_ms()}
        else:
            self._fits += 1
            self._host.decided(outcome.offset, "refit", because, None)
            self._last = {"because": because, **msgspec.to_builtins(outcome), "ts_ms": self._now_ms()}
            self._find()
        self._because = None

    def _one_process(self) -> tuple[int, Outcome | None]:
        earns = self._host.published().model is None
        order = order_for(self._path, self._settings, self._digest, earns, self._host.numbering())
        with self._lock:
            if self._closing:
                return 0, None
            process = self._process = spawn()
        code, outcome = followed(process, order, self._note_progress)
        with self._lock:
            self._process = None
        return code, outcome

    def _note_progress(self, told: dict[str, Any]) -> None:
        self._progress = told

    # -- the candidate -------------------------------------------------------------------------------------------

    def _find(self) -> None:
        """Take up the candidate that lies in the data directory, if there is one that is of use."""
        found = self._files.found()
        if found is None:
            return
        model, outcome = found
        shot = self._host.published()
        if outcome.digest != self._digest or (shot.model is not None and outcome.offset <= shot.offset):
            self._drop()  # made under other settings, or published already
        elif shot.model is None:
            self._publish(model, outcome, None)
        else:
            trial = Trial(model, shot.model, self._settings)
            self._files.go_on(trial, outcome, shot)
            self._trial, self._candidate = trial, outcome

    def _judge(self) -> None:
        trial, candidate = self._trial, self._candidate
        assert trial is not None  # only then it is called
        assert candidate is not None
        if trial.published is not self._host.published().model:  # another hand published: compared anew
            self._trial, self._candidate = None, None
            self._find()
            return
        move = trial.judge(self._now_ms())
        if move is None:
            self._files.keep(trial)
            return
        if move.kind == "swap":
            self._publish(trial.model, candidate, move)
        else:
            self._host.decided(candidate.offset, "discard", move.because, move.evidence)
            self._last = {"discarded": candidate.offset, "because": move.because, "ts_ms": self._now_ms()}
            self._drop()

    def _publish(self, model: SequenceModel, outcome: Outcome, move: Move | None) -> None:
        weights = self._files.weights() if move is None and outcome.judged else {}
        because = "There was no large model." if move is None else move.because
        if move is not None:
            self._host.decided(outcome.offset, "swap", because, move.evidence)
        version = self._host.take_in(model, outcome.offset, weights, outcome.judged, because)
        self._last |= {"published": version, "ts_ms": self._now_ms()}
        self._drop()

    def _drop(self) -> None:
        self._trial, self._candidate = None, None
        self._files.drop()
