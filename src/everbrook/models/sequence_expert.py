"""The published sequence model as an expert: a probability over all its items, from weights that never change here.

It learns nothing event by event; `publish` swaps in what was learned elsewhere. The model is kept as a file of its
own (`sequence_file`), so `state` is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from everbrook.features.sequence import sequence_inputs
from everbrook.features.windows import Window, query_window, step_window
from everbrook.models import sequence_kernels as kernels
from everbrook.models.lately import Lately
from everbrook.settings.sequence import SequenceSettings
from everbrook.types import F32, I32, I64, NO_ROW, Arrays, Bool, ItemSearch, Query, Step

if TYPE_CHECKING:
    import torch

    from everbrook.models.sequence import SequenceBatch, SequenceModel

_CHUNK = 128


@dataclass(frozen=True, slots=True)
class _Shown:
    """A published model and what is computed from it once."""

    model: SequenceModel
    table: torch.Tensor  # (N, D) what states are multiplied with
    vectors: F32  # the same memory as numpy
    index: ItemSearch | None  # over the vectors, where there are many


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one history leads to."""

    state: F32  # (D,)
    log_total: float  # logarithm of the softmax's denominator
    best: I32  # best rows, best first, as many as were asked for


class SequenceExpert:
    """One column: the live sequence model; asleep without a model, without a known history, or where not prepared."""

    names: tuple[str, ...] = ("sequence/live",)

    def __init__(self, settings: SequenceSettings | None = None, model: SequenceModel | None = None) -> None:
        self.settings = settings or SequenceSettings()
        self.index: Callable[[F32], ItemSearch] | None = None
        """Makes an index over (N, D) item vectors; used for single queries from `settings.indexed_items` items on."""
        self._shown: _Shown | None = None
        self._limit = 0  # how many best rows are usually asked for
        self._prepared: dict[int, _Answer | None] = {}
        self._lately: Lately[tuple[Query, _Answer | None]] = Lately()
        if model is not None:
            self.publish(model)

    # -- the model -----------------------------------------------------------------------------------------------

    def publish(self, model: SequenceModel | None) -> None:
        """Answer from these weights from now on; None puts the expert to sleep. The model must not change any more."""
        shown = None
        if model is not None:
            import torch

            with torch.no_grad():
                table = model.eval().targets().detach().float().contiguous()
            vectors = table.numpy()
            many = self.index is not None and len(vectors) >= self.settings.indexed_items
            shown = _Shown(model, table, vectors, self.index(vectors) if self.index and many else None)
        self._prepared, self._shown = {}, shown
        self._lately.clear()

    @property
    def model(self) -> SequenceModel | None:
        """The published model."""
        return self._shown.model if self._shown else None

    @property
    def vectors(self) -> F32 | None:
        """(N, D) the published model's item vectors; nobody writes into them. None without a model."""
        return self._shown.vectors if self._shown else None

    # -- the expert ----------------------------------------------------------------------------------------------

    def grow(self, items: int, actors: int) -> None:
        """Nothing to make room for: what the model does not know has no mass."""

    def prepare(self, step: Step, mask: Bool | None = None) -> None:
        """Answer many events' histories at once, so that `observe`, `propose` and `score` find the answers ready.

        Args:
            step: events that will be asked about; answers of earlier steps are dropped.
            mask: (B,) which of them; None is all.
        """
        self._prepared = {}
        shown = self._shown
        wanted = np.arange(len(step)) if mask is None else np.flatnonzero(mask)
        if shown is None or not len(wanted):
            return
        keys = self._keys(step).tolist()
        answers = self._answers_to(shown, step, wanted)
        self._prepared = {keys[event]: answer for event, answer in answers.items()}

    def foresee(self, queries: Sequence[Query], limit: int) -> None:
        """Encode the histories of queries that will be asked about together; where an index searches, each is alone."""
        self._limit = max(self._limit, limit)
        shown = self._shown
        if shown is not None and shown.index is None and len(queries) > 1:
            answers = self._answers_to(shown, _together(queries), np.arange(len(queries)))
            for at, query in enumerate(queries):
                self._lately.put(id(query), (query, answers[at]))

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Say what each event's item was given, where it was prepared; learn nothing."""
        mass[:], rest[:] = 0.0, np.nan
        shown, ready = self._shown, self._prepared
        if shown is None or not ready:
            return
        for b, key in enumerate(self._keys(step).tolist()):
            answer = ready.get(key)
            if answer is not None:
                self._score(shown, answer, step.item[b : b + 1], mass[b : b + 1, 0])
                rest[b] = self.settings.rest

    def propose(self, query: Query, limit: int) -> I32:
        """The items of highest probability."""
        self._limit = max(self._limit, limit)
        answer = self._answer(query, limit)
        return np.empty(0, np.int32) if answer is None else answer.best[:limit]

    def propose_into(self, queries: Sequence[Query], limit: int, found: I32, kept: I64) -> None:
        """The same for each of B queries; see `types.Expert`."""
        if self._shown is None:
            kept[:] = 0
            return
        self.foresee(queries, limit)
        for b, query in enumerate(queries):
            rows = self.propose(query, limit)
            found[b, : len(rows)], kept[b] = rows, len(rows)

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """The softmax probability of given items; rows that the model does not know get none."""
        shown, answer = self._shown, self._answer(query, 0)
        if shown is None or answer is None:
            mass[:], rest[:] = 0.0, np.nan
            return
        self._score(shown, answer, rows, mass[:, 0])
        rest[:] = self.settings.rest

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        if self._shown is None:
            mass[:], rest[:] = 0.0, np.nan
            return
        for b, query in enumerate(queries):
            own = slice(starts[b], starts[b + 1])
            self.score(query, rows[own], mass[own], rest[b])

    def because(self, query: Query, rows: I32) -> I32:
        """The item of the recent history whose vector is most like each item's."""
        shown = self._shown
        because = np.full(len(rows), NO_ROW, np.int32)
        if shown is None:
            return because
        past = np.unique(query.items[-shown.model.settings.history :])
        past = past[(past >= 0) & (past < len(shown.vectors))]
        known = np.flatnonzero((rows >= 0) & (rows < len(shown.vectors)))
        if len(past) and len(known):
            alike = shown.vectors[rows[known]] @ shown.vectors[past].T
            because[known] = past[alike.argmax(1)]
        return because

    def state(self) -> Arrays:
        """Nothing: the published model is a file of its own."""
        return {}

    def load(self, arrays: Arrays) -> None:
        """Nothing to take over."""

    # -- inside --------------------------------------------------------------------------------------------------

    def _score(self, shown: _Shown, answer: _Answer, rows: I32, mass: F32) -> None:
        kernels.score_rows(shown.vectors, answer.state, answer.log_total, np.ascontiguousarray(rows, np.int32), mass)
        mass *= 1 - self.settings.rest

    def _answer(self, query: Query, limit: int) -> _Answer | None:
        """From the last query, from what was prepared, or found now."""
        shown, kept = self._shown, self._lately.get(id(query))
        if shown is None:
            return None
        if kept is not None and kept[0] is query and _enough(shown, kept[1], limit):
            return kept[1]
        return self._lately.put(id(query), (query, self._ready(shown, query, limit)))[1]

    def _answers_to(self, shown: _Shown, step: Step, wanted: I64) -> dict[int, _Answer | None]:
        """Answers to the histories of some events, like lengths together."""
        window = step_window(step, shown.model.settings.history, len(shown.vectors), wanted)
        batch, counts = _batch(shown, window), window.n
        found: dict[int, _Answer | None] = dict.fromkeys(wanted[counts == 0].tolist())
        some = np.flatnonzero(counts > 0)
        some = some[np.argsort(counts[some], kind="stable")]
        for first in range(0, len(some), _CHUNK):
            part = some[first : first + _CHUNK]
            cut = batch.cut(part, int(counts[part[-1]]))
            answers = _answers(shown, cut, counts[part], self._limit)
            found |= dict(zip(wanted[part].tolist(), answers, strict=True))
        return found

    def _ready(self, shown: _Shown, query: Query, limit: int) -> _Answer | None:
        n, history = len(query.items), shown.model.settings.history
        if self._prepared:
            key = kernels.history_key(query.now_ms, query.actor, query.items, n, history)
            if key in self._prepared and _enough(shown, self._prepared[key], limit):
                return self._prepared[key]
        window = query_window(query, history, len(shown.vectors))
        count = int(window.n[0])
        if not count:
            return None
        batch = _batch(shown, window).cut(np.zeros(1, np.int64), count)
        return _answers(shown, batch, window.n, max(limit, self._limit))[0]

    def _keys(self, step: Step) -> I64:
        history = self._shown.model.settings.history if self._shown else self.settings.history
        return kernels.history_keys(step.ts_ms, step.actor, step.items, step.n, history)


def _together(queries: Sequence[Query]) -> Step:
    """Queries as events that happen at the moments asked about."""
    B, H = len(queries), max(len(query.items) for query in queries)
    n = np.array([len(query.items) for query in queries], np.int32)
    items, times, kinds = np.zeros((B, H), np.int32), np.zeros((B, H), np.int64), np.zeros((B, H), np.int16)
    for b, query in enumerate(queries):
        items[b, : n[b]], times[b, : n[b]], kinds[b, : n[b]] = query.items, query.times, query.kinds
    return Step(
        ts_ms=np.array([query.now_ms for query in queries], np.int64), n=n, items=items, times=times, kinds=kinds,
        actor=np.array([query.actor for query in queries], np.int32), item=np.zeros(B, np.int32),
        scenario=np.array([query.scenario for query in queries], np.int16), kind=np.zeros(B, np.int16),
        session_n=np.array([query.session_n for query in queries], np.int32), value=np.full(B, np.nan, np.float32),
        weight=np.ones(B, np.float32),
    )  # fmt: skip


def _enough(shown: _Shown, answer: _Answer | None, limit: int) -> bool:
    """Whether an answer holds as many best rows as are asked for."""
    return answer is None or len(answer.best) >= min(limit, len(shown.vectors))


def _batch(shown: _Shown, window: Window) -> SequenceBatch:
    from everbrook.models.sequence import SequenceBatch  # it is there, for there is a model

    return SequenceBatch.of(sequence_inputs(window, shown.model.features))


def _answers(shown: _Shown, batch: SequenceBatch, counts: I32, limit: int) -> list[_Answer]:
    """Encode histories and sum their softmax: one matrix product over all items."""
    import torch

    with torch.no_grad():
        encoded = shown.model.encode(batch)
    states = encoded[torch.arange(len(counts)), torch.from_numpy(counts.astype(np.int64)) - 1].float()
    if shown.index is not None and len(states) == 1:
        state = states[0].numpy()
        rows, _, total = shown.index.search_with_total(state, limit)
        return [_Answer(state, total, rows)]
    alone = len(states) == 1  # a plain matrix-vector product is several times faster than a product with one row
    scores = torch.mv(shown.table, states[0])[None] if alone else states @ shown.table.T  # (B, N)
    totals = scores.logsumexp(1).tolist()
    rows = scores.numpy()
    best = [kernels.best_rows(row, limit) if limit else np.empty(0, np.int32) for row in rows]
    return [_Answer(state, total, few) for state, total, few in zip(states.numpy(), totals, best, strict=True)]
