"""When people come to a made world, how long they stay, and under what name.

Not what they take (see `choices`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from everbrook.testing.world_config import DAY_MS, WorldConfig
from everbrook.types import I16, I32, I64, Bool

RUN_EVENTS = 50_000  # part of the law: a world is drawn run by run


@dataclass(frozen=True, slots=True)
class Slots:
    """B moments at which somebody will take something."""

    ts_ms: I64
    person: I32  # rows; people first, bots after them
    session: I64  # number of the visit
    opens: Bool  # the first of its visit
    guest: Bool  # before signing in, if ever
    scenario: I16  # -1 for none

    def __len__(self) -> int:
        return len(self.ts_ms)

    def take(self, where: I64 | Bool) -> Slots:
        """Those at some places."""
        return Slots(*(getattr(self, field.name)[where] for field in fields(self)))

    @classmethod
    def concat(cls, parts: list[Slots]) -> Slots:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


class Visits:
    """All visits of a world, in time order.

    Args:
        config: the world.
    """

    def __init__(self, config: WorldConfig) -> None:
        self._config = config
        rng = np.random.default_rng([config.seed, 20])
        late = round(config.new_share * config.users)
        arrives = np.zeros(config.users)
        if late:
            arrives[config.users - late :] = np.sort(rng.uniform(0, config.days, late))
        self.arrives_ms: I64 = config.start_ms + (arrives * DAY_MS).astype(np.int64)
        self._busy = np.cumsum(rng.lognormal(0, config.activity, config.users))
        self.bot_target: I32 = rng.integers(0, config.items, config.bots).astype(np.int32)
        self._bot_ms = config.start_ms + rng.integers(0, round(config.days * DAY_MS), config.bots)
        self._rng = np.random.default_rng([config.seed, 21])
        self._sessions = 0

    def runs(self) -> Iterator[Slots]:
        """The moments in order, about `RUN_EVENTS` at a time."""
        config = self._config
        wide_ms = max(1, round(RUN_EVENTS / config.events_per_day * DAY_MS))
        waiting: list[Slots] = []
        for start in range(config.start_ms, config.end_ms, wide_ms):
            stop = min(start + wide_ms, config.end_ms)
            slots = Slots.concat([*waiting, self._begun(start, stop), self._pushed(start, stop)])
            now = slots.ts_ms < stop
            waiting = [slots.take(~now)]
            slots = slots.take(now)
            if len(slots):
                yield slots.take(np.argsort(slots.ts_ms, kind="stable"))

    def _begun(self, start: int, stop: int) -> Slots:
        config, rng = self._config, self._rng
        expected = (stop - start) / DAY_MS * config.events_per_day / config.visit_events
        at = start + (rng.random(rng.poisson(expected)) * (stop - start)).astype(np.int64)
        # thinned by the time of day, busiest at 18:00; a stay-at-home comes at a like moment half a day later
        swing = config.day_swing * np.cos(2 * np.pi * (at / DAY_MS - 0.75))
        moved = rng.random(len(at)) < np.maximum(-swing, 0)
        at = np.where(moved & (at + DAY_MS // 2 < stop), at + DAY_MS // 2, at)
        here = np.maximum(1, np.searchsorted(self.arrives_ms, at, side="right"))
        person = np.searchsorted(self._busy, rng.random(len(at)) * self._busy[here - 1]).astype(np.int32)
        length = rng.geometric(1 / config.visit_events, len(at))
        scenario = rng.integers(0, max(1, len(config.scenarios)), len(at)).astype(np.int16)
        if not config.scenarios:
            scenario[:] = -1
        guest = rng.random(len(at)) < config.guest_share
        signs_in = np.where(rng.random(len(at)) < config.join_share, (length + 1) // 2, length)
        return self._spread(at, person, length, scenario, np.where(guest, signs_in, 0))

    def _spread(self, at: I64, person: I32, length: I64, scenario: I16, guest_events: I64) -> Slots:
        """Give each visit its events."""
        visit = np.repeat(np.arange(len(at)), length)
        first = np.cumsum(length) - length
        place = np.arange(len(visit)) - first[visit]
        gaps = self._rng.exponential(self._config.gap_s * 1000, len(visit))
        gaps[place == 0] = 0.0
        walked = np.cumsum(gaps)
        since = walked - walked[first][visit] if len(visit) else walked
        session = self._sessions + visit
        self._sessions += len(at)
        return Slots(
            ts_ms=at[visit] + since.astype(np.int64), person=person[visit], session=session, opens=place == 0,
            guest=place < guest_events[visit], scenario=scenario[visit],
        )  # fmt: skip

    def _pushed(self, start: int, stop: int) -> Slots:
        bots = np.flatnonzero((self._bot_ms >= start) & (self._bot_ms < stop))
        B, each = len(bots) * self._config.bot_events, self._config.bot_events
        place = np.arange(B) % each
        session = self._sessions + np.repeat(np.arange(len(bots)), each)
        self._sessions += len(bots)
        return Slots(
            ts_ms=np.repeat(self._bot_ms[bots], each) + 1_000 * place,
            person=np.repeat(self._config.users + bots, each).astype(np.int32), session=session, opens=place == 0,
            guest=np.zeros(B, np.bool_), scenario=np.full(B, 0 if self._config.scenarios else -1, np.int16),
        )  # fmt: skip
