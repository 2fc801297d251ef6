"""What people see of a recommender and do with what learns in it: versions, going back, pausing, refits, status."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everbrook.engine.apart import settle
from everbrook.engine.core import Core
from everbrook.engine.decisions import last_decisions
from everbrook.engine.fresh_lock import FreshLock
from everbrook.engine.keeping import Snapshot, begin
from everbrook.engine.living import Living
from everbrook.engine.log_lines import say
from everbrook.engine.previous import Previous
from everbrook.engine.publishing import ready
from everbrook.engine.refitting import Refitting
from everbrook.engine.standing import standing
from everbrook.errors import EverbrookError, NotFoundError, NotReadyError, StorageError, unknown_name
from everbrook.events.log import Log
from everbrook.events.records import ItemChange, Version, VersionAction
from everbrook.settings import Settings
from everbrook.state.numbering import numbering
from everbrook.types import Arrays, Clock

if TYPE_CHECKING:
    from everbrook.models.sequence import SequenceModel
    from everbrook.models.sequence_expert import SequenceExpert

DECISIONS = 10  # shown
LEAST_EVENTS = 10_000  # fewer are learned anew in less time than a checkpoint takes
LOOKED_BACK = 200  # decisions among which the last fit is looked for
_log = logging.getLogger("everbrook.engine")


class UnknownVersionError(NotFoundError):
    """No version of this name can be gone back to."""

    type = "unknown_version"


class Steering:
    """The part of a recommender for those who look after it."""

    path: Path
    log: Log
    settings: Settings
    clock: Clock
    live: Living
    refitting: Refitting
    errors: list[str]
    _core: Core
    _lock: FreshLock  # of lists and learning
    _loading: threading.Lock  # of the large model
    _keeping: threading.Lock  # of checkpoints; whoever wants both takes this one first
    _kept_events: int
    _kept_ms: int
    _published: Snapshot
    _opened_ms: int
    _lists: int
    is_warm: Callable[[], bool]
    """Whether nothing must be compiled before a request is answered; whoever serves the engine may know better."""

    def update(self, stop: int | None = None) -> int:
        """Learn what the log has; see `Recommender`."""
        raise NotImplementedError

    def publish(
        self, model: SequenceModel | None, offset: int | None = None, action: VersionAction = "publish",
        because: str | None = None,
    ) -> Snapshot:  # fmt: skip
        """Let a sequence model answer; see `Recommender`."""
        raise NotImplementedError

    def _swap(self, snapshot: Snapshot, expert: SequenceExpert | None) -> None:
        """Let a snapshot be the published one; see `Recommender`."""
        raise NotImplementedError

    # -- seeing --------------------------------------------------------------------------------------------------

    def item(self, item_id: str) -> ItemChange:
        """What is known of an item.

        Raises:
            NotFoundError: neither an event nor a record has named it.
        """
        with self._lock:
            row = self._core.state.items.row(item_id)
            if row < 0:
                raise NotFoundError(f"Item '{item_id}' must have been sent before; it was not.")
            return self._core.state.catalogue.get(row) or ItemChange(id=item_id)

    def is_ready(self) -> bool:
        """Whether lists reflect the whole log, and what is compiled for them is."""
        end = self.log.end
        return self.is_warm() and self.update() >= end

    def status(self) -> dict[str, Any]:
        """Where everything stands, for people and machines."""
        self.update()  # what the log has beyond the core are lists that were shown
        with self._lock:
            found = standing(self._core, self.log.end)
        found["version"] = self._told(self._published)
        found["live"] = self.live.status()
        found["refit"] = self.refitting.status()
        found["decisions"] = last_decisions(self.log, DECISIONS)
        found["lists"] = self._lists
        found["up_s"] = (self.clock.now_ms() - self._opened_ms) / 1000.0
        found["last_errors"] = list(self.errors)
        health = getattr(self.log, "health", None)  # of the log that a data directory has
        found["log"] = {} if health is None else health.told()
        found["clock"] = {name: getattr(self.clock, name, 0) for name in ("steps_back", "ahead_ms")}
        return found

    def versions(self) -> dict[str, Any]:
        """What answers, what can be gone back to (newest first), how the gate stands, and what was decided lately."""
        now_ms = self.clock.now_ms()
        previous = self._previous.notes()
        found: dict[str, Any] = {
            "published": self._told(self._published),
            "previous": previous, "live": None, "points": [], "anchor": None, "gate": None,
        }  # fmt: skip
        live = self.live.status()
        if "versions" in live:
            clock_ms = live["clock_ms"]
            found["live"] = {name: live[name] for name in ("version", "offset", "events", "published") if name in live}
            found["points"] = [point | {"age_ms": clock_ms - point["ts_ms"]} for point in live["versions"]]
            anchor = live["anchor"]
            found["anchor"] = anchor | {"age_ms": clock_ms - anchor["ts_ms"]} if anchor["ts_ms"] else None
            gate = live["gate"]
            found["gate"] = {name: gate[name] for name in ("stage", "paused", "since_ms", "resting_until_ms", "events")}
        elif "note" in live:
            found["note"] = live["note"]
        found["decisions"] = last_decisions(self.log, DECISIONS)
        found["now_ms"] = now_ms
        return found

    def _told(self, shot: Snapshot) -> dict[str, Any]:
        told = {
            "name": shot.version, "offset": shot.offset, "settings": shot.settings,
            "age_ms": max(0, self.clock.now_ms() - shot.published_ms),
        }  # fmt: skip
        return told if shot.file is None else told | {"loading": True}

    # -- doing ---------------------------------------------------------------------------------------------------

    def rollback(self, to: str) -> dict[str, Any]:
        """Go back to a version: a point of the live model, its anchor, or the large model before the present one.

        Args:
            to: its name, as `versions` tells it, or 'anchor'.

        Raises:
            NotFoundError: there is no such version.
            NotReadyError: the learner is not there.
        """
        found = self.versions()
        previous = found["previous"]
        if previous is not None and to == previous["version"]:
            return self._back_to_previous(to)
        points = [point["version"] for point in found["points"]]
        names = [*points, *(["anchor"] if points else []), *([previous["version"]] if previous else [])]
        if to not in names:
            if "note" in found:
                raise NotReadyError(found["note"], "Ask again in a few seconds.")
            raise UnknownVersionError(unknown_name("version", to, names))
        return self.live.command("rollback", to=to)

    def _back_to_previous(self, to: str) -> dict[str, Any]:
        model, notes = self._previous.load()
        self._previous.keep(self._published)
        self.publish(model, notes["offset"], "rollback", "Asked for.")
        self.checkpoint()
        return {"to": to, "to_offset": notes["offset"], "rows": model.items}

    def pause(self) -> dict[str, Any]:
        """Let the gate make no moves by itself until `resume`; learning goes on."""
        return self.live.command("pause")

    def resume(self) -> dict[str, Any]:
        """Let the gate make its moves again."""
        return self.live.command("resume")

    def override(self, stage: str) -> dict[str, Any]:
        """Say by hand whom the live weights serve: 'shadow' nobody, 'canary' a share of the users, 'live' everybody.

        Raises:
            UnknownNameError: there is no such stage.
        """
        return self.live.command("override", stage=stage)

    def refit(self) -> dict[str, Any]:
        """Fit the large model anew, in a process beside this one; the gate lets it in. Lists go on meanwhile.

        Returns:
            How that stands, as in `status`.

        Raises:
            NotReadyError: there is too little to learn from.
        """
        self.refitting.ask()
        return self.refitting.status()

    def load_model(self) -> None:
        """Let the large model answer that is published and still in its file; who comes meanwhile waits for it."""
        with self._loading:
            shot = self._published
            if shot.file is None:
                return
            try:
                loaded = shot.loaded()
            except (EverbrookError, OSError) as error:  # the next fit makes one
                self.note_error(f"The large model could not be loaded: {error}")
                loaded = replace(shot, file=None)
            expert = ready(self._core, loaded.model)
            with self._lock:
                if self._published is shot:
                    self._swap(loaded, expert)

    def start_refits(self) -> None:
        """Fit the large model by itself from now on: as often as the settings say, and when drift wants it."""
        self.live.on_drift = self.refitting.want
        self.refitting.start()

    # -- keeping -------------------------------------------------------------------------------------------------

    def checkpoint(self) -> Path:
        """Write everything learned, cut at one offset; lists wait until that is held, and not while it is written."""
        with self._keeping:
            settle()
            with self._lock:
                offset, events, most = self._core.offset, self._core.events, self.settings.engine.checkpoints
                finish = begin(self.path, self._core, self._published, self.live.learning, most)
            path = finish()
            self._kept_events = max(self._kept_events, events)
            say(_log, "Checkpoint written.", offset=offset, events=events)
            return path

    def forgo_checkpoint(self) -> None:
        """Keep nothing of what was learned so far when this is closed: the log has it."""
        with self._lock:
            self._kept_events = self._core.events

    def _is_checkpoint_due(self) -> bool:
        """Whether whoever asks, under the lock, is the one to write a checkpoint; nobody else is told so then."""
        engine, events, now_ms = self.settings.engine, self._core.events, self.clock.now_ms()
        since, is_due = events - self._kept_events, False
        if since >= min(engine.checkpoint_events, LEAST_EVENTS):
            is_old = now_ms - self._kept_ms >= 1000.0 * engine.checkpoint_every_s > 0.0
            is_due = since >= engine.checkpoint_events or is_old
        if is_due:
            self._kept_events, self._kept_ms = events, now_ms
        return is_due

    def _keep_or_note(self) -> None:
        try:
            self.checkpoint()
        except StorageError as error:  # what was learned is in the log too; the next one is tried in due time
            self.note_error(error.message)

    @property
    def _previous(self) -> Previous:
        return Previous(self.path)

    def note_error(self, text: str) -> None:
        """Remember a background failure for `status`; again and again the same is one."""
        if self.errors and self.errors[-1] == text:
            return
        _log.error(text)
        self.errors = [*self.errors[-9:], text]


class Owner:
    """A recommender as refitting sees it."""

    def __init__(self, recommender: Steering) -> None:
        self._recommender = recommender

    def published(self) -> Snapshot:
        """What answers now; a large model that is still in its file is loaded first."""
        self._recommender.load_model()
        return self._recommender._published

    def fitted_events(self) -> int:
        """How many events there are to learn from."""
        return self._recommender._core.events

    def numbering(self) -> Arrays:
        """Which rows the items have where the model will answer."""
        with self._recommender._lock:
            return numbering(self._recommender._core.state)

    def take_in(self, model: SequenceModel, offset: int, weights: Arrays, judged: int, because: str | None) -> str:
        """Publish a refitted model; the mixture's weights come with it where they were learned from more lists."""
        recommender = self._recommender
        recommender._previous.keep(recommender._published)
        shot = recommender.publish(model, offset, because=because)
        with recommender._lock:
            mixture = recommender._core.mixture
            if weights and judged > mixture.loss[1]:
                for name in ("base_weights", "pools", "top"):
                    getattr(mixture, name)[...] = weights[name]
                for name in ("theta", "squares", "inside"):
                    getattr(mixture.stacker, name)[...] = weights[name]
        recommender.checkpoint()
        return shot.version

    def last_fit_ms(self) -> int:
        """When the last fit ended of which the log tells; 0 where it tells of none."""
        found = last_decisions(self._recommender.log, LOOKED_BACK)
        return next((int(one["ts_ms"]) for one in found if one["action"] == "refit"), 0)

    def decided(self, offset: int, action: VersionAction, because: str, evidence: float | None) -> None:
        """Write a decision about a refitted model to the log."""
        now_ms = self._recommender.clock.now_ms()
        digest = self._recommender.settings.digest()
        self._recommender.log.append([
            Version(version=f"sequence-{offset}", offset=offset, ts=now_ms, action=action, settings=digest,
                    because=because, evidence=evidence),
        ])  # fmt: skip

    def note_error(self, text: str) -> None:
        """Remember a failure for `status`."""
        self._recommender.note_error(text)
