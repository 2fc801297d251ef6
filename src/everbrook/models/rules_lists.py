"""One rule's list: which items its filter lets in, and their order. Times and names are the caller's (see `rules`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from everbrook.events.records import ItemChange
from everbrook.settings.rules import Rule
from everbrook.types import F64, I32, I64, NO_ROW, Arrays, Bool, Step

UNKNOWN, OUT, IN = 0, 1, 2  # an item without a record, one that the filter refuses, one that it lets in
LARGE = 40.0  # doublings of what an event adds, after which all counts are divided again
FEW = 64  # of so many items at most one may have moved for the others to be left where they are


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
        self._key: F64 = np.zeros(0)  # by which the order was found, the least first; NaN for who is not in it
        self._moved: list[I32] = []  # whose place is to be found anew
        self._n_moved = 0

    def grow(self, items: int) -> None:
        """Make room for item rows below `items`."""
        more = items - len(self._member)
        self._member = np.concatenate((self._member, np.zeros(more, np.int8)))
        self._value = np.concatenate((self._value, np.full(more, np.nan)))
        self._counts = np.concatenate((self._counts, np.zeros(more)))
        self._settled = np.concatenate((self._settled, np.zeros(more)))

    def put(self, row: int, record: ItemChange | None) -> None:
        """Judge an item's record; None hides it."""
        self._member[row] = IN if record is not None and self._lets_in(record) else OUT
        value = (record.properties or {}).get(self.rule.property) if record is not None and record.properties else None
        self._value[row] = float(value) if isinstance(value, int | float) else np.nan
        self.move(np.array([row], np.int32))

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
        """Everything changed: find the order anew when it is wanted."""
        self._order, self._moved, self._n_moved = None, [], 0

    def move(self, rows: I32) -> None:
        """Something of these items changed: find their places anew when the order is wanted, or all where many did."""
        if self._order is None:
            return
        self._moved.append(rows)
        self._n_moved += len(rows)
        if FEW * self._n_moved > len(self._member):
            self.forget_order()

    def ordered(self, born_ms: I64, item_row: Callable[[str], int]) -> I32:
        """All members, first one first; equal ones in row order."""
        if self.rule.order == "manual":  # names may become known at any time
            rows = [row for row in map(item_row, self.rule.items) if 0 <= row < len(self._member)]
            unique = np.array(list(dict.fromkeys(rows)), np.int32)
            return unique[self._member[unique] != OUT]
        if self._moved:
            self._order = self._placed(np.unique(np.concatenate(self._moved)), born_ms)
            self._moved, self._n_moved = [], 0
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
        """The order, found anew from all items."""
        self._key = self._keys(slice(None), born_ms)
        members = np.flatnonzero(~np.isnan(self._key))
        return members[np.argsort(self._key[members], kind="stable")].astype(np.int32)

    def _placed(self, rows: I32, born_ms: I64) -> I32:
        """The order with these distinct rows where they belong by now."""
        order, size = self._order, len(self._member)
        assert order is not None  # or nothing would have moved in it
        if len(self._key) < size:  # rows that came since have no place yet
            self._key = np.concatenate((self._key, np.full(size - len(self._key), np.nan)))
        before = rows[~np.isnan(self._key[rows])]
        if len(before):
            order = np.delete(order, _places(order, self._key, before))
        self._key[rows] = self._keys(rows, born_ms)
        entering = rows[~np.isnan(self._key[rows])]
        entering = entering[np.argsort(self._key[entering], kind="stable")]
        return np.insert(order, _places(order, self._key, entering), entering)

    def _keys(self, rows: I32 | slice, born_ms: I64) -> F64:
        """By what some items are ordered, the least first; NaN for those who have no place."""
        key: F64
        if self.rule.order == "newest":
            born = born_ms[rows]
            key = np.where(born != np.iinfo(np.int64).max, -born.astype(np.float64), np.nan)
        elif self.rule.order == "popular":
            settled = self._settled[rows]
            key = np.where(settled > 0, -settled, np.nan)
        else:
            key = self._value[rows] if self.rule.order == "lowest" else -self._value[rows]
        return np.where(self._members(rows), key, np.nan)

    def _members(self, rows: I32 | slice) -> Bool:
        filtered = self.rule.categories or self.rule.tags
        return self._member[rows] == IN if filtered else self._member[rows] != OUT

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


@njit(cache=True)
def _places(order: I32, key: F64, rows: I32) -> I64:
    """(M,) how many of an order stand before each row: smaller keys, and among equal ones smaller rows."""
    out = np.empty(len(rows), np.int64)
    for m in range(len(rows)):
        row, low, high = rows[m], 0, len(order)
        while low < high:
            middle = (low + high) // 2
            other = order[middle]
            if key[other] < key[row] or (key[other] == key[row] and other < row):
                low = middle + 1
            else:
                high = middle
        out[m] = low
    return out
