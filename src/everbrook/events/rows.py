"""Questions about whole rows of event columns: which repeat an earlier one, whose come too fast."""

from __future__ import annotations

import numba
import numpy as np

from everbrook.events.columns import Coded, EventColumns
from everbrook.types import I32, I64, Bool

_MINUTE_MS = 60_000


def repeated_rows(columns: EventColumns) -> Bool:
    """(B,) true where an earlier row has the same in every column, or the same id.

    Rows are compared by 128 bits of hash: among a billion rows a false match has a probability below 1e-20. Where the
    times are in order only rows of equal time, which stand beside each other, are compared.
    """
    ts = columns.ts_ms
    if bool(np.all(ts[1:] >= ts[:-1])):
        mask, tied = np.zeros(len(columns), np.bool_), np.flatnonzero(_tied(ts))
        mask[tied] = _repeated_keys(columns.take(tied))
    else:
        mask = _repeated_keys(columns)
    if columns.id is not None:
        coded = columns.id
        seen = np.full(len(coded.names) + 1, len(columns), np.int64)
        seen[coded.codes[::-1]] = np.arange(len(columns) - 1, -1, -1)
        mask |= (coded.codes >= 0) & (seen[coded.codes] < np.arange(len(columns)))
    return mask


def fast_rows(columns: EventColumns, limit: int) -> tuple[Bool, int]:
    """Actors with more than `limit` events within a minute.

    Args:
        columns: events in time order.
        limit: events per minute.

    Returns:
        (B,) true for every row of such an actor; and how many actors there are.
    """
    actor, count = actors(columns)
    if int(np.bincount(actor, minlength=1).max()) <= limit:
        return np.zeros(len(actor), np.bool_), 0
    fast = _fast(actor, columns.ts_ms, count, limit, _MINUTE_MS)
    return fast[actor], int(np.count_nonzero(fast))


def actors(columns: EventColumns) -> tuple[I32, int]:
    """(B,) the user, or the session where no user is given, as numbers below the count that comes second."""
    users = len(columns.user.names)
    guest = np.where(columns.session.codes >= 0, columns.session.codes + np.int32(users), np.int32(0))
    actor = np.where(columns.user.codes >= 0, columns.user.codes, guest).astype(np.int32)
    return actor, users + len(columns.session.names) + 1


def _repeated_keys(columns: EventColumns) -> Bool:
    n = len(columns)
    one = np.full(n, 0x9E3779B97F4A7C15, np.uint64)
    two = np.full(n, 0xD1B54A32D192ED03, np.uint64)
    _mix(one, two, columns.ts_ms)
    _mix(one, two, columns.value.view(np.int32).astype(np.int64))
    for name in columns.__slots__:
        column = getattr(columns, name)
        if isinstance(column, Coded):
            if len(column.names) > 1 or bool((column.codes < 0).any()):
                _mix(one, two, column.codes)
        elif name == "position" and column is not None:
            _mix(one, two, column)
    return _repeated(one, two)


@numba.njit(cache=True)
def _tied(ts_ms: I64) -> np.ndarray:
    """True where the row before or after has the same time."""
    tied = np.zeros(len(ts_ms), np.bool_)
    for i in range(1, len(ts_ms)):
        if ts_ms[i] == ts_ms[i - 1]:
            tied[i - 1] = tied[i] = True
    return tied


@numba.njit(cache=True)
def _mix(one: np.ndarray, two: np.ndarray, values: np.ndarray) -> None:
    """Stir one column into both hashes, with the two multipliers of splitmix64."""
    for i in range(len(one)):
        v = np.uint64(values[i])
        a = (one[i] ^ v) * np.uint64(0xBF58476D1CE4E5B9)
        one[i] = a ^ (a >> np.uint64(29))
        b = (two[i] + v) * np.uint64(0x94D049BB133111EB)
        two[i] = b ^ (b >> np.uint64(31))


@numba.njit(cache=True)
def _repeated(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """True where an earlier row has both hashes: an open table of rows, probed in line."""
    n = len(one)
    size = 16
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, np.int32)
    again = np.zeros(n, np.bool_)
    for i in range(n):
        slot = np.int64(one[i] >> np.uint64(7)) & (size - 1)
        while table[slot] >= 0:
            other = table[slot]
            if one[other] == one[i] and two[other] == two[i]:
                again[i] = True
                break
            slot = (slot + 1) & (size - 1)
        if not again[i]:
            table[slot] = i
    return again


@numba.njit(cache=True)
def _fast(actor: I32, ts_ms: I64, count: int, limit: int, window_ms: int) -> np.ndarray:
    """True per actor with limit + 1 events inside the window; the events are counted apart by actor first."""
    start = np.zeros(count + 1, np.int64)
    for i in range(len(actor)):
        start[actor[i] + 1] += 1
    for a in range(count):
        start[a + 1] += start[a]
    fill = start[:count].copy()
    times = np.empty(len(actor), np.int64)
    for i in range(len(actor)):
        times[fill[actor[i]]] = ts_ms[i]
        fill[actor[i]] += 1
    fast = np.zeros(count, np.bool_)
    for a in range(count):
        for i in range(start[a] + limit, start[a + 1]):
            if times[i] - times[i - limit] < window_ms:
                fast[a] = True
                break
    return fast
