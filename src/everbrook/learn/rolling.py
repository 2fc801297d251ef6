"""A reference that moves along: weights of a while ago, and younger ones that wait to take their place."""

from __future__ import annotations

import math

from everbrook.learn.live_arrays import under, within
from everbrook.learn.overlay import Overlay, Tables
from everbrook.learn.references import new_reference
from everbrook.models.live_network import LiveNetwork
from everbrook.settings.live import LiveSettings
from everbrook.types import I32, Arrays


class Rolling:
    """Weights between one and two ages old.

    Args:
        settings: of the live model.
        widths: of the tables whose rows change together.
        age_s: least time after which the waiting weights become the reference.
        age_events: events learned at least in between.
    """

    def __init__(self, settings: LiveSettings, widths: tuple[int, ...], age_s: float, age_events: int) -> None:
        self.now, self.waiting = new_reference(settings, widths), new_reference(settings, widths)
        self._age_ms, self._age_events = 1000.0 * age_s, age_events

    def move(self, network: LiveNetwork, offset: int, ts_ms: int, first: int) -> None:
        """Time goes on; the waiting weights become the reference where they are old enough.

        Args:
            network: of the live weights.
            offset: of the log, up to which they have learned.
            ts_ms: the time.
            first: offset at which learning began: while little is learned, a quarter of it is long enough.
        """
        if not self.waiting.taken:
            self.waiting.take(network, offset, ts_ms)
            return
        events = min(self._age_events, (offset - first) // 4)
        if abs(ts_ms - self.waiting.ts_ms) >= self._age_ms and offset - self.waiting.offset >= events:
            self.now, self.waiting = self.waiting, self.now
            self.waiting.take(network, offset, ts_ms)

    def back_to(self, earlier: int, network: LiveNetwork, offset: int) -> None:
        """The live weights went back: what is younger than what they are now may share what was wrong, and is let go.

        Args:
            earlier: offset of the log up to which they have learned now.
            network: of the live weights, as they are now.
            offset: of the log, up to which they have seen.
        """
        if self.now.taken and self.now.offset > earlier:
            self.now.take(network, offset, self.now.ts_ms)
        if self.waiting.taken:
            self.waiting.take(network, offset, self.waiting.ts_ms)

    def note(self, tables: Tables, rows: I32) -> None:
        """Keep what rows are, just before they change."""
        self.now.note(tables, rows)
        self.waiting.note(tables, rows)

    @property
    def overlays(self) -> tuple[Overlay, Overlay]:
        """What has to grow with the tables."""
        return self.now.overlay, self.waiting.overlay

    @property
    def events_s(self) -> float:
        """Speed of the stream, in events/s, from the reference to the waiting weights; infinite where there is none."""
        if not self.now.taken:
            return math.inf
        passed_s = abs(self.waiting.ts_ms - self.now.ts_ms) / 1000
        return (self.waiting.offset - self.now.offset) / passed_s if passed_s else math.inf

    def state(self) -> Arrays:
        """Both, as named arrays."""
        return under("now/", self.now.state()) | under("waiting/", self.waiting.state())

    def load(self, arrays: Arrays, rows: int) -> None:
        """Take over what `state` gave, for tables of so many rows."""
        self.now.load(within(arrays, "now/"), rows)
        self.waiting.load(within(arrays, "waiting/"), rows)

