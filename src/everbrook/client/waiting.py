"""Events that wait to be sent together, and those that the server refused; sending is elsewhere."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import msgspec

from everbrook.client.asks import Told, raw_event
from everbrook.errors import EverbrookError, InputError, RecordError
from everbrook.events.records import Event

MOST_KEPT = 1000  # refused events that are kept to be told
_FAULTS_OF_EVENTS = frozenset({"bad_input", "too_large"})  # of the whole batch, or of one event that is not named


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that the server refused.

    Args:
        event: as it was sent.
        why: the server's sentence.
    """

    event: dict[str, Any]
    why: str


class RefusedError(RecordError):
    """The server refused events of a batch, which were taken out; the others were sent.

    Args:
        count: how many.
        refusals: the first of them.
    """

    def __init__(self, count: int, refusals: tuple[Refusal, ...]) -> None:
        first = refusals[0]
        super().__init__(
            f"Every event must be one that the server takes; {count} of this batch {'was' if count == 1 else 'were'} "
            f"not and {'is' if count == 1 else 'are'} taken out, the others were sent. "
            f"{'It' if count == 1 else 'The first'} has the id '{first.event['id']}': {first.why}"
        )
        self.count = count
        self.refusals = refusals


class Waiting:
    """What waits, in its order. One sender at a time asks for the next and says what came of it; anybody adds.

    Args:
        count: so many are sent at once, fewer where the server does not take so many.
        most: so many may wait.
    """

    def __init__(self, count: int, most: int) -> None:
        self._count, self._most, self._at_once = count, most, count
        self._events: list[msgspec.Raw] = []
        self._lock = threading.Lock()
        self._refused, self._refusals = 0, list[Refusal]()
        self.sent = 0  # events so far
        self.failure: EverbrookError | None = None  # why the last try failed

    def add(self, event: Event | Told) -> bool:
        """Let an event wait; whether there are enough to be sent.

        Raises:
            InputError: too many wait, for the server does not take them.
            RecordError: it cannot be written as JSON.
        """
        raw = raw_event(event)
        with self._lock:
            if len(self._events) >= self._most:
                raise InputError(f"At most {self._most} events must wait; the server takes none: {self.failure}.")
            self._events.append(raw)
            return len(self._events) >= self._count

    def next(self) -> list[msgspec.Raw]:
        """What is to be sent now; nothing where nothing waits."""
        with self._lock:
            return self._events[: self._at_once]

    def taken(self, count: int) -> None:
        """The server has the first so many."""
        with self._lock:
            del self._events[:count]
        self.sent, self.failure = self.sent + count, None

    def not_taken(self, some: list[msgspec.Raw], error: EverbrookError) -> None:
        """The server did not take these, the first ones: where one of them is at fault it is taken out.

        A wrong one that is not named is looked for: half as many are sent the next time.

        Raises:
            EverbrookError: no event is at fault; all wait for the next time.
        """
        if not isinstance(error, RecordError) and error.type not in _FAULTS_OF_EVENTS:
            self.failure = error
            raise error
        position = error.position if isinstance(error, RecordError) else None
        if position is None or position >= len(some):
            if len(some) > 1:
                self._at_once = len(some) // 2
                return
            position = 0
        self._at_once = self._count
        with self._lock:
            del self._events[position]
            self._refused += 1
            if len(self._refusals) < MOST_KEPT:
                why = error.message.removeprefix(f"Record {position}: ")
                self._refusals.append(Refusal(msgspec.json.decode(some[position]), why))

    def tell(self) -> None:
        """Tell of what was refused since this was called last.

        Raises:
            RefusedError: something was.
        """
        with self._lock:
            count, refusals = self._refused, tuple(self._refusals)
            self._refused, self._refusals = 0, []
        if count:
            raise RefusedError(count, refusals)
