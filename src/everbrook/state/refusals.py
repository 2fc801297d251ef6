"""What no state can hold, found before anything is changed. Callers' input is checked earlier, in `events`."""

from __future__ import annotations

from numba import njit

from everbrook.errors import RecordError
from everbrook.events.columns import EventColumns
from everbrook.state.blocks import TIME_BITS
from everbrook.types import I32, I64

_BOUND_MS = 1 << TIME_BITS
_FINE, _NO_ITEM, _NO_ACTOR, _BAD_TIME = 0, 1, 2, 3


def refuse(columns: EventColumns) -> None:
    """Raise for the first event that has no item, neither user nor session, or an impossible time.

    Raises:
        RecordError: there is such an event.
    """
    b, fault = _first_fault(columns.ts_ms, columns.user.codes, columns.session.codes, columns.item.codes)
    if fault == _NO_ITEM:
        raise RecordError("An event must have an item; got none.", b)
    if fault == _NO_ACTOR:
        raise RecordError("An event must have a user or a session; got neither.", b)
    if fault == _BAD_TIME:
        got = int(columns.ts_ms[b])
        raise RecordError(f"A time must be milliseconds since 1970, within 4,400 years of it; got {got}.", b)


@njit(cache=True)
def _first_fault(ts_ms: I64, user: I32, session: I32, item: I32) -> tuple[int, int]:
    for b in range(len(ts_ms)):
        if item[b] < 0:
            return b, _NO_ITEM
        if user[b] < 0 and session[b] < 0:
            return b, _NO_ACTOR
        if not -_BOUND_MS <= ts_ms[b] < _BOUND_MS:
            return b, _BAD_TIME
    return 0, _FINE
