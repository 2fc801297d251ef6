"""A glance at a recommender: counts, quality over time, how all of it stands; cheap enough for twice a second.

Reading alone; nothing here changes anything.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from everbrook.engine.core import Core
from everbrook.engine.fresh_lock import FreshLock
from everbrook.engine.keeping import Snapshot
from everbrook.engine.kept_arrays import read_kept, write_kept
from everbrook.engine.living import Living
from everbrook.engine.marks import Marks
from everbrook.engine.quality import SPANS, Quality
from everbrook.engine.refitting import Refitting
from everbrook.engine.standing import standing
from everbrook.errors import DataError, UnknownNameError
from everbrook.events.log import Log
from everbrook.types import NO_ROW, Clock

FAMILIES = ("popularity", "transitions")
QUALITY = "quality.safetensors"
PATIENCE_S = 0.2  # with a learner that is busy
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Glancing:
    """The part of a recommender that tells how it stands, for who looks all the time."""

    path: Path
    log: Log
    clock: Clock
    live: Living
    refitting: Refitting
    errors: list[str]
    _core: Core
    _lock: FreshLock
    _published: Snapshot
    _opened_ms: int
    _lists: int
    _live_before: dict[str, Any] | None = None  # how the live model stood when it last answered
    _asking: threading.Thread | None = None  # who asks it

    def note_error(self, text: str) -> None:
        """Remember a background failure; see `Steering`."""
        raise NotImplementedError

    def update(self, stop: int | None = None) -> int:
        """Learn what the log has; see `Recommender`."""
        raise NotImplementedError

    @cached_property
    def quality(self) -> Quality:
        """How right lists were lately; it goes on from what the last checkpoint's moment kept."""
        found = Quality(self._core.mixture)
        try:
            kept = read_kept(self.path / QUALITY, _whose(found), "What is kept of the quality of lists")
        except DataError as error:
            self.note_error(f"The lines of quality begin anew: {error.message}")
            return found
        if kept is not None:
            names = self._core.state.scenarios.names()
            found.load(kept, {name: row for row, name in enumerate(names)})
        return found

    def keep_quality(self) -> None:
        """Write how right lists were, for whoever opens the directory next.

        Raises:
            StorageError: the disk refused; what was there stands as it was.
        """
        with self._lock:
            parts = self.quality.parts(self._core.state.scenarios.names())
        if parts:
            write_kept(self.path / QUALITY, _whose(self.quality), parts)

    @cached_property
    def _marks(self) -> Marks:
        return Marks(self.log)

    def counts(self) -> dict[str, Any]:
        """How many events there were, by kind and by scenario, and what each kind says."""
        with self._lock:
            state = self._core.state
            kinds, places = state.kinds.names.names(), state.scenarios.names()
            weights, totals = state.kinds.weights().tolist(), state.kinds.events().tolist()
            found = state.counters.by_place()
            return {
                "events": self._core.events, "items": state.n_items, "actors": state.n_actors,
                "users": len(state.users), "records": len(state.catalogue),
                "kinds": [
                    {"kind": name, "events": total, "weight": weight}
                    for name, total, weight in zip(kinds, totals, weights, strict=True)
                ],
                "by_scenario": [
                    {"scenario": None if place == NO_ROW else places[place], "kind": kinds[kind], "events": count}
                    for (place, kind), count in found.items()
                ],
            }  # fmt: skip

    def learning(self, span: str = "hour", scenario: str | None = None, since_ms: int = 0) -> dict[str, Any]:
        """Quality over time, test-then-train, of the systems that a page compares; and what was decided meanwhile.

        Args:
            span: 'hour' or 'days'.
            scenario: of which events; all where None.
            since_ms: what ended before is left out.
        """
        if span not in SPANS:
            raise UnknownNameError("span", span, SPANS)
        now_ms = self.clock.now_ms()
        with self._lock:
            row, mixture = self._core.state.scenario_row(scenario), self._core.mixture
            best = {family: self.quality.best(mixture, family) for family in FAMILIES}
        named = {"live": "live", "anchor": "anchor", "mixture": "mixture"}
        named |= {family: name for family, name in best.items() if name is not None}
        told = self.quality.told(span, row, now_ms, since_ms, tuple(named.values()))
        systems = {shown: told["systems"][name] for shown, name in named.items() if name in told["systems"]}
        return told | {
            "systems": systems, "columns": named, "now_ms": now_ms, "span": span, "scenario": scenario,
            "top": 20, "marks": self._marks.last(100),
        }  # fmt: skip

    def weights_at(self) -> dict[str, Any]:
        """Which live weights answer, and up to where they have learned; None where nothing learns live."""
        stamp = self.live.stamp
        return {"offset": stamp and stamp.offset, "version": stamp and stamp.version}

    def glance(self) -> dict[str, Any]:
        """Where everything stands, cheap enough for twice a second: `status` without what has to be looked up."""
        self.update()
        with self._lock:
            found = standing(self._core, self.log.end)
        live = self._live_glance()
        shot, now_ms = self._published, self.clock.now_ms()
        process = live.get("process") or {}
        return found | {
            "version": {"name": shot.version, "offset": shot.offset, "age_ms": max(0, now_ms - shot.published_ms)},
            "live": live, "refit": self.refitting.status(), "lists": self._lists, "now_ms": now_ms,
            "up_s": (now_ms - self._opened_ms) / 1000.0,
            "last_errors": [*self.errors, *process.get("last_errors", ())][-10:],
            "memory": {
                "server_bytes": resident_bytes(os.getpid()), "learner_bytes": resident_bytes(process.get("pid")),
            },
        }  # fmt: skip

    def _live_glance(self) -> dict[str, Any]:
        """How the live model stands; a learner that has other things to do is waited for by somebody else."""
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._ask_live, name="everbrook-glance", daemon=True)
            self._asking.start()
        self._asking.join(PATIENCE_S)
        supervisor, told = self.live.supervisor, dict(self._live_before or {"mode": "off", "stage": None})
        if supervisor is not None:
            lately = supervisor.freshness.lately(time.monotonic())
            told |= {"mode": "process", "process": supervisor.status() | {"freshness": lately}}
        return told

    def _ask_live(self) -> None:
        told = self.live.status()
        self._live_before = (self._live_before or {}) | told if "note" in told else told


def _whose(quality: Quality) -> str:
    """Of which systems, so that sums of others are never read as theirs."""
    names = "\n".join((*quality.systems, "", *quality.voices, "", *(f"{name} {span}" for name, span in SPANS.items())))
    return hashlib.sha256(names.encode()).hexdigest()[:16]


def resident_bytes(pid: int | None) -> int:
    """Resident memory of a process; 0 where it is not there."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
