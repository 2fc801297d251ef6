"""Histories packed end to end, and how an epoch cuts them into batches without waste. Holds no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everbrook.features.sequence import sequence_inputs
from everbrook.features.windows import Window
from everbrook.models.sequence import SequenceBatch
from everbrook.settings.features import FeaturesSettings
from everbrook.types import F32, I16, I32, I64, Bool


@dataclass(frozen=True, slots=True)
class Histories:
    """The events of A actors end to end, each actor's in time order."""

    items: I32  # (E,) rows
    ts_ms: I64  # (E,)
    kinds: I16  # (E,)
    wanted: Bool  # (E,) whether the event is worth predicting
    values: F32  # (E,) NaN where the event has none
    starts: I64  # (A + 1,) where each actor's events begin; the last is E

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, actors: I64) -> Histories:
        """Only some actors, in the order given."""
        sizes = np.diff(self.starts)[actors]
        starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        events = np.repeat(self.starts[actors] - starts[:-1], sizes) + np.arange(starts[-1])
        return self._at(events, starts)

    def only(self, keep: Bool) -> Histories:
        """Without some events; an actor left without any stays, empty."""
        before = np.concatenate(([0], np.cumsum(keep)))
        return self._at(np.flatnonzero(keep), before[self.starts])

    def _at(self, events: I64, starts: I64) -> Histories:
        return Histories(
            self.items[events], self.ts_ms[events], self.kinds[events], self.wanted[events], self.values[events], starts
        )

    def span_ms(self) -> int:
        """From the first event to the last."""
        return int(self.ts_ms.max() - self.ts_ms.min()) if len(self.ts_ms) else 0

    def targets(self) -> int:
        """How many events there are to predict."""
        first = np.zeros(len(self.items) + 1, bool)
        first[self.starts[:-1]] = True
        return int((self.wanted & ~first[:-1]).sum())


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's worth: histories and, at each position, what came next."""

    inputs: SequenceBatch
    places: Tensor  # (P,) int64, flat positions of (B, L) that have something to predict
    wanted: Tensor  # (P,) int64, rows
    values: Tensor  # (P,) float32, NaN where none


def pack(actor: NDArray[np.integer], columns: dict[str, NDArray[np.generic]]) -> Histories:
    """Sort events, given in time order, by actor.

    Args:
        actor: (E,) whose event; negative rows are left out.
        columns: `items` (E,) and, where there are any, `ts_ms`, `kinds`, `wanted`, `values`; others are left.
    """
    order = np.argsort(actor, kind="stable")
    order = order[np.searchsorted(actor[order], 0) :]
    sorted_actor = actor[order]
    changes = np.flatnonzero(sorted_actor[1:] != sorted_actor[:-1]) + 1
    starts = np.concatenate(([0] if len(order) else [], changes, [len(order)])).astype(np.int64)
    E = len(actor)
    blank = {"ts_ms": np.zeros(E), "kinds": np.zeros(E), "wanted": np.ones(E), "values": np.full(E, np.nan)}
    full = blank | columns
    return Histories(
        items=full["items"][order].astype(np.int32), ts_ms=full["ts_ms"][order].astype(np.int64),
        kinds=full["kinds"][order].astype(np.int16), wanted=full["wanted"][order].astype(bool),
        starts=starts, values=full["values"][order].astype(np.float32),
    )


def join(older: Histories, newer: Histories) -> Histories:
    """Two sets of histories as one; actors are not matched with each other."""
    starts = np.concatenate((older.starts[:-1], newer.starts + older.starts[-1]))
    names = ("items", "ts_ms", "kinds", "wanted", "values")
    columns = {name: np.concatenate((getattr(older, name), getattr(newer, name))) for name in names}
    return Histories(**columns, starts=starts)


def windows(histories: Histories, length: int, shift: I64 | None = None) -> tuple[I64, I64]:
    """Cut every history into runs of at most `length` positions that each have a next event.

    Args:
        histories: what to cut.
        length: L.
        shift: (A,) how far each actor's cuts move towards the past's end, 0..L-1, so that every event gets long
            and short contexts in turn; None cuts so that the last run is whole.

    Returns:
        First and one past the last input of each window, as places of the packed events.
    """
    steps = np.maximum(np.diff(histories.starts) - 1, 0)  # inputs of each actor
    moved = np.where(steps > length, 0 if shift is None else shift, 0)
    counts = np.where(steps > 0, -(-(steps + moved) // length), 0)
    actor = np.repeat(np.arange(len(steps)), counts)
    nth = np.arange(len(actor)) - np.repeat(np.cumsum(counts) - counts, counts)
    stop = np.minimum(steps[actor] + moved[actor] - nth * length, steps[actor])
    start = np.maximum(steps[actor] + moved[actor] - (nth + 1) * length, 0)
    return histories.starts[actor] + start, histories.starts[actor] + stop


def epoch(
    histories: Histories, length: int, batch_events: int, rng: np.random.Generator | None,
    features: FeaturesSettings | None = None,
) -> list[Batch]:  # fmt: skip
    """All batches of one pass: windows of like length together, at most `batch_events` positions each.

    Args:
        histories: what to learn from.
        length: the longest window, L.
        batch_events: positions of a batch, padding included; a single longer window is a batch of its own.
        rng: shuffles cuts, neighbours and the order of batches; None keeps all in order.
        features: how inputs are coded; the defaults where None.
    """
    return list(lazily(histories, length, batch_events, rng, features))


def lazily(
    histories: Histories, length: int, batch_events: int, rng: np.random.Generator | None,
    features: FeaturesSettings | None = None,
) -> Iterator[Batch]:  # fmt: skip
    """`epoch`, one batch at a time."""
    shift = rng.integers(0, length, len(histories)) if rng else None
    start, stop = windows(histories, length, shift)
    size = stop - start
    tie = rng.permutation(len(size)) if rng else np.arange(len(size))
    order = np.lexsort((tie, size))
    edges = _edges(size[order], batch_events)
    turns = rng.permutation(len(edges) - 1) if rng else np.arange(len(edges) - 1)
    for turn in turns:
        part = order[edges[turn] : edges[turn + 1]]
        batch = batch_of(histories, start[part], stop[part], features or FeaturesSettings())
        if len(batch.wanted):
            yield batch


def batch_of(histories: Histories, start: I64, stop: I64, features: FeaturesSettings) -> Batch:
    """The batch of given windows; the moment asked about after each is that of its next event."""
    n = (stop - start).astype(np.int32)
    place = start[:, None] + np.minimum(np.arange(int(n.max())), n[:, None] - 1)  # (B, L), the end repeated as padding
    window = Window(
        histories.items[place], histories.ts_ms[place], histories.kinds[place], n, histories.ts_ms[stop]
    )
    follows = place + 1
    places = np.flatnonzero(window.held & histories.wanted[follows])
    after = follows.reshape(-1)[places]
    wanted, values = _tensor(histories.items[after], np.int64), _tensor(histories.values[after], np.float32)
    return Batch(SequenceBatch.of(sequence_inputs(window, features)), torch.from_numpy(places), wanted, values)


def _edges(sizes: I64, batch_events: int) -> list[int]:
    """Where batches of ascending sizes begin, so that count times the largest stays within the budget."""
    edges = [0]
    while edges[-1] < len(sizes):
        first = edges[-1]
        reach = min(len(sizes), first + max(1, batch_events // int(sizes[first])))
        padded = np.arange(1, reach - first + 1) * sizes[first:reach]
        edges.append(first + max(1, int(np.searchsorted(padded, batch_events, side="right"))))
    return edges


def _tensor(array: NDArray[np.generic], kind: type[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.astype(kind)))
