"""Floods: bots that push one item, put into any stream of events. An attack to test with; it finds and stops nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.events.columns import Coded, EventColumns
from everbrook.types import I64, Bool


@dataclass(frozen=True, slots=True)
class Flood:
    """What the bots do.

    Args:
        actors: how many there are; they take turns.
        item: id of the item that they push.
        start_ms: when they begin.
        stop_ms: when they end.
        share: of all events in that time, the bots' own included.
        aged: other items, popular ones, that a bot takes between two events on its target, to look like people.
        seed: of their moments.
    """

    actors: int
    item: str
    start_ms: int
    stop_ms: int
    share: float = 0.5
    aged: int = 0
    seed: int = 0

    def into(self, columns: EventColumns) -> tuple[EventColumns, Bool]:
        """The stream with the flood in it.

        Args:
            columns: what people did, in time order; the bots' kind and scenario are their commonest.

        Returns:
            All events in time order, and (B,) which are people's.
        """
        rng = np.random.default_rng([self.seed, self.actors])
        first, last = np.searchsorted(columns.ts_ms, (self.start_ms, self.stop_ms))
        people = int(last - first)
        bots = round(people * self.share / (1.0 - self.share))
        moments = columns.ts_ms[first:last]  # as busy as people are at each moment
        ts_ms = np.sort(rng.choice(moments, bots) + rng.integers(0, 1000, bots)) if people else moments
        both = EventColumns.concat([columns, self._events(columns.slice(int(first), int(last)), ts_ms)])
        order = np.argsort(both.ts_ms, kind="stable")
        return both.take(order), order < len(columns)

    def _events(self, meanwhile: EventColumns, ts_ms: I64) -> EventColumns:
        B, turn = len(ts_ms), np.arange(len(ts_ms))
        visit, place = np.divmod(turn, self.aged + 1)
        codes, names = meanwhile.item.codes, meanwhile.item.names
        beside = np.bincount(codes[codes >= 0], minlength=len(names)).argsort()[::-1][: max(4 * self.aged, 1)]
        item = np.where(place == self.aged, len(names), beside[(visit * 7 + place) % len(beside)])
        return EventColumns(
            ts_ms=ts_ms,
            user=Coded((visit % self.actors).astype(np.int32), [f"bot{n}" for n in range(self.actors)]),
            session=Coded.missing(B), item=Coded(item.astype(np.int32), [*names, self.item]),
            kind=_commonest(meanwhile.kind, B), scenario=_commonest(meanwhile.scenario, B),
            value=np.full(B, np.nan, np.float32),
        )  # fmt: skip


def _commonest(column: Coded, size: int) -> Coded:
    present = column.codes[column.codes >= 0]
    code = int(np.bincount(present).argmax()) if len(present) else -1
    return Coded(np.full(size, code, np.int32), column.names)
