"""Rule-based lists: a filter and an order from the settings, each a column with falling probability by place.

Not the business rules of a request (exclude, pin, boost); those are applied to the mixture's list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from everbrook.events.records import ItemChange
from everbrook.models.rules_given import Listed, listed_of, look_up
from everbrook.models.rules_lists import RuleList
from everbrook.settings.rules import RulesSettings
from everbrook.types import F32, I32, I64, NO_ROW, Arrays, Query, Step

UNBORN_MS = int(np.iinfo(np.int64).max)
MOST = 32
"""Scenarios of which is kept what they are given."""


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
        self._events = np.zeros(1, np.int64)
        self._found: dict[tuple[int, ...], Listed] = {}
        self._named = any(rule.scenarios or rule.order == "manual" for rule in self.settings.rules)
        self._shares: dict[tuple[int, int], F32] = {}

    def put(self, rows: I32, records: Sequence[ItemChange | None]) -> None:
        """Say what items are, in place of what was known; None hides the item."""
        self._found.clear()
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
        if items <= len(self._born_ms):
            return
        self._found.clear()
        size = max(items, 2 * len(self._born_ms))
        more = size - len(self._born_ms)
        self._born_ms = np.concatenate((self._born_ms, np.full(more, UNBORN_MS, np.int64)))
        self._expires_ms = np.concatenate((self._expires_ms, np.full(more, UNBORN_MS, np.int64)))
        for one in self._lists:
            one.grow(size)

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Note births and count; all columns stay asleep."""
        mass[:] = 0.0
        rest[:] = np.nan
        every, start = self.settings.refresh_events, 0
        while start < len(step):
            stop = min(len(step), start + every - int(self._events[0]) % every)
            self._count(step if stop - start == len(step) else step.slice(start, stop))
            self._events[0] += stop - start
            if self._events[0] % every == 0 and True in [one.refresh() for one in self._lists]:
                self._found.clear()
            start = stop

    def propose(self, query: Query, limit: int) -> I32:
        """The lists in turn, each from its start."""
        return self._listed(query).rows[:limit].copy()

    def propose_into(self, queries: Sequence[Query], limit: int, found: I32, kept: I64) -> None:
        """The same for each of B queries; see `types.Expert`."""
        for b, query in enumerate(queries):
            rows = self._listed(query).rows[:limit]
            found[b, : len(rows)], kept[b] = rows, len(rows)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Probability by place in each list."""
        self.score_all([query], rows, [0, len(rows)], mass, rest[None])

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        first, rows = 0, np.ascontiguousarray(rows, np.int32)
        while first < len(queries):  # those that are given the same lists at once
            one, stop = self._listed(queries[first]), first + 1
            while stop < len(queries) and self._listed(queries[stop]) is one:
                stop += 1
            rest[first:stop] = one.rest
            if starts[stop] > starts[first] and len(one.rest):
                look_up(one.table, one.rows, one.mass, rows, starts[first], starts[stop], mass)
            first = stop

    def _share(self, rule: int, length: int) -> F32:
        """(length,) the probability of each place of a rule's list; the same array each time."""
        share = self._shares.get((rule, length))
        if share is None:
            places = self.settings.rules[rule].falloff ** np.arange(length)
            share = ((1.0 - self.settings.least_rest) * places / max(places.sum(), 1e-30)).astype(np.float32)
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
        self._found.clear()
        for k, one in enumerate(self._lists):
            part = f"{k}."
            one.load({name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)})

    def _count(self, step: Step) -> None:
        born = _note_births(step.ts_ms, step.item, self._born_ms)
        if len(born):
            self._found.clear()
            for one in self._lists:
                one.move(born)
        for one in self._lists:
            one.count(step, self._known.kind_row)

    def _listed(self, query: Query) -> Listed:
        """What a query is given; found anew where something changed, an item has expired or is too old by now."""
        key = self._key(query)
        kept = self._found.get(key)
        if kept is not None and kept.since_ms <= query.now_ms < kept.until_ms:
            return kept
        if len(self._found) >= MOST:
            self._found.clear()
        found, until_ms = [], UNBORN_MS
        for rule, one in zip(self.settings.rules, self._lists, strict=True):
            scenarios = {self._known.scenario_row(name) for name in rule.scenarios} - {NO_ROW}
            if rule.scenarios and query.scenario not in scenarios:
                found.append(np.zeros(0, np.int32))
            else:
                ordered = one.ordered(self._born_ms, self._known.item_row)
                rows, until = self._present(ordered, query.now_ms, rule.max_age_s, rule.limit)
                found.append(rows)
                until_ms = min(until, until_ms)
        shares = [self._share(k, len(rows)) for k, rows in enumerate(found)]
        made = listed_of(found, shares, self.settings.least_rest, query.now_ms, until_ms)
        self._found[key] = made
        return made

    def _key(self, query: Query) -> tuple[int, ...]:
        """What the lists depend on beside the moment: the scenario, and names that may become known at any time."""
        if not self._named:
            return ()
        known, rules = self._known, self.settings.rules
        scenarios = [known.scenario_row(name) for rule in rules for name in rule.scenarios]
        items = [known.item_row(name) for rule in rules if rule.order == "manual" for name in rule.items]
        return (query.scenario, *scenarios, *items)

    def _present(self, ordered: I32, now_ms: int, max_age_s: float, limit: int) -> tuple[I32, int]:
        """The first items of a list that exist at the moment and are not too old; mostly found near its start.

        Returns:
            The rows, and until when they are the first: those that are gone stay gone.
        """
        oldest_ms = now_ms - 1e3 * max_age_s
        for part in (ordered[: 4 * limit], ordered):
            here = self._expires_ms[part] > now_ms
            if max_age_s > 0:
                here &= self._born_ms[part] >= oldest_ms
            kept = part[here][:limit]
            if len(kept) == limit:
                break
        until_ms = int(self._expires_ms[kept].min(initial=UNBORN_MS))
        if max_age_s > 0:
            until_ms = min(until_ms, int(self._born_ms[kept].min(initial=UNBORN_MS)) + int(1e3 * max_age_s) + 1)
        return kept, until_ms


@njit(cache=True)
def _note_births(ts_ms: I64, item: I32, born_ms: I64) -> I32:
    """Note the earliest of the times of items that nobody knew before the run, in place; gives them, some twice."""
    found = False
    for b in range(len(item)):
        found = found or born_ms[item[b]] == UNBORN_MS
    if not found:
        return np.empty(0, np.int32)
    new = np.empty(len(item), np.bool_)
    for b in range(len(item)):
        new[b] = born_ms[item[b]] == UNBORN_MS
    for b in range(len(item)):
        if new[b]:
            born_ms[item[b]] = min(born_ms[item[b]], ts_ms[b])
    return item[new]
