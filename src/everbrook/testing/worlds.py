"""Made worlds: streams of events whose law is known, and the law itself to ask what would have happened.

    world = World(preset("flip", seed=3))
    for columns in world.runs():
        ...                                     # EventColumns in time order
    world.choice_probabilities("u5", ["i1", "i7"], ts_ms)   # the last one: none of them

Not a model of any real shop; what is learned here says that the learning works, not how good it will be.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from everbrook.errors import InputError
from everbrook.events.columns import Coded, EventColumns
from everbrook.events.records import ItemChange
from everbrook.testing.choices import Law, Memory, choose
from everbrook.testing.made_items import MadeItems, item_id
from everbrook.testing.visits import Slots, Visits
from everbrook.testing.world_config import DAY_MS, WorldConfig
from everbrook.types import F32, F64, I16, I32, I64, Bool


class World:
    """A made world: what happened in it, and what would have.

    Args:
        config: what it is like; worlds of equal configs are equal to the bit.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.items = MadeItems(config)
        rng = np.random.default_rng([config.seed, 30])
        shape = (config.users + config.bots, config.genres)
        self._taste = (config.taste * rng.standard_normal(shape, np.float32)).astype(np.float32)
        if config.parity:
            alike = np.arange(shape[0])[:, None] % 2 == np.arange(config.genres)[None, :] % 2
            self._taste = np.where(alike, config.taste, -config.taste).astype(np.float32)
        self._taste[config.users :] = 0.0  # bots have none
        turned = rng.standard_normal(shape, np.float32) if config.drift_per_day else np.zeros((0, 0), np.float32)
        self._turned = (config.taste * turned).astype(np.float32)
        places = max(1, len(config.scenarios))
        self._tilt = (config.tilt * rng.standard_normal((places, config.genres))).astype(np.float32)
        deeper = np.zeros(len(config.kinds))
        deeper[: len(config.deeper)] = config.deeper[: len(config.kinds) - 1]
        self._law = Law(config.follow, deeper, Visits(config).bot_target)

    @property
    def flips_ms(self) -> list[int]:
        """The moments at which all tastes turn over."""
        return [self.config.start_ms + round(day * DAY_MS) for day in self.config.flip_days]

    def item_changes(self, start_ms: int | None = None, stop_ms: int | None = None) -> list[ItemChange]:
        """The records of items born in a span of time, in order of birth; all where no span is given."""
        born = self.items.born_ms
        inside = np.ones(len(born), np.bool_)
        if start_ms is not None:
            inside &= born >= start_ms
        if stop_ms is not None:
            inside &= born < stop_ms
        rows = np.flatnonzero(inside)
        return self.items.changes(rows[np.argsort(born[rows], kind="stable")].astype(np.int32))

    def runs(self) -> Iterator[EventColumns]:
        """All events in time order, some ten thousand at a time, from the beginning with each call."""
        config = self.config
        rng, noise = (np.random.default_rng([config.seed, stream]) for stream in (31, 32))
        memory = Memory(np.full(len(self._taste), -1, np.int32), np.zeros(len(self._taste), np.int16))
        for slots in Visits(config).runs():
            item, kind = np.empty(len(slots), np.int32), np.empty(len(slots), np.int16)
            chance = rng.random((len(slots), 3))
            ticks = self.items.tick(slots.ts_ms)
            affinity = self._affinities(slots.person, slots.ts_ms, slots.scenario)
            cuts = [0, *(np.flatnonzero(np.diff(ticks)) + 1).tolist(), len(slots)]
            for start, stop in itertools.pairwise(cuts):
                run = slice(start, stop)
                shelf = self.items.shelf(int(ticks[start]))
                choose(
                    slots.person[run], slots.opens[run], affinity[run], chance[run], shelf, self._law, memory,
                    item[run], kind[run],
                )  # fmt: skip
            value = self._values(affinity, item, noise)
            yield self._named(slots, item, kind, value)

    def all_events(self) -> EventColumns:
        """The whole stream at once."""
        return EventColumns.concat(list(self.runs()))

    def next_probabilities(self, user: str, ts_ms: int, last: str | None = None, scenario: str | None = None) -> F64:
        """(N,) the true probability of each item row to be what the user takes next, as a first kind of event.

        Args:
            user: whose.
            ts_ms: when.
            last: the item before it in the same visit.
            scenario: where.
        """
        weight = self._weights_for(user, ts_ms, last, scenario)
        return weight / weight.sum()

    def choice_probabilities(
        self, user: str, items: Sequence[str], ts_ms: int, last: str | None = None, scenario: str | None = None
    ) -> F64:
        """(len(items) + 1,) what the user would do with a list: take each item, or (last) none.

        Args:
            user: who is shown the list.
            items: the list, each item once.
            ts_ms: when.
            last: the item before it in the same visit.
            scenario: where.
        """
        weight = self._weights_for(user, ts_ms, last, scenario)
        shown = weight[[self.item_row(item) for item in items]]
        none = self.config.outside * weight.sum() / max(1, np.count_nonzero(weight))
        total = shown.sum() + none
        if total <= 0.0:
            return np.append(np.zeros(len(items)), 1.0)
        return np.append(shown, none) / total

    def respond(
        self, user: str, items: Sequence[str], ts_ms: int, rng: np.random.Generator, last: str | None = None
    ) -> str | None:
        """What the user takes from a list: an item, or None."""
        probabilities = self.choice_probabilities(user, items, ts_ms, last)
        place = int(np.searchsorted(np.cumsum(probabilities)[:-1], rng.random(), side="right"))
        return items[place] if place < len(items) else None

    def item_row(self, item: str) -> int:
        """The row behind an item's id.

        Raises:
            InputError: when this world has no such item.
        """
        return _row(item, "i", self.config.items, "item")

    def user_row(self, user: str) -> int:
        """The row behind a user's id.

        Raises:
            InputError: when this world has no such user.
        """
        return _row(user, "u", self.config.users, "user")

    def _weights_for(self, user: str, ts_ms: int, last: str | None, scenario: str | None) -> F64:
        config = self.config
        person = np.array([self.user_row(user)], np.int32)
        at = np.array([ts_ms], np.int64)
        place = config.scenarios.index(scenario) if scenario is not None else -1
        shelf = self.items.shelf(int(self.items.tick(at)[0]))
        affinity = self._affinities(person, at, np.array([place], np.int16))[0]
        weight: F64 = shelf.weight * np.exp(affinity.astype(np.float64))[self.items.genre]
        if last is not None and config.follow:
            after = shelf.successors[self.item_row(last)]
            after = after[shelf.weight[after] > 0]
            extra = config.follow * weight.sum() / max(1, len(after))
            np.add.at(weight, after, extra)
        return weight

    def _affinities(self, person: I32, ts_ms: I64, scenario: I16) -> F32:
        """(B, G) the utility of each genre, in nats."""
        config = self.config
        taste: F32 = self._taste[person]
        if config.drift_per_day:
            angle = (config.drift_per_day * (ts_ms - config.start_ms) / DAY_MS).astype(np.float32)[:, None]
            taste = (np.cos(angle) * taste + np.sin(angle) * self._turned[person]).astype(np.float32)
        if config.flip_days:
            turned = np.searchsorted(np.array(self.flips_ms), ts_ms, side="right") % 2 == 1
            taste[turned] = np.roll(taste[turned], config.genres // 2, axis=1)
        if config.tilt:
            taste = taste + np.where(scenario[:, None] >= 0, self._tilt[scenario], np.float32(0))
        return taste

    def _values(self, affinity: F32, item: I32, rng: np.random.Generator) -> F32:
        if not self.config.ratings:
            return np.full(len(item), np.nan, np.float32)
        liked = affinity[np.arange(len(item)), self.items.genre[item]] / max(self.config.taste, 1e-6)
        noise = rng.standard_normal(len(item), np.float32)
        return np.clip(np.rint(3.0 + 0.8 * liked + 0.5 * noise), 1, 5).astype(np.float32)

    def _named(self, slots: Slots, item: I32, kind: I16, value: F32) -> EventColumns:
        config = self.config
        named = ~slots.guest
        with_session = slots.guest | config.name_sessions
        return EventColumns(
            ts_ms=slots.ts_ms,
            user=_coded(
                slots.person, named, lambda row: f"u{row}" if row < config.users else f"bot{row - config.users}"
            ),
            session=_coded(slots.session, with_session, lambda row: f"s{row}"),
            item=_coded(item, np.ones(len(item), np.bool_), item_id),
            kind=Coded(kind.astype(np.int32), list(config.kinds)),
            scenario=Coded(slots.scenario.astype(np.int32), list(config.scenarios)),
            value=value,
        )


def _coded(rows: I32 | I64, present: Bool, name: Callable[[int], str]) -> Coded:
    """Rows as codes into only those names that appear."""
    codes = np.full(len(rows), -1, np.int32)
    distinct, inverse = np.unique(rows[present], return_inverse=True)
    codes[present] = inverse
    return Coded(codes, [name(row) for row in distinct.tolist()])


def _row(text: str, letter: str, below: int, what: str) -> int:
    number = text[1:]
    if not (text.startswith(letter) and number.isdecimal() and int(number) < below):
        raise InputError(f"A made world's {what} must be '{letter}0' to '{letter}{below - 1}'; got {text!r}.")
    return int(number)
