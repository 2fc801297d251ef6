"""Earlier weights kept beside the live ones without a copy of the table: to be compared with, and to go back to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from everbrook.learn.overlay import Overlay, Tables
from everbrook.models.live_network import LiveNetwork, states_of
from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I32, I64, Arrays


@dataclass(slots=True)
class Reference:
    """The weights as they were at a moment."""

    overlay: Overlay
    network: LiveNetwork
    taken: bool = False  # whether there is such a moment
    offset: int = 0
    ts_ms: int = 0
    widths: tuple[int, ...] = field(default=())

    def take(self, network: LiveNetwork, offset: int, ts_ms: int) -> None:
        """Let now be the moment."""
        self.overlay.clear()
        self.network.load(network.arrays())
        self.taken, self.offset, self.ts_ms = True, offset, ts_ms

    def note(self, tables: Tables, rows: I32 | I64) -> None:
        """Keep what rows are, just before they change."""
        if self.taken:
            self.overlay.note(tables, rows)

    def states(self, table: F32, windows: Windows) -> F32:
        """(B, D) states under the earlier weights."""
        return states_of(self.network, self.rows_of(table, windows.flat), windows)

    def rows_of(self, table: F32, rows: I32) -> F32:
        """(…, D) rows as they were, of (…,) row numbers."""
        found = self.overlay.gather(table, np.ascontiguousarray(rows).ravel())
        return found.reshape(*rows.shape, table.shape[1])

    def state(self) -> Arrays:
        """The old values, the network and the moment."""
        moment = np.array([self.taken, self.offset, self.ts_ms], np.int64)
        arrays: Arrays = {"moment": moment, "rows": self.overlay.rows()}
        arrays |= {f"values/{k}": self.overlay.values(k) for k in range(len(self.overlay.buffers))}
        return arrays | {f"network/{name}": array for name, array in self.network.arrays().items()}

    def load(self, arrays: Arrays, rows: int) -> None:
        """Take over what `state` gave.

        Args:
            arrays: as given.
            rows: N, how many rows the tables have.
        """
        taken, self.offset, self.ts_ms = (int(number) for number in arrays["moment"])
        self.taken = bool(taken)
        self.network.load({name[8:]: array for name, array in arrays.items() if name.startswith("network/")})
        self.overlay.grow(rows)
        self.overlay.load(arrays["rows"], tuple(arrays[f"values/{k}"] for k in range(len(self.overlay.buffers))))


def new_reference(settings: LiveSettings, widths: tuple[int, ...]) -> Reference:
    """A reference without a moment.

    Args:
        settings: of the live model.
        widths: of the tables whose rows change together.
    """
    return Reference(Overlay(0, *widths), LiveNetwork(settings), widths=widths)
