"""Row-space values that pass between the floors, and the shape letters.

Ids (any text) belong to the caller; rows (dense int32, 0..N-1) are ours. Shape letters: B batch, H history
capacity, L history length, K columns of an expert family, E all expert columns, M candidates, D width, N items, T top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Arrays = dict[str, NDArray[Any]]

NO_ROW = -1
"""The row of what is not known."""


class Clock(Protocol):
    """Where the present moment comes from: the wall, a test, or a replayed log."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A run of B events in time order, in row space, each with what was known of its actor just before it.

    `items`, `times` and `kinds` hold the actor's last events, oldest first, left-aligned: event b's history is
    `items[b, :n[b]]`, of which the last `session_n[b]` belong to the session that the event continues
    (0: the event opens a session). Beyond `n[b]` the arrays hold anything.
    """

    ts_ms: I64  # (B,)
    actor: I32  # (B,) row of the user, or of the guest session
    item: I32  # (B,)
    kind: I16  # (B,)
    scenario: I16  # (B,)
    value: F32  # (B,) NaN where the event has none
    weight: F32  # (B,) signal of the kind: > 0 positive, 0 only seen, < 0 negative
    n: I32  # (B,)
    session_n: I32  # (B,)
    items: I32  # (B, H)
    times: I64  # (B, H)
    kinds: I16  # (B, H)

    def __len__(self) -> int:
        return len(self.ts_ms)

    def slice(self, start: int, stop: int) -> Step:
        """The events start..stop-1, as views."""
        some = slice(start, stop)
        return Step(
            self.ts_ms[some], self.actor[some], self.item[some], self.kind[some], self.scenario[some],
            self.value[some], self.weight[some], self.n[some], self.session_n[some], self.items[some],
            self.times[some], self.kinds[some],
        )  # fmt: skip

    def query(self, b: int) -> Query:
        """What would have been asked just before event b."""
        n = int(self.n[b])
        return Query(
            now_ms=int(self.ts_ms[b]), actor=int(self.actor[b]), scenario=int(self.scenario[b]),
            items=self.items[b, :n], times=self.times[b, :n], kinds=self.kinds[b, :n], session_n=int(self.session_n[b]),
        )


class Query(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Whose next item is asked for, and when: the history (oldest first) and the moment."""

    now_ms: int
    actor: int  # NO_ROW for a stranger
    scenario: int  # NO_ROW where none is named
    items: I32  # (L,)
    times: I64  # (L,)
    kinds: I16  # (L,)
    session_n: int  # how many of the last entries belong to the current session
    text: F32 | None = None  # (D,) features of a typed query


class ItemSearch(Protocol):
    """An index over item vectors, as models ask it."""

    def search_with_total(self, query: F32, top: int) -> tuple[I32, F32, float]:
        """The rows with the largest inner products, their scores, and the log of the sum of all exponentials.

        Args:
            query: (D,) what the vectors are multiplied with.
            top: how many rows at most.
        """
        ...


class Expert(Protocol):
    """A family of K probabilities over the next item, learned event by event.

    Each column k gives an item i the probability `mass[i, k] + rest[k] * base[i]`, where `base` is a
    probability over all items that the mixture supplies; the family's mass over all items plus rest is 1.
    A column that has nothing to say is asleep: its rest is NaN.
    Only `observe`, `grow` and `load` change anything; `propose`, `score` and `because` never do.

    A family may have more, which is used where it is there: `propose_into(queries, limit, found, kept)` proposes for B
    queries at once, into (B, limit) rows, best first, and (B,) how many of them those are,
    `score_all(queries, rows, starts, mass, rest)` scores for them (both are given a `Portion`), and `is_slow` says that
    learning takes so long that it is worth a thread. `foresee(queries, limit)`, which is told of several queries before
    they are asked about, and `propose_all(queries, limit)` are older forms of the first.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """K column names, 'family/variant'."""
        ...

    def grow(self, items: int, actors: int) -> None:
        """Make room: item rows below `items` and actor rows below `actors` may come from now on."""
        ...

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Test, then train, event by event, in order.

        Args:
            step: the events.
            mass: (B, K), out: what each column gave event b's item before learning from it.
            rest: (B, K), out: what each column left to the base; NaN where asleep.
        """
        ...

    def propose(self, query: Query, limit: int) -> I32:
        """At most `limit` item rows worth scoring, best first, without repeats."""
        ...

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """Probabilities for given items.

        Args:
            query: whose next item.
            rows: (M,) item rows.
            mass: (M, K), out.
            rest: (K,), out; NaN where asleep.
        """
        ...

    def because(self, query: Query, rows: I32) -> I32:
        """(M,) the item row of the history that brought each item most; NO_ROW where none did."""
        ...

    def state(self) -> Arrays:
        """Everything learned, as named arrays (no pickles)."""
        ...

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        ...
