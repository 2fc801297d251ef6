"""Rule-based lists: a filter and an order from the settings, each a column with falling probability by place.

Not the business rules of a request (exclude, pin, boost); those are applied to the mixture's list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from everbrook.events.records import ItemChange
from everbrook.models.lately import Lately
from everbrook.models.neighbours_query import look_up
from everbrook.models.portion import propose_alike, score_alike
from everbrook.models.rules_lists import RuleList
from everbrook.settings.rules import RulesSettings
from everbrook.types import F32, I32, I64, NO_ROW, Arrays, Query, Step

UNBORN_MS = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class Names:
    """How names of the settings become rows; NO_ROW for a name that is not known (yet)."""

    scenario_row: Callable[[str], int]
    kind_row: Callable[[str], int]
    item_row: Callable[[str], int]


def _unknown(name: str) -> int:
    return NO_ROW


class Rules:
    """One column 'rules/<name>' a rule. `observe` counts what the lists need and reports all columns as asleep.

    Args:
        settings: the rules.
        names: how names become rows; without it only rules without names of kinds, scenarios and items apply.
    """

    def __init__(self, settings: RulesSettings | None = None, names: Names | None = None) -> None:
        self.settings = settings or RulesSettings()
        self.names = tuple(f"rules/{rule.name}" for rule in self.settings.rules)
        self._known = names or Names(_unknown, _unknown, _unknown)
        self._lists = [RuleList(rule) for rule in self.settings.rules]
        self._born_ms: I64 = np.zeros(0, np.int64)
        self._expires_ms: I64 = np.zeros(0, np.int64)
        self._place: I32 = np.zeros(0, np.int32)
        self._events = np.zeros(1, np.int64)
        self._lately: Lately[list[I32]] = Lately()
        self._shares: dict[tuple[int, int], F32] = {}

    def put(self, rows: I32, records: Sequence[ItemChange | None]) -> None:
        """Say what items are, in place of what was known; None hides the item."""
        self._lately.clear()
        if len(rows):
            self.grow(int(np.max(rows)) + 1, 0)
        for row, record in zip(np.asarray(rows).tolist(), records, strict=True):
            if record is not None and isinstance(record.ts, int):
                self._born_ms[row] = record.ts
            expires = record.expires if record is not None else None
            self._expires_ms[row] = expires if isinstance(expires, int) else UNBORN_MS
            for one in self._lists:
                one.put(row, record)

    def grow(self, items: int, actors: int) -> None:
        """Make room for item rows below `items`."""
        self._lately.clear()
        if items <= len(self._place):
            return
        size = max(items, 2 * len(self._place))
        more = size - len(self._place)
        self._born_ms = np.concatenate((self._born_ms, np.full(more, UNBORN_MS, np.int64)))
        self._expires_ms = np.concatenate((self._expires_ms, np.full(more, UNBORN_MS, np.int64)))
        self._place = np.zeros(size, np.int32)
        for one in self._lists:
            one.grow(size)

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Note births and count; all columns stay asleep."""
        mass[:] = 0.0
        rest[:] = np.nan
        self._lately.clear()
        every, start = self.settings.refresh_events, 0
        while start < len(step):
            stop = min(len(step), start + every - int(self._events[0]) % every)
            self._count(step if stop - start == len(step) else step.slice(start, stop))
            self._events[0] += stop - start
            if self._events[0] % every == 0:
                for one in self._lists:
                    one.refresh()
            start = stop

    def propose(self, query: Query, limit: int) -> I32:
        """The lists in turn, each from its start."""
        found = [rows[:limit] for rows in self._rows(query)]
        if len(found) <= 1:
            return found[0] if found else np.zeros(0, np.int32)
        rows = np.concatenate(found)
        rows = rows[np.argsort(np.concatenate([np.arange(len(one)) for one in found]), kind="stable")]
        _, first = np.unique(rows, return_index=True)
        return rows[np.sort(first)][:limit].astype(np.int32)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Probability by place in each list."""
        rows = np.ascontiguousarray(rows, np.int32)
        for k, listed in enumerate(self._rows(query)):
            look_up(listed, self._share(k, len(listed)), rows, self._place, mass[:, k : k + 1])
            rest[k] = self.settings.least_rest if len(listed) else np.nan

    def propose_all(self, queries: Sequence[Query], limit: int) -> list[I32]:
        """The same for each of B queries."""
        return propose_alike(self, queries, limit)

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `score_alike`."""
        score_alike(self, queries, rows, starts, mass, rest)

    def _share(self, rule: int, length: int) -> F32:
        """(length, 1) the probability of each place of a rule's list; the same array each time."""
        share = self._shares.get((rule, length))
        if share is None:
            places = self.settings.rules[rule].falloff ** np.arange(length)
            share = ((1.0 - self.settings.least_rest) * places / max(places.sum(), 1e-30)).astype(np.float32)[:, None]
            self._shares[rule, length] = share
        return share

    def because(self, query: Query, rows: I32) -> I32:
        """A rule owes nothing to the history."""
        return np.full(len(rows), NO_ROW, np.int32)

    def state(self) -> Arrays:
        """Births, expiries, and what each list holds."""
        whole: Arrays = {"born_ms": self._born_ms, "expires_ms": self._expires_ms, "events": self._events}
        for k, one in enumerate(self._lists):
            whole |= {f"{k}.{name}": array for name, array in one.state().items()}
        return whole

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        self.grow(len(arrays["born_ms"]), 0)
        self._born_ms, self._expires_ms = np.array(arrays["born_ms"]), np.array(arrays["expires_ms"])
        self._events = np.array(arrays["events"])
        self._lately.clear()
        self._place = np.zeros(len(self._born_ms), np.int32)
        for k, one in enumerate(self._lists):
            part = f"{k}."
            one.load({name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)})

    def _count(self, step: Step) -> None:
        if _note_births(step.ts_ms, step.item, self._born_ms):
            for one in self._lists:
                one.forget_order()
        for one in self._lists:
            one.count(step, self._known.kind_row)

    def _rows(self, query: Query) -> list[I32]:
        """Each rule's list for a query; empty where it does not apply. One search serves all who ask at a moment."""
        key = (query.now_ms, query.scenario)
        kept = self._lately.get(key)
        if kept is not None:
            return kept
        found: list[I32] = []
        for rule, one in zip(self.settings.rules, self._lists, strict=True):
            scenarios = {self._known.scenario_row(name) for name in rule.scenarios} - {NO_ROW}
            if rule.scenarios and query.scenario not in scenarios:
                found.append(np.zeros(0, np.int32))
            else:
                ordered = one.ordered(self._born_ms, self._known.item_row)
                found.append(self._present(ordered, query.now_ms, rule.max_age_s, rule.limit))
        return self._lately.put(key, found)

    def _present(self, ordered: I32, now_ms: int, max_age_s: float, limit: int) -> I32:
        """The first items of a list that exist at the moment and are not too old; mostly found near its start."""
        for part in (ordered[: 4 * limit], ordered):
            here = self._expires_ms[part] > now_ms
            if max_age_s > 0:
                here &= self._born_ms[part] >= now_ms - 1e3 * max_age_s
            kept = part[here][:limit]
            if len(kept) == limit:
                break
        return kept


@njit(cache=True)
def _note_births(ts_ms: I64, item: I32, born_ms: I64) -> bool:
    """Note the earliest of the times of items that nobody knew before the run, in place; whether there are any."""
    found = False
    for b in range(len(item)):
        found = found or born_ms[item[b]] == UNBORN_MS
    if not found:
        return False
    new = np.empty(len(item), np.bool_)
    for b in range(len(item)):
        new[b] = born_ms[item[b]] == UNBORN_MS
    for b in range(len(item)):
        if new[b]:
            born_ms[item[b]] = min(born_ms[item[b]], ts_ms[b])
    return True
