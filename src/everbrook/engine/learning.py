"""The live model along the log: fold, test, learn, gate, and what to publish. The same code in every place.

A learner's process drives it, a recommender without one drives it, and a replay drives it with the log's own times.
What it is at an offset depends on the records, on how they were cut into portions, and on the commands in between.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from everbrook.engine.learning_commands import obey
from everbrook.engine.learning_files import read_arrays, write_arrays
from everbrook.events.columns import EventColumns
from everbrook.events.log import Run
from everbrook.events.records import Deletion, ItemChange, UserChange
from everbrook.learn.deltas import ANCHOR_NETWORK, NETWORK, Delta
from everbrook.learn.drift import Drift
from everbrook.learn.gate import Gate
from everbrook.learn.gate_moves import Move
from everbrook.learn.online import OnlineLearner, Tested
from everbrook.learn.ring import Ring
from everbrook.settings import Settings
from everbrook.state import State
from everbrook.state.influence import Influence
from everbrook.types import NO_ROW, Arrays, Step


class LiveLearning:
    """Everything that the live model is, at one offset of the log."""

    def __init__(self, settings: Settings) -> None:
        """One that has seen nothing.

        Args:
            settings: all of them.
        """
        self.settings = settings
        self.state = State(settings.state)
        self.state.counters.windows = None  # trending lists are made elsewhere
        self.guard = Influence(settings.guard) if settings.guard.enabled else None
        self.learner = OnlineLearner(settings.live, settings.popularity)
        self.gate, self.drift = Gate(settings.gate), Drift(settings.drift)
        width, learner = settings.live.width, settings.learner
        self.ring = Ring(
            0, width, 1, 1, spans_s=learner.ring_spans_s, limit_bytes=learner.ring_mb << 20
        )
        self.learner.weights.watchers.append(self.ring)
        self.offset = 0
        self.events = 0
        self._place = np.zeros(4, np.int64)  # clock, time of the newest point, serial of the anchor, refits asked for
        self._moves: list[dict[str, Any]] = []
        self._sent = (-1, "")  # serial of the anchor and stage of the last delta

    # -- along the log -------------------------------------------------------------------------------------------

    def absorb(self, run: Run) -> None:
        """Take in the next records of a portion."""
        if run.events is not None:
            self.take(run.events, int(run.offsets[-1]) + 1)
        else:
            self._records(run)
        if len(run):
            self.offset = max(self.offset, int(run.offsets[-1]) + 1)

    def take(self, columns: EventColumns, offset: int) -> Tested:
        """Fold a micro-batch of events, test on it, learn from it, and let the gate judge.

        Args:
            columns: the events.
            offset: of the log, after the last of them.
        """
        step = self.state.fold(columns)
        learned = step if self.guard is None else self.guard.weigh(step)
        return self.take_step(learned, offset, self.state.n_items)

    def take_step(self, step: Step, offset: int, items: int) -> Tested:
        """`take` for events that were folded and weighed elsewhere.

        Args:
            step: the events.
            offset: of the log, after the last of them.
            items: N, how many items there are.
        """
        self.learner.grow(items, int(step.actor.max(initial=NO_ROW)) + 1)
        tested = self.learner.take(step, offset, self.drift.factor, learn=not self.gate.resting)
        self.events += len(step)
        self.offset = offset
        if len(step):
            self._place[0] = max(int(self._place[0]), int(np.median(step.ts_ms)))
        ts_ms = int(self._place[0])
        if len(tested.live):
            for change in self.drift.observe(ts_ms, tested.scenario, -tested.live):
                self.tell({"kind": "drift", **asdict(change)})
            for move in self.gate.observe(
                ts_ms, tested.scenario, tested.live, tested.recent, tested.anchor, tested.actor, tested.young
            ):
                self.act(move)
        if ts_ms - self._place[1] >= 1000 * self.settings.learner.ring_point_s or not self._place[1]:
            self._place[1] = ts_ms
            self.ring.point(self.version, offset, ts_ms, self.learner.weights.network.arrays())
        return tested

    def _records(self, run: Run) -> None:
        for record in run.records:
            if isinstance(record, Deletion):
                removed = self.state.forget(record)
                if record.what == "user" and removed.actor != NO_ROW:
                    self._forget_gone()
        items = [record for record in run.records if isinstance(record, ItemChange)]
        users = [record for record in run.records if isinstance(record, UserChange)]
        if users:
            self.state.put_users(users)
        if items:
            self.state.put_items(items)
            self.learner.grow(self.state.n_items, self.state.n_actors)

    def _forget_gone(self) -> None:
        """Drop what is kept of rows that are nobody's: of whoever was forgotten, and of the guests that all had been.

        Which guest became whom is not kept, so positions of other people's guests go too; what they did after stays.
        """
        gone = self.state.histories.gone
        self.learner.reservoir.forget(gone)
        if self.guard is not None:
            self.guard.forget_actors(gone)

    def act(self, move: Move) -> None:
        """Do what the gate decided, and tell of it."""
        weights = self.learner.weights
        told = asdict(move)
        if move.kind == "rollback":
            earlier = {"young": weights.young, "recent": weights.recent}.get(move.to, weights.anchor)
            reference = earlier if earlier.taken else weights.anchor
            told |= {"to_offset": reference.offset, "rows": weights.back_to(reference)}
        elif move.kind == "anchor":
            weights.anchor_here(move.ts_ms)
            self._place[2] += 1
        self.tell(told)

    @property
    def version(self) -> str:
        """The name of the weights as they are now."""
        return f"live-{self.learner.weights.offset}"

    # -- what is published ---------------------------------------------------------------------------------------

    def delta(self) -> Delta | None:
        """What changed since the last call; None where nothing did."""
        weights = self.learner.weights
        rows, changes = weights.fresh()
        serial, stage = int(self._place[2]), self.gate.stage
        if not len(rows) and self._sent == (serial, stage):
            return None
        order = np.argsort(-changes, kind="stable")
        rows = rows[order]
        network = {NETWORK + name: array for name, array in weights.network.arrays().items()}
        notes = {
            "stage": stage, "canary_share": self.settings.gate.canary_share, "items": self.learner.items,
            "anchor": "", "events": self.events, "clock_ms": int(self._place[0]),
        }  # fmt: skip
        anchor = self._anchor(rows, whole=self._sent[0] != serial or not self._sent[1])
        notes["anchor"] = "whole" if "anchor.network" in anchor else "more"  # also where nobody is served by it: it
        network |= {name: array for name, array in anchor.items() if name != "anchor.network"}  # is shown beside live
        self._sent = (serial, stage)
        return Delta(
            self.version, self.offset, int(self._place[0]), self.settings.digest(), rows, weights.rows.table[rows],
            dense=network | {"prior": self.learner.asker.prior.weights}, notes=notes,
        )  # fmt: skip

    def _anchor(self, rows: np.ndarray, whole: bool) -> Arrays:
        """The anchor's values: of all rows that differ and its network, or of the rows that a delta brings."""
        reference, table = self.learner.weights.anchor, self.learner.weights.rows.table
        theirs = reference.overlay.rows().copy() if whole else rows
        found: Arrays = {"anchor_rows": theirs, "anchor_values": reference.rows_of(table, theirs)}
        if whole:
            found |= {ANCHOR_NETWORK + name: array for name, array in reference.network.arrays().items()}
            found["anchor.network"] = np.zeros(0, np.float32)
        return found

    def whole(self) -> None:
        """Let the next delta bring everything, for a reader that has nothing."""
        weights = self.learner.weights
        every = np.arange(weights.rows.count, dtype=np.int32)
        weights.renew(every)
        self._sent = (-1, "")

    def tell(self, move: dict[str, Any]) -> None:
        """Keep a decision for `moves`."""
        self._moves.append(move | {"offset": self.offset, "version": self.version})

    @property
    def clock_ms(self) -> int:
        """The latest moment, by the events learned so far."""
        return int(self._place[0])

    def moves(self) -> list[dict[str, Any]]:
        """Decisions since the last call."""
        moves, self._moves = self._moves, []
        return moves

    def command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do what someone asks for: see `learning_commands`."""
        return obey(self, name, arguments)

    def standing(self) -> dict[str, Any]:
        """Where everything stands, for `status`."""
        return obey(self, "standing", {})

    # -- keeping -------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Arrays]:
        """Everything, as named arrays by part."""
        place: Arrays = {"place": np.array([self.offset, self.events, *self._place.tolist()], np.int64)}
        parts: dict[str, Arrays] = {
            "place": place, "state": self.state.arrays(), "online": self.learner.state(), "gate": self.gate.state(),
            "drift": self.drift.state(), "ring": self.ring.state(),
        }  # fmt: skip
        return parts if self.guard is None else parts | {"guard": self.guard.state()}

    def snapshot_to(self, folder: Path) -> None:
        """Write everything into a folder, cut at `offset`."""
        for name, arrays in self.parts().items():
            write_arrays(folder / f"{name}.safetensors", arrays)

    def load_from(self, folder: Path) -> None:
        """Take over what `snapshot_to` wrote."""
        names = ("place", "state", "online", "gate", "drift", "ring", *(("guard",) if self.guard else ()))
        self.load({name: read_arrays(folder / f"{name}.safetensors") for name in names})

    def load(self, parts: dict[str, Arrays]) -> None:
        """Take over what `parts` gave."""
        self.offset, self.events, *place = parts["place"]["place"].tolist()
        self._place[:] = place
        self.state.load(parts["state"])
        self.learner.load(parts["online"])
        self.gate.load(parts["gate"])
        self.drift.load(parts["drift"])
        self.ring.load(parts["ring"])
        self.ring.grow(len(self.learner.weights.rows.table))
        if self.guard is not None:
            self.guard.load(parts["guard"])
        self._sent = (-1, "")


def open_learning(path: Path, settings: Settings) -> LiveLearning:
    """What a learner's process begins with."""
    return LiveLearning(settings)
