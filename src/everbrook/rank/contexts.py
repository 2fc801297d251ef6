"""The buckets of context in which the mixture keeps weights of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

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
def of_events(scenario, n, session_n):  # type: ignore[no-untyped-def]
    """(B, J) the bucket of each event in each pool; see `Step` for what is given."""
    out = np.zeros((len(n), _POOLS), np.int64)
    for b in range(len(n)):
        for edge in SESSION_EDGES:
            out[b, 1] += session_n[b] >= edge
        for edge in ACTOR_EDGES:
            out[b, 2] += n[b] >= edge
        out[b, 3] = min(scenario[b] + 1, SCENARIOS)
    return out


def of_queries(queries: Sequence[Query]) -> I64:
    """(B, J) the bucket of each query in each pool."""
    found = [
        (
            0, bisect_right(SESSION_EDGES, one.session_n), bisect_right(ACTOR_EDGES, len(one.items)),
            min(one.scenario + 1, SCENARIOS),
        )
        for one in queries
    ]  # fmt: skip
    return np.array(found, dtype=np.int64)


def of_query(query: Query) -> I64:
    """(J,) the bucket of a query in each pool."""
    return np.asarray(of_queries([query])[0], np.int64)


def for_stack(buckets: I64) -> int:
    """The stacker's context: length of the session x how well the actor is known."""
    return int(buckets[1]) * (len(ACTOR_EDGES) + 1) + int(buckets[2])


def for_stacks(buckets: I64) -> I64:
    """(B,) the same for (B, J) buckets."""
    return buckets[:, 1] * (len(ACTOR_EDGES) + 1) + buckets[:, 2]
