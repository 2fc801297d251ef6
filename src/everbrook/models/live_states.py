"""States that lists found for actors, kept for the moments in which nothing happens to them.

Memory: for 16,384 actors a state and its key, at width 64 some 320 bytes each, taken as they come.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.live_one import state_of
from everbrook.models.prefetch import prefetch
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, I64

_SETS, _WAYS = 4_096, 4  # where states are kept: an actor has its set, of which the oldest goes
_TAG, _COUNT, _DIGEST, _AHEAD, _AT_MS = range(5)
_KEY = 8  # numbers of a key; a line of memory
_LINE = 16  # numbers of a row that a line of memory holds
_LOWER = np.uint64(32)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing


class LiveStates:
    """Room for states.

    Args:
        settings: of the live model.
    """

    def __init__(self, settings: LiveSettings) -> None:
        count = _SETS * _WAYS if settings.state_s else 0
        self.keys: I64 = np.zeros((count, _KEY), np.int64)
        self.values: F32 = np.zeros((count, settings.width), np.float32)

    def forget_actor(self, actor: int) -> int:
        """Drop what was computed for an actor; how many states there were."""
        places = np.flatnonzero(self.keys[:, _TAG] >> 1 == actor + 1)
        self.keys[places], self.values[places] = 0, 0.0
        return len(places)


@njit(cache=True, nogil=True)
def states_of(asked, chosen, plain, edges, weights, shelf, terms, out):  # type: ignore[no-untyped-def]
    """The states of who asks: as they were computed before, where nothing has happened and they are young enough.

    Args:
        asked: (H,) items, (H,) times and (H,) kinds of histories, (B + 1, 3) `Portion.numbers` and (B,) actors.
        chosen: (Q,) whose of the B are wanted; each has a history.
        plain: a `Table`, as a plain tuple.
        edges: of the codes of gaps.
        weights: see `live_one.weights_of`.
        shelf: keys and values of `LiveStates`.
        terms: of a history the most events that are read; how old a state may be, milliseconds; 1 for the anchor's, 0.
        out: (Q, D), out.
    """
    items, times, kinds, numbers, actors = asked
    keys, values = shelf
    history, most_ms, anchor = terms
    table = plain[0]
    numbers_of, width = table.reshape(table.size), table.shape[1]
    for q in range(len(chosen)):  # memory is asked for the rows of all of them
        begin, stop = numbers[chosen[q], 0], numbers[chosen[q] + 1, 0]
        for place in range(max(begin, stop - history), stop):
            for d in range(0, width, _LINE):
                prefetch(numbers_of, np.int64(items[place]) * width + d)
    for q in range(len(chosen)):
        at = chosen[q]
        begin, stop, now_ms = numbers[at, 0], numbers[at + 1, 0], numbers[at, 2]
        place, tag = -1, 2 * (np.int64(actors[at]) + 1) + anchor
        if tag > 1 and len(keys):
            place = _place_of(keys, tag)
            key, ahead = keys[place], np.searchsorted(edges, now_ms - times[stop - 1])
            digest = _digest(items, times, kinds, max(begin, stop - history), stop)
            same = (
                key[_TAG] == tag and key[_COUNT] == stop - begin and key[_DIGEST] == digest and key[_AHEAD] == ahead
            )  # fmt: skip
            if same and 0 <= now_ms - key[_AT_MS] <= most_ms:
                out[q] = values[place]
                continue
            key[_TAG], key[_COUNT], key[_DIGEST], key[_AHEAD] = tag, stop - begin, digest, ahead
            key[_AT_MS] = now_ms
        own = slice(max(begin, stop - history), stop)
        state_of(plain, items[own], times[own], kinds[own], now_ms, edges, weights, out[q])
        if place >= 0:
            values[place] = out[q]


@njit(cache=True)
def _place_of(keys, tag):  # type: ignore[no-untyped-def]
    """Where a state is kept, or where it will be: in place of the oldest of its set."""
    first = int((np.uint64(tag) * _SPREAD) >> np.uint64(52)) * _WAYS
    oldest = first
    for place in range(first, first + _WAYS):
        if keys[place, _TAG] == tag:
            return place
        if keys[place, _AT_MS] < keys[oldest, _AT_MS]:
            oldest = place
    return oldest


@njit(cache=True)
def _digest(items, times, kinds, begin, stop):  # type: ignore[no-untyped-def]
    """64 bits of all that a state is computed of; what differs in one event's item, time or kind alone never agrees."""
    digest = np.uint64(0)
    for place in range(begin, stop):
        what = (np.uint64(items[place]) << _LOWER) + np.uint64(kinds[place])
        digest = (digest ^ (what * _SPREAD + np.uint64(times[place]))) * _SPREAD
        digest ^= digest >> _LOWER
    return np.int64(digest)
