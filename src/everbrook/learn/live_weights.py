"""The live weights: item rows with their step sizes, the network with its own, and what they were at earlier moments.

Every change of rows goes through `change`, so that the anchor, the recent weights, the guard's window, the points to go
back to and the next delta all know of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from everbrook.learn.dense_steps import DenseSteps
from everbrook.learn.live_arrays import longer, under, within
from everbrook.learn.overlay import Overlay
from everbrook.learn.references import Reference, new_reference
from everbrook.learn.rolling import Rolling
from everbrook.learn.row_steps import count_targets, hold_rows, place_rows, step_rows, touch_rows
from everbrook.models.live_network import LiveNetwork
from everbrook.models.live_rows import LiveRows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I32, I64, Arrays, Bool

_PLACED = np.float32(2.0**-10)  # updates of a row that was placed and has not moved since: it is not placed again
_EXPIRY_CHECKS = 24  # looks for idle rows within the time after which they expire


class LiveWeights:
    """Rows, network, their optimisers, and earlier weights."""

    def __init__(self, settings: LiveSettings) -> None:
        self.settings = s = settings
        self.rows = LiveRows(s.width, s.start, s.seed)
        self.network = LiveNetwork(s)
        self.steps = DenseSteps(self.network.views, (s.clip_share, s.network_clip))
        self.squares: F32 = np.zeros(0, np.float32)
        self.updates: F32 = np.zeros(0, np.float32)
        self.seen: I32 = np.zeros(0, np.int32)  # how often each item was taken
        self.last_s: I64 = np.zeros(0, np.int64)  # when each row was last of use
        self.changes: F32 = np.zeros(0, np.float32)  # since the last delta
        widths = (s.width, 1, 1)
        self.anchor = new_reference(s, widths)
        self._recent = Rolling(s, widths, s.recent_s, s.recent_events)
        self._young = Rolling(s, widths, s.young_s, s.young_events)
        self._window = Overlay(0, s.width)
        self._fresh = Overlay(0, 1)  # which rows changed since the last delta
        self._moments = np.zeros(4, np.int64)  # begin of the guard's window, last look for idle rows, offset, the first
        self._counts = np.zeros(4, np.int64)  # clipped, held, not finite, expired
        self.watchers: list[Any] = []  # told `note(tables, rows)` before rows change, and `grow(rows)`

    @property
    def tables(self) -> tuple[F32, F32, F32]:
        """What changes together, a row an item: vectors, mean squares of gradients, updates."""
        return self.rows.table, self.squares, self.updates

    @property
    def recent(self) -> Reference:
        """The weights of about a minute ago."""
        return self._recent.now

    @property
    def young(self) -> Reference:
        """The weights of some seconds ago."""
        return self._young.now

    @property
    def offset(self) -> int:
        """Of the log, after the last event that was learned."""
        return int(self._moments[2])

    def grow(self, items: int) -> None:
        """Make room for item rows below `items`."""
        self.rows.grow(items)
        size = len(self.rows.table)
        if size > len(self.squares):
            self.squares, self.updates = longer(self.squares, size), longer(self.updates, size)
            self.seen, self.last_s = longer(self.seen, size), longer(self.last_s, size)
            self.changes = longer(self.changes, size)
            for keeper in self._keepers():
                keeper.grow(size)

    def _keepers(self) -> list[Any]:
        rolling = (*self._recent.overlays, *self._young.overlays)
        return [self.anchor.overlay, *rolling, self._window, self._fresh, *self.watchers]

    def begin(self, offset: int, ts_ms: int, targets: I32) -> None:
        """A micro-batch begins: time goes on, and items were taken.

        Args:
            offset: of the log, after the micro-batch; the weights as they are now have learned what was before it.
            ts_ms: its time.
            targets: item rows of its positive events.
        """
        moments, s = self._moments, self.settings
        if not self.anchor.taken:
            self.anchor.take(self.network, int(moments[2]), ts_ms)
            moments[3] = offset
        if ts_ms - moments[0] >= 1000 * s.window_s or ts_ms < moments[0] - 1000 * s.window_s:
            self._window.clear()
            moments[0] = ts_ms
        for rolling in (self._recent, self._young):
            rolling.move(self.network, int(moments[2]), ts_ms, int(moments[3]))
        moments[2] = offset
        count_targets(self.seen, targets)

    @property
    def events_s(self) -> float:
        """Speed of the stream, in events/s, over about a minute; infinite where that is not known."""
        return self._recent.events_s

    # -- changes of rows -----------------------------------------------------------------------------------------

    def change(self, rows: I32) -> None:
        """Tell everyone who keeps earlier values that rows are about to change."""
        tables = self.tables
        for reference in (self.anchor, self._recent, self._young):
            reference.note(tables, rows)
        self._window.note(self.rows.table, rows)
        self._fresh.note(self.changes, rows)
        for watcher in self.watchers:
            watcher.note(tables, rows)

    def step(self, rows: I32, grads: F32, factors: tuple[float, float], ts_ms: int) -> None:
        """Move rows against their gradients, within the guard's bounds.

        Args:
            rows: (R,) without repeats.
            grads: (R, D)
            factors: what the step size is multiplied with; and the pace, down to which it falls as rows move.
            ts_ms: the time.
        """
        s = self.settings
        finite = np.isfinite(grads).all(axis=1)
        admitted = finite & (self.seen[rows] >= s.admission_events)
        self._counts[2] += int((~finite).sum())
        if not admitted.all():
            rows, grads = rows[admitted], grads[admitted]
        self.change(rows)
        sizes = (s.row_rate * factors[0], float(s.row_memory), s.row_floor, s.row_first, factors[1])
        clip = (s.clip_share, s.clip_size)
        table = self.rows.table
        self._counts[0] += step_rows(table, rows, grads, self.squares, self.updates, sizes, clip, self.changes)
        self._counts[1] += hold_rows(table, rows, self._window.place, self._window.buffer, s.row_cap)
        touch_rows(self.last_s, rows, ts_ms // 1000)

    def place(self, targets: I32, items: I32, held: Bool) -> None:
        """Let rows that never moved begin near those of the histories in which they are taken.

        Args:
            targets: (B,) what was taken.
            items: (B, L) the histories, right-aligned.
            held: (B, L) whether a place holds an event.
        """
        new = np.unique(targets[self.updates[targets] == 0.0])
        if len(new) and self.settings.place:
            self.change(new)
            place_rows(self.rows.table, targets, self.updates, items, held, self.settings.place)
            self.updates[new] = _PLACED

    def expire(self, ts_ms: int) -> I32:
        """Let rows that nothing used for long begin again; gives them."""
        s, none = self.settings, np.empty(0, np.int32)
        if not s.expire_s or ts_ms - self._moments[1] < 1000 * s.expire_s / _EXPIRY_CHECKS:
            return none
        self._moments[1] = ts_ms
        count = self.rows.count
        idle = (self.last_s[:count] > 0) & (self.last_s[:count] < ts_ms // 1000 - s.expire_s)
        rows = np.flatnonzero(idle).astype(np.int32)
        if len(rows):
            self.change(rows)
            self.rows.reset(rows)
            self.changes[rows] += 1.0
            for column in (self.squares, self.updates, self.seen, self.last_s):
                column[rows] = 0
            self._counts[3] += len(rows)
        return rows

    # -- going back and publishing -------------------------------------------------------------------------------

    def back_to(self, reference: Reference) -> int:
        """Let the weights be what they were at a reference's moment; how many rows that changed.

        Earlier weights that are younger than it are let go: they may share what was wrong.
        """
        rows, earlier = reference.overlay.rows().copy(), reference.offset
        self.write(rows, [reference.overlay.values(k).copy() for k in range(3)], reference.network.arrays())
        for rolling in (self._recent, self._young):
            rolling.back_to(earlier, self.network, int(self._moments[2]))
        return len(rows)

    def write(self, rows: I32, values: list[F32], network: Arrays) -> None:
        """Give rows, their optimiser columns and the network other values.

        Args:
            rows: (R,)
            values: (R, D) vectors, (R, 1) mean squares, (R, 1) updates.
            network: by name.
        """
        self.change(rows)
        self.rows.table[rows], self.squares[rows], self.updates[rows] = values[0], values[1][:, 0], values[2][:, 0]
        self.changes[rows] += 1.0
        self.network.load(network)
        self.steps.drop()

    def anchor_here(self, ts_ms: int) -> None:
        """Let the live weights be the anchor."""
        self.anchor.take(self.network, int(self._moments[2]), ts_ms)

    def fresh(self) -> tuple[I32, F32]:
        """The rows that changed since the last call, (R,), and how far each has moved, (R,)."""
        rows = self._fresh.rows().copy()
        changes = self.changes[rows]
        self.changes[rows] = 0.0
        self._fresh.clear()
        return rows, changes

    def renew(self, rows: I32) -> None:
        """Let rows count as changed since the last delta."""
        self._fresh.note(self.changes, rows)

    @property
    def counts(self) -> dict[str, int]:
        """What the guard did so far."""
        names = ("rows_clipped", "rows_held", "rows_not_finite", "rows_expired")
        return dict(zip(names, self._counts.tolist(), strict=True))

    # -- keeping -------------------------------------------------------------------------------------------------

    def state(self) -> Arrays:
        """Everything, as named arrays; rows without room at the end."""
        n = self.rows.count
        arrays: Arrays = {
            "table": self.rows.table[:n], "squares": self.squares[:n], "updates": self.updates[:n],
            "seen": self.seen[:n], "last_s": self.last_s[:n], "moments": self._moments, "guard": self._counts,
            "window/rows": self._window.rows(), "window/values": self._window.values(),
        }  # fmt: skip
        arrays |= under("network/", self.network.arrays()) | under("steps/", self.steps.state())
        for name, reference in self._references().items():
            arrays |= under(f"{name}/", reference.state())
        return arrays

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        self.rows.load({"table": arrays["table"]})
        n = len(arrays["table"])
        self.squares, self.updates = longer(arrays["squares"], n), longer(arrays["updates"], n)
        self.seen, self.last_s = longer(arrays["seen"], n), longer(arrays["last_s"], n)
        self.changes = np.zeros(n, np.float32)
        self._moments[...], self._counts[...] = arrays["moments"], arrays["guard"]
        for keeper in self._keepers():
            keeper.grow(n)
        self._window.load(arrays["window/rows"], (arrays["window/values"],))
        self.network.load(within(arrays, "network/"))
        self.steps.load(within(arrays, "steps/"))
        for name, reference in self._references().items():
            reference.load(within(arrays, f"{name}/"), n)

    def _references(self) -> dict[str, Reference | Rolling]:
        return {"anchor": self.anchor, "recent": self._recent, "young": self._young}
