"""One rule's list: which items its filter lets in, and their order. Times and names are the caller's (see `rules`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from everbrook.events.records import ItemChange
from everbrook.settings.rules import Rule
from everbrook.types import F64, I32, I64, NO_ROW, Arrays, Bool, Step

UNKNOWN, OUT, IN = 0, 1, 2  # an item without a record, one that the filter refuses, one that it lets in
LARGE = 40.0  # doublings of what an event adds, after which all counts are divided again


class RuleList:
    """Members, what they are ordered by, and the order as it was found last."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._member = np.zeros(0, np.int8)
        self._value: F64 = np.zeros(0)
        self._counts: F64 = np.zeros(0)
        self._settled: F64 = np.zeros(0)  # the counts at the last refresh
        self._clock: I64 = np.zeros(3, np.int64)  # whether it runs, when an event adds 1, the latest time; ms
        self._order: I32 | None = None

    def grow(self, items: int) -> None:
        """Make room for item rows below `items`."""
        more = items - len(self._member)
        self._member = np.concatenate((self._member, np.zeros(more, np.int8)))
        self._value = np.concatenate((self._value, np.full(more, np.nan)))
        self._counts = np.concatenate((self._counts, np.zeros(more)))
        self._settled = np.concatenate((self._settled, np.zeros(more)))
        self.forget_order()

    def put(self, row: int, record: ItemChange | None) -> None:
        """Judge an item's record; None hides it."""
        self._member[row] = IN if record is not None and self._lets_in(record) else OUT
        value = (record.properties or {}).get(self.rule.property) if record is not None and record.properties else None
        self._value[row] = float(value) if isinstance(value, int | float) else np.nan
        self.forget_order()

    def count(self, step: Step, kind_row: Callable[[str], int]) -> None:
        """Count events for 'popular'."""
        if self.rule.order != "popular" or not len(step):
            return
        weight = (step.weight > 0).astype(np.float64)
        if self.rule.kinds:
            rows = {kind_row(name) for name in self.rule.kinds} - {NO_ROW}
            weight *= np.isin(step.kind, np.array(sorted(rows), np.int16))
        np.add.at(self._counts, step.item, weight * self._units(step.ts_ms))

    def refresh(self) -> bool:
        """Let the order follow the counts; whether it does."""
        if self.rule.order != "popular":
            return False
        self._settled = self._counts.copy()
        self.forget_order()
        return True

    def forget_order(self) -> None:
        """Something changed: find the order anew when it is wanted."""
        self._order = None

    def ordered(self, born_ms: I64, item_row: Callable[[str], int]) -> I32:
        """All members, first one first; equal ones in row order."""
        if self.rule.order == "manual":  # names may become known at any time
            rows = [row for row in map(item_row, self.rule.items) if 0 <= row < len(self._member)]
            unique = np.array(list(dict.fromkeys(rows)), np.int32)
            return unique[self._member[unique] != OUT]
        if self._order is None:
            self._order = self._sorted(born_ms)
        return self._order

    def state(self) -> Arrays:
        """Members, values and counts."""
        return {
            "member": self._member, "value": self._value, "counts": self._counts, "settled": self._settled,
            "clock": self._clock,
        }  # fmt: skip

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        self._member, self._value, self._counts, self._settled, self._clock = (
            np.array(arrays[name]) for name in ("member", "value", "counts", "settled", "clock")
        )
        self.forget_order()

    def _lets_in(self, record: ItemChange) -> bool:
        if record.hidden is True:
            return False
        wanted = ((self.rule.categories, record.categories), (self.rule.tags, record.tags))
        return all(not names or bool(set(names) & set(has or ())) for names, has in wanted)

    def _sorted(self, born_ms: I64) -> I32:
        key: F64
        if self.rule.order == "newest":
            known = born_ms != np.iinfo(np.int64).max
            key = np.where(known, -born_ms.astype(np.float64), np.nan)
        elif self.rule.order == "popular":
            key = np.where(self._settled > 0, -self._settled, np.nan)
        else:
            key = self._value if self.rule.order == "lowest" else -self._value
        members = np.flatnonzero(self._members() & ~np.isnan(key))
        return members[np.argsort(key[members], kind="stable")].astype(np.int32)

    def _members(self) -> Bool:
        filtered = self.rule.categories or self.rule.tags
        return self._member == IN if filtered else self._member != OUT

    def _units(self, ts_ms: I64) -> F64:
        """What each event adds: more the later it comes, so that earlier ones fade."""
        if not self._clock[0]:
            self._clock[:] = (1, ts_ms[0], ts_ms[0])
        latest = np.maximum.accumulate(np.maximum(ts_ms, self._clock[2]))
        self._clock[2] = latest[-1]
        if self.rule.half_life_s <= 0:
            return np.ones(len(ts_ms))
        doublings = (latest - self._clock[1]) / (1e3 * self.rule.half_life_s)
        if doublings[-1] > LARGE:
            self._counts *= 2.0 ** -min(float(doublings[-1]), 1000.0)
            self._clock[1] = latest[-1]
            doublings = doublings - doublings[-1]
        units: F64 = np.exp2(doublings)
        return units
