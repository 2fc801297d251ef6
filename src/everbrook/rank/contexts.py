"""The buckets of context in which the mixture keeps weights of its own."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numba import njit

from everbrook.types import I64, Query

POOLS = ("pool/all", "pool/session", "pool/actor", "pool/scenario")
SESSION_EDGES = (1, 2, 3, 5, 10)  # events so far in the session
ACTOR_EDGES = (1, 5, 20)  # events known of the actor
SCENARIOS = 32  # scenarios with a bucket of their own; later ones share the last
BUCKETS = SCENARIOS + 1  # the most that a pool has
_POOLS = len(POOLS)
STACK_CONTEXTS = (len(SESSION_EDGES) + 1) * (len(ACTOR_EDGES) + 1)


@njit(cache=True)
def bucket_all(scenario, n, session_n, out):  # type: ignore[no-untyped-def]
    """The bucket of one event in each pool, into out (J,); see `Step` for what is given."""
    out[:] = 0
    for edge in SESSION_EDGES:
        out[1] += session_n >= edge
    for edge in ACTOR_EDGES:
        out[2] += n >= edge
    out[3] = min(scenario + 1, SCENARIOS)


@njit(cache=True)
def of_events(scenario, n, session_n):  # type: ignore[no-untyped-def]
    """(B, J) the bucket of each event in each pool; see `Step` for what is given."""
    out = np.empty((len(n), _POOLS), np.int64)
    for b in range(len(n)):
        bucket_all(scenario[b], n[b], session_n[b], out[b])
    return out


def of_query(query: Query) -> I64:
    """(J,) the bucket of a query in each pool."""
    of_session, of_actor = bisect_right(SESSION_EDGES, query.session_n), bisect_right(ACTOR_EDGES, len(query.items))
    return np.array((0, of_session, of_actor, min(query.scenario + 1, SCENARIOS)), np.int64)


@njit(cache=True)
def stack_of(buckets):  # type: ignore[no-untyped-def]
    """The stacker's context, of (J,) buckets: length of the session x how well the actor is known."""
    return buckets[1] * (len(ACTOR_EDGES) + 1) + buckets[2]


def for_stack(buckets: I64) -> int:
    """The same outside of kernels."""
    return int(buckets[1]) * (len(ACTOR_EDGES) + 1) + int(buckets[2])
