"""What a page shows of a recommender: histories with titles, the catalogue, counts, quality over time, a glance at all
of it. Reading alone; nothing here changes anything."""

from __future__ import annotations

import os
import threading
import time
from functools import cached_property
from typing import Any, Literal

import numpy as np

from everbrook.engine.core import Core
from everbrook.engine.keeping import Snapshot
from everbrook.engine.living import Living
from everbrook.engine.marks import Marks
from everbrook.engine.quality import SPANS, Quality
from everbrook.engine.refitting import Refitting
from everbrook.engine.standing import standing
from everbrook.errors import InputError, NotFoundError, UnknownNameError
from everbrook.events.log import Log
from everbrook.events.records import ItemChange
from everbrook.types import NO_ROW, Bool, Clock

MOST = 200  # items, people or events in an answer
MOST_SCANNED = 200_000  # ids that a search looks through
MOST_ASKED = 1_000  # users whose histories are looked at for who takes an item
MOST_TAKERS = 24
PATIENCE_S = 0.2  # with a learner that is busy
FAMILIES = ("popularity", "transitions")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Shown = Literal["all", "visible", "hidden"]


class Browsing:
    """The part of a recommender for who looks at it."""

    log: Log
    clock: Clock
    live: Living
    refitting: Refitting
    errors: list[str]
    _core: Core
    _lock: threading.RLock
    _published: Snapshot
    _opened_ms: int
    _lists: int
    _live_before: dict[str, Any] | None = None  # how the live model stood when it last answered
    _asking: threading.Thread | None = None  # who asks it

    def update(self, stop: int | None = None) -> int:
        """Learn what the log has; see `Recommender`."""
        raise NotImplementedError

    @cached_property
    def quality(self) -> Quality:
        """How right lists were lately."""
        return Quality(self._core.mixture)

    @cached_property
    def _marks(self) -> Marks:
        return Marks(self.log)

    # -- people and items ----------------------------------------------------------------------------------------

    def history(self, user: str | None = None, session: str | None = None, k: int = 50) -> dict[str, Any]:
        """What is known that somebody did, newest first, with titles; nothing for a stranger.

        Args:
            user: id of a user.
            session: id of a session, for a guest.
            k: how many events at most.
        """
        _check_k(k)
        with self._lock:
            state = self._core.state
            query = state.query(now_ms=self.clock.now_ms(), user=user, session=session)
            past = zip(query.items.tolist(), query.times.tolist(), query.kinds.tolist(), strict=True)
            events = [
                {"item": state.items.id(item), "title": state.catalogue.title(item), "ts": ts_ms,
                 "kind": state.kinds.names.id(kind)}
                for item, ts_ms, kind in list(past)[: -k - 1 : -1]
            ]  # fmt: skip
            return {"events": events, "known": query.actor != NO_ROW}

    def people(self, search: str = "", k: int = 20) -> dict[str, Any]:
        """Ids of users, the latest come first, with the number of events that are kept of each.

        Args:
            search: a piece of the id; all where empty.
            k: how many at most.
        """
        _check_k(k)
        with self._lock:
            state = self._core.state
            count, found = len(state.users), []
            wanted = search.casefold()
            for row in range(count - 1, max(-1, count - MOST_SCANNED - 1), -1):
                name = state.users.id(row)
                if name and wanted in name.casefold():
                    past = state.histories.past(state.histories.actor_of(row, NO_ROW, named=True))
                    found.append({"id": name, "events": len(past)})
                    if len(found) >= k:
                        break
            return {"people": found, "known": count}

    def catalogue(self, search: str = "", shown: Shown = "all", k: int = 20, start: int = 0) -> dict[str, Any]:
        """Items, those with which most happened first.

        Args:
            search: a piece of the title or the id; all where empty.
            shown: all, those that may be shown, or those that are hidden.
            k: how many at most.
            start: how many to pass over.
        """
        _check_k(k)
        if shown not in ("all", "visible", "hidden"):
            raise UnknownNameError("choice", shown, ("all", "visible", "hidden"))
        if start < 0:
            raise InputError(f"'start' must be at least 0; got {start}.")
        with self._lock:
            state, now_ms = self._core.state, self.clock.now_ms()
            n = state.n_items
            there = self._matching(search, n)
            hidden = state.catalogue.hidden(n)
            if shown != "all":
                there &= hidden if shown == "hidden" else state.visible(now_ms)
            totals = state.counters.totals(n, now_ms)
            rows = np.flatnonzero(there)
            rows = rows[np.lexsort((rows, -totals[rows]))]
            page = rows[start : start + k].tolist()
            items = [self._item(row) | {"events": round(float(totals[row]))} for row in page]
            return {"items": items, "found": len(rows), "known": n, "hidden": int(hidden.sum())}

    def _matching(self, search: str, n: int) -> Bool:
        """(N,) the items whose title or id holds a piece of text and which are not gone."""
        state = self._core.state
        there: Bool = np.ones(n, np.bool_)
        if search:
            there = state.catalogue.titles.holding(search, n).copy()
            wanted, names = search.casefold(), state.items.names()
            if n <= MOST_SCANNED:
                there |= np.fromiter((wanted in name.casefold() for name in names), np.bool_, n)
            elif (row := state.items.row(search)) != NO_ROW:
                there[row] = True
        there[state.catalogue.gone] = False
        return there

    def _item(self, row: int) -> dict[str, Any]:
        catalogue = self._core.state.catalogue
        record = catalogue.get(row) or ItemChange(id="-")
        return {
            "id": self._core.state.items.id(row), "title": record.title or None, "hidden": record.hidden is True,
            "categories": record.categories or [], "made": bool(record.tags and "made" in record.tags),
        }  # fmt: skip

    def look(self, item: str) -> dict[str, Any]:
        """All about one item: its record, who takes it, and how often it is taken by half-lives of the counters.

        Args:
            item: its id.

        Raises:
            NotFoundError: nobody has named the item.
        """
        with self._lock:
            state = self._core.state
            row = state.items.row(item)
            if row == NO_ROW:
                raise NotFoundError("This item must have been sent before; nothing is known of it.")
            record = state.catalogue.get(row) or ItemChange(id=item)
            kinds, places = state.kinds.names.names(), state.scenarios.names()
            found, rates = state.counters.of_item(row, self.clock.now_ms())
            by_kind, by_place = np.zeros(len(kinds)), np.zeros(len(places) + 1)  # the last: none
            for (place, kind), events in found.items():
                by_kind[kind] += events
                by_place[place] += events
            names = [*places, None]
            return {
                "item": item, "title": record.title or None, "text": record.text or None,
                "categories": record.categories or [], "tags": record.tags or [],
                "properties": record.properties or {}, "hidden": record.hidden is True, "events": int(by_kind.sum()),
                "by_kind": [{"kind": kinds[at], "events": int(by_kind[at])} for at in np.flatnonzero(by_kind).tolist()],
                "by_scenario": [
                    {"scenario": names[at], "events": int(by_place[at])} for at in np.flatnonzero(by_place).tolist()
                ],
                "trend": [{"half_life_s": half_life_s, "per_hour": per_hour} for half_life_s, per_hour in rates],
                "takers": self._takers(row),
            }  # fmt: skip

    def _takers(self, row: int) -> list[dict[str, Any]]:
        """Users who took an item, among those who came last."""
        state, found = self._core.state, []
        count = len(state.users)
        for user in range(count - 1, max(-1, count - 1 - MOST_ASKED), -1):
            name = state.users.id(user)
            past = state.histories.past(state.histories.actor_of(user, NO_ROW, named=True))
            at = np.flatnonzero(past.items == row)
            if name and len(at):
                found.append({"id": name, "ts": int(past.times[at[-1]])})
                if len(found) >= MOST_TAKERS:
                    break
        return found

    # -- how it stands -------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, Any]:
        """How many events there were, by kind and by scenario, and what each kind says."""
        with self._lock:
            state = self._core.state
            kinds, places = state.kinds.names.names(), state.scenarios.names()
            weights, totals = state.kinds.weights().tolist(), state.kinds.events().tolist()
            found = state.counters.by_place()
            return {
                "events": self._core.events, "items": state.n_items, "actors": state.n_actors,
                "users": len(state.users), "records": len(state.catalogue),
                "kinds": [
                    {"kind": name, "events": total, "weight": weight}
                    for name, total, weight in zip(kinds, totals, weights, strict=True)
                ],
                "by_scenario": [
                    {"scenario": None if place == NO_ROW else places[place], "kind": kinds[kind], "events": count}
                    for (place, kind), count in found.items()
                ],
            }  # fmt: skip

    def learning(self, span: str = "hour", scenario: str | None = None, since_ms: int = 0) -> dict[str, Any]:
        """Quality over time, test-then-train, of the systems that a page compares; and what was decided meanwhile.

        Args:
            span: 'hour' or 'days'.
            scenario: of which events; all where None.
            since_ms: what ended before is left out.
        """
        if span not in SPANS:
            raise UnknownNameError("span", span, SPANS)
        now_ms = self.clock.now_ms()
        with self._lock:
            row, mixture = self._core.state.scenario_row(scenario), self._core.mixture
            best = {family: self.quality.best(mixture, family) for family in FAMILIES}
        named = {"live": "live", "anchor": "anchor", "mixture": "mixture"}
        named |= {family: name for family, name in best.items() if name is not None}
        told = self.quality.told(span, row, now_ms, since_ms, tuple(named.values()))
        systems = {shown: told["systems"][name] for shown, name in named.items() if name in told["systems"]}
        return told | {
            "systems": systems, "columns": named, "now_ms": now_ms, "span": span, "scenario": scenario,
            "top": 20, "marks": self._marks.last(100),
        }  # fmt: skip

    def weights_at(self) -> dict[str, Any]:
        """Which live weights answer, and up to where they have learned; None where nothing learns live."""
        stamp = self.live.stamp
        return {"offset": stamp and stamp.offset, "version": stamp and stamp.version}

    def glance(self) -> dict[str, Any]:
        """Where everything stands, cheap enough for twice a second: `status` without what has to be looked up."""
        self.update()
        with self._lock:
            found = standing(self._core, self.log.end)
        live = self._live_glance()
        shot, now_ms = self._published, self.clock.now_ms()
        process = live.get("process") or {}
        return found | {
            "version": {"name": shot.version, "offset": shot.offset, "age_ms": max(0, now_ms - shot.published_ms)},
            "live": live, "refit": self.refitting.status(), "lists": self._lists, "now_ms": now_ms,
            "up_s": (now_ms - self._opened_ms) / 1000.0,
            "last_errors": [*self.errors, *process.get("last_errors", ())][-10:],
            "memory": {
                "server_bytes": resident_bytes(os.getpid()), "learner_bytes": resident_bytes(process.get("pid")),
            },
        }  # fmt: skip

    def _live_glance(self) -> dict[str, Any]:
        """How the live model stands; a learner that has other things to do is waited for by somebody else."""
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._ask_live, name="everbrook-glance", daemon=True)
            self._asking.start()
        self._asking.join(PATIENCE_S)
        supervisor, told = self.live.supervisor, dict(self._live_before or {"mode": "off", "stage": None})
        if supervisor is not None:
            lately = supervisor.freshness.lately(time.monotonic())
            told |= {"mode": "process", "process": supervisor.status() | {"freshness": lately}}
        return told

    def _ask_live(self) -> None:
        told = self.live.status()
        self._live_before = (self._live_before or {}) | told if "note" in told else told


def resident_bytes(pid: int | None) -> int:
    """Resident memory of a process; 0 where it is not there."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def _check_k(k: int) -> None:
    if not 1 <= k <= MOST:
        raise InputError(f"'k' must be between 1 and {MOST}; got {k}.")
