"""Made traffic: a made world, or the last day of a log, played into a recommender as if it happened now.

Everything that is played is marked: users, sessions and (of a world) items have ids that begin with 'made-', events
carry {"made": true} in their context, items the tag 'made'. It goes the way that all events go.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from everbrook.errors import BusyError, EverbrookError, InputError, NotReadyError
from everbrook.events.columns import EventColumns
from everbrook.events.records import Event, ItemChange
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender

MARK = "made-"
TAG = "made"
LOG = "log"
WORLDS = ("shop", "news", "flip")
MOST_PER_S = 2_000.0
TICK_S = 0.05
LISTS_PER_S = 5.0
LOOKED_BACK = 200_000  # records of the log among which its last day is looked for
LEAST_EVENTS = 20_000  # that are played of a log, even where its last day has fewer
DAY_MS = 86_400_000
MOST_FOUND = 200

OnTook = Callable[[float], None]


class Playing:
    """Plays one source at a time, in a thread. Safe to call from several threads.

    Args:
        engine: what it is played into.
    """

    def __init__(self, engine: Recommender) -> None:
        self._engine = engine
        self.took: OnTook = lambda _: None  # told how long each batch of events took to be in every list
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._told: dict[str, Any] = {
            "state": "stopped", "source": None, "per_s": 0.0, "sent": 0, "since_ms": None, "error": None,
        }  # fmt: skip

    def status(self) -> dict[str, Any]:
        """What is played, and what may be."""
        with self._lock:
            return self._told | {"sources": [*WORLDS, LOG], "most_per_s": MOST_PER_S}

    def start(self, source: str, per_s: float) -> dict[str, Any]:
        """Begin to play; where something plays already, only its rate changes.

        Args:
            source: a world's name, or 'log' for the last day of what the log has.
            per_s: events a second.

        Raises:
            InputError: the source is unknown or the rate out of range.
            NotReadyError: the log has nothing to play.
            BusyError: another source plays.
        """
        if source not in (*WORLDS, LOG):
            raise InputError(f"'source' must be one of {', '.join((*WORLDS, LOG))}; got '{source}'.")
        if not 0.0 < per_s <= MOST_PER_S:
            raise InputError(f"'per_s' must be above 0 and at most {MOST_PER_S:g}; got {per_s:g}.")
        with self._lock:
            if self._told["state"] == "playing":
                if self._told["source"] != source:
                    raise BusyError(f"'{self._told['source']}' must be stopped before '{source}' plays.")
                self._told["per_s"] = per_s
                return dict(self._told)
            parts = self._of_log() if source == LOG else self._of_world(source)
            self._ending.clear()
            self._told |= {"state": "playing", "source": source, "per_s": per_s, "sent": 0, "error": None,
                           "since_ms": self._engine.clock.now_ms()}  # fmt: skip
            self._thread = threading.Thread(target=self._run, args=(parts,), name="everbrook-made", daemon=True)
            self._thread.start()
            return dict(self._told)

    def stop(self, hide: bool = False) -> dict[str, Any]:
        """Play no more.

        Args:
            hide: whether the made items are hidden from lists.
        """
        self._ending.set()
        thread = self._thread
        if thread is not None:
            thread.join(10.0)
        if hide:
            self._hide()
        return self.status()

    def _hide(self) -> None:
        """Hide what was made: the items are found a page at a time, and leave what is found when they are hidden."""
        start = 0
        while found := self._engine.catalogue(MARK, "visible", MOST_FOUND, start)["items"]:
            made = [ItemChange(id=one["id"], hidden=True) for one in found if one["made"]]
            start += len(found) - len(made)
            if made:
                self._engine.put_items(made)

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self, parts: Iterator[list[Event]]) -> None:
        error = None
        try:
            self._play(itertools.chain.from_iterable(parts))
        except EverbrookError as failure:
            error = failure.message
        except Exception as failure:  # noqa: BLE001  whatever it was, lists go on and the page says so
            error = f"Playing ended with {type(failure).__name__}: {failure}."
        with self._lock:
            self._told |= {"state": "stopped", "error": error}

    def _play(self, events: Iterator[Event]) -> None:
        owed, then_s, lists = 0.0, time.monotonic(), 0.0
        while not self._ending.wait(TICK_S):
            now_s = time.monotonic()
            per_s = float(self._told["per_s"])
            owed = min(owed + per_s * (now_s - then_s), per_s)  # what could not be sent in a second is left out
            lists, then_s = min(lists + LISTS_PER_S * (now_s - then_s), 1.0), now_s
            if owed < 1.0:
                continue
            batch = list(itertools.islice(events, int(owed)))
            owed -= int(owed)
            if not batch:  # all was played
                return
            began_s = time.monotonic()
            self._engine.ingest(batch)
            self.took(time.monotonic() - began_s)
            with self._lock:
                self._told["sent"] += len(batch)
            if lists >= 1.0:
                lists -= 1.0
                self._engine.recommend(user=batch[-1].user, session=batch[-1].session, explain=False)

    # -- sources -------------------------------------------------------------------------------------------------

    def _of_world(self, name: str) -> Iterator[list[Event]]:
        """A world without end: where one is over, the next one begins, with the same items and another seed."""
        for seed in itertools.count():
            world = World(preset(name, seed=seed))
            known_ms = 0
            for columns in world.runs():
                for start in range(0, len(columns), 1_000):
                    part = columns.slice(start, min(start + 1_000, len(columns))).compact()
                    until_ms = int(part.ts_ms[-1]) + 1
                    born = world.item_changes(known_ms or None, until_ms)
                    known_ms = until_ms
                    if born:
                        self._engine.put_items([self._marked(one) for one in born])
                    yield [_played(one, MARK) for one in part.records()]

    def _marked(self, item: ItemChange) -> ItemChange:
        now_ms = self._engine.clock.now_ms()
        return msgspec.structs.replace(
            item, id=MARK + item.id, tags=[TAG], ts=now_ms, expires=msgspec.UNSET, hidden=False
        )

    def _of_log(self) -> Iterator[list[Event]]:
        """The last day of the log, once, by users who are not the same."""
        log = self._engine.log
        columns = log.read_events(max(0, log.end - LOOKED_BACK), leave_out=("id", "request", "position", "context"))
        columns = columns.take(np.array([not name.startswith(MARK) for name in _names(columns)], np.bool_))
        if not len(columns):
            raise NotReadyError("The log must hold events before its last day can be played; it has none.")
        columns = columns.take(np.argsort(columns.ts_ms, kind="stable"))
        first = int(np.searchsorted(columns.ts_ms, columns.ts_ms[-1] - DAY_MS))
        columns = columns.slice(min(first, max(0, len(columns) - LEAST_EVENTS)), len(columns)).compact()
        return _in_parts(columns)


def _in_parts(columns: EventColumns) -> Iterator[list[Event]]:
    for start in range(0, len(columns), 1_000):
        part = columns.slice(start, min(start + 1_000, len(columns)))
        yield [_played(one, "") for one in part.records()]


def _names(columns: EventColumns) -> list[str]:
    """Who did each event: the user, else the session."""
    return [user or session or "" for user, session in zip(columns.user.texts(), columns.session.texts(), strict=True)]


def _played(event: Event, items: str) -> Event:
    """An event as it is played, now.

    Args:
        event: as it was.
        items: what the id of its item begins with.
    """
    return Event(
        item=items + event.item, user=None if event.user is None else MARK + event.user, kind=event.kind,
        session=None if event.session is None else MARK + event.session, scenario=event.scenario, value=event.value,
        context={"made": True},
    )  # fmt: skip
