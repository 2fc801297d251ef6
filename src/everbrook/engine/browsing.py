"""What a page shows of a recommender: histories with titles, people, the catalogue, single items.

Reading alone; nothing here changes anything.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from everbrook.engine.glancing import Glancing
from everbrook.errors import InputError, NotFoundError, UnknownNameError
from everbrook.events.records import ItemChange
from everbrook.types import NO_ROW, Bool

MOST = 200  # items, people or events in an answer
MOST_SCANNED = 200_000  # ids that a search looks through
MOST_ASKED = 1_000  # users whose histories are looked at for who takes an item
MOST_TAKERS = 24

Shown = Literal["all", "visible", "hidden"]


class Browsing(Glancing):
    """The part of a recommender for who looks at it."""

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


def _check_k(k: int) -> None:
    if not 1 <= k <= MOST:
        raise InputError(f"'k' must be between 1 and {MOST}; got {k}.")
