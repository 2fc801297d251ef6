"""What was folded, kept in row space as the batch learner's food."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from everbrook.types import Step

if TYPE_CHECKING:
    from everbrook.learn.batches import Histories


class Trail:
    """Events in the order of the log: 22 bytes an event."""

    def __init__(self) -> None:
        self._parts: list[dict[str, np.ndarray]] = []
        self.events = 0

    def add(self, step: Step) -> None:
        """Keep a step's events."""
        self._parts.append(
            {
                "actor": step.actor, "items": step.item, "ts_ms": step.ts_ms, "kinds": step.kind,
                "wanted": step.weight > 0.0, "opens": step.session_n == 0, "values": step.value,
            }
        )  # fmt: skip
        self.events += len(step)

    def histories(self, start: int = 0, stop: int | None = None, wanted_from: int = 0) -> Histories:
        """Events start..stop-1 by actor.

        Args:
            start: number of the first event.
            stop: number after the last; None goes to the end.
            wanted_from: number of the first event that is worth predicting; earlier ones are only context.
        """
        from everbrook.learn.batches import pack  # PyTorch is there where something is fitted, and not to serve

        stop = self.events if stop is None else stop
        names = ("actor", "items", "ts_ms", "kinds", "wanted", "opens", "values")
        merged = {name: np.concatenate([part[name] for part in self._parts]) for name in names}
        self._parts = [merged]
        cut = {name: column[start:stop] for name, column in merged.items()}
        actor = np.where(cut["wanted"] | ~np.isnan(cut["values"]), cut.pop("actor"), -1)
        cut["wanted"] = cut["wanted"] & (np.arange(start, stop) >= wanted_from)
        return pack(actor, cut)
