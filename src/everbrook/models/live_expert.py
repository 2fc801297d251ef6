"""The live model as an expert: popularity as it is now, lifted by what the published weights say of a history.

It learns nothing itself: whoever learns hands over weights (`share`) or what changed in them (`apply`). In the stages
shadow and canary it keeps the anchor's rows where they differ, and answers with those whom the live weights do not
serve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from everbrook.models import live_kernels as kernels
from everbrook.models.lately import Lately
from everbrook.models.live_codes import LEAST_ROWS, LiveCodes
from everbrook.models.live_head import Head, head_of
from everbrook.models.live_numbers import LiveNumbers, Numbers
from everbrook.models.live_prior import LivePrior
from everbrook.models.live_rows import LiveRows
from everbrook.models.live_stage import AnchorRows, serves_live
from everbrook.models.live_states import LiveStates
from everbrook.models.popularity import Popularity
from everbrook.models.sequence_kernels import best_rows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, F64, I32, NO_ROW, Arrays, Query, Step

_MOST_PRIORS = 8  # scenarios whose likely items are kept


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one history leads to."""

    state: F32  # (D,)
    log_all: float  # logarithm of the denominator
    best: I32
    anchor: bool  # whether the anchor answers


class LiveExpert:
    """One column; asleep until weights were published, and for who has no history."""

    names: tuple[str, ...] = ("live/served",)

    def __init__(self, settings: LiveSettings, popularity: Popularity | None) -> None:
        """Begin asleep.

        Args:
            settings: of the live model.
            popularity: see `stand_on`.
        """
        self.settings = settings
        self.prior: LivePrior | None = None
        self.items = 0
        self.begin()
        self._limit = 0
        self._heads: dict[int, tuple[int, int, Head]] = {}
        if popularity is not None:
            self.stand_on(popularity)

    # -- the weights ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Have no weights: sleep until some are handed over."""
        s = self.settings
        self.rows = LiveRows(s.width, s.start, s.seed)
        self.rows.grow(self.items)
        self.network: Numbers = LiveNumbers(s)
        self.anchor_network: Numbers = LiveNumbers(s)
        self.anchor = AnchorRows(s.width)
        self.codes = LiveCodes(s.width)
        self.stage, self.canary_share = "off", 0.0
        self._lately: Lately[tuple[Query, _Answer]] = Lately()
        self._states = LiveStates(s)

    def stand_on(self, popularity: Popularity) -> None:
        """Let the prior be made of these counts; whoever owns them lets them observe."""
        self.prior = LivePrior(popularity, self.settings.prior_rate)
        self._heads = {}

    def share(self, rows: LiveRows, network: Numbers, anchor_network: Numbers) -> None:
        """Answer from weights that are written elsewhere in this process; `changed` says when they were."""
        self.rows, self.network, self.anchor_network = rows, network, anchor_network

    def watch(self, watchers: list[Any], moment: tuple[int, ...]) -> None:
        """Hear from weights in this process which of their rows change.

        Args:
            watchers: of the weights; this expert takes the place of the one before.
            moment: of which the anchor is.
        """
        if not any(one is self.codes for one in watchers):
            watchers[:] = [*(one for one in watchers if not isinstance(one, LiveCodes)), self.codes]
            self.codes.moved(None)
        self.codes.anchored(moment)

    def changed(self, stage: str, canary_share: float, prior: F64) -> None:
        """Weights were written.

        Args:
            stage: whom the live weights serve: 'off', 'shadow', 'canary' or 'live'.
            canary_share: share of the actors that they serve in a canary.
            prior: (K,) weights of the prior.
        """
        self.stage, self.canary_share = stage, canary_share
        self._lately.clear()
        if self.prior is not None:
            self.prior.weights = prior.copy()

    # -- the expert ----------------------------------------------------------------------------------------------

    def forget_actor(self, actor: int) -> int:
        """Drop the state that was computed for an actor; how many there were."""
        return self._states.forget_actor(actor)

    def grow(self, items: int, actors: int) -> None:
        """Make room for item rows below `items`."""
        self.items = max(self.items, items)
        self.rows.grow(items)
        self._lately.clear()

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Nothing is said of events whose list was not made, and nothing learned."""
        mass[:], rest[:] = 0.0, np.nan
        self._lately.clear()

    def foresee(self, queries: Sequence[Query], limit: int) -> None:
        """Answer queries that will be asked about together: memory gives the rows once for all of them."""
        self._limit = max(self._limit, limit)
        able = self.stage != "off" and self.prior is not None and self.items
        asked = [query for query in queries if len(query.items)] if able else []
        for query, answer in zip(asked, self._found(asked, self._limit) if asked else (), strict=True):
            self._lately.put(id(query), (query, answer))

    def propose(self, query: Query, limit: int) -> I32:
        """The items of highest probability."""
        self._limit = max(self._limit, limit)
        answer = self._answer(query, limit)
        return np.empty(0, np.int32) if answer is None else answer.best[:limit]

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """The probability of given items."""
        answer = self._answer(query, 0)
        if answer is None:
            mass[:], rest[:] = 0.0, np.nan
            return
        out = np.empty(len(rows), np.float32)
        self._scored(query, rows, (0, len(rows)), [answer], out)
        mass[:, 0] = out * np.float32(1.0 - self.settings.rest)
        rest[:] = self.settings.rest

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        answers = [self._answer(query, 0) for query in queries]
        awake = [answer for answer in answers if answer is not None]
        alike = len({(query.now_ms, query.scenario) for query in queries}) == 1
        if self.prior is None or not awake or not alike or len({answer.anchor for answer in awake}) > 1:
            for b, query in enumerate(queries):
                own = slice(starts[b], starts[b + 1])
                self.score(query, rows[own], mass[own], rest[b])
            return
        out = np.empty(len(rows), np.float32)
        asleep = _Answer(awake[0].state, math.inf, rows[:0], awake[0].anchor)
        self._scored(queries[0], rows, starts, [answer or asleep for answer in answers], out)
        mass[:, 0] = out * np.float32(1.0 - self.settings.rest)
        rest[:, 0] = [np.nan if answer is None else self.settings.rest for answer in answers]

    def under(self, query: Query, rows: I32, anchor: bool) -> F32 | None:
        """What the live weights, or the anchor's, give items, whomever they serve; None where they say nothing.

        Args:
            query: whose next item.
            rows: (M,) item rows.
            anchor: whether the anchor is asked.
        """
        if self.stage == "off" or not len(query.items) or self.prior is None or not self.items:
            return None
        answer = self._answered(query, anchor) or self._found([query], 1, anchor)[0]
        out = np.empty(len(rows), np.float32)
        self._scored(query, rows, (0, len(rows)), [answer], out)
        return out * np.float32(1.0 - self.settings.rest)

    def because(self, query: Query, rows: I32) -> I32:
        """The item of the recent history whose vector is most like each item's."""
        because = np.full(len(rows), NO_ROW, np.int32)
        past = np.unique(query.items[-self.settings.history :])
        if self.stage != "off" and len(past):
            vectors = self.rows.table
            because[:] = past[(vectors[rows] @ vectors[past].T).argmax(1)]
        return because

    def state(self) -> Arrays:
        """Nothing: the weights are kept by who learns them."""
        return {}

    def load(self, arrays: Arrays) -> None:
        """Nothing to take over."""

    # -- inside --------------------------------------------------------------------------------------------------

    def _scored(self, query: Query, rows: I32, starts: Sequence[int], answers: list[_Answer], out: F32) -> None:
        """Probabilities of rows by answers of the same weights to queries of one moment and scenario."""
        assert self.prior is not None  # else nobody answers
        rows = np.ascontiguousarray(rows, np.int32)
        log_prior = self.prior.logs_of(rows, query.scenario, query.now_ms, self.items)
        place, buffer = (self.anchor.place, self.anchor.values) if answers[0].anchor else (_NO_PLACE, self.rows.table)
        states, log_all = np.stack([answer.state for answer in answers]), np.array([a.log_all for a in answers])
        begin = np.array(starts, np.int64)
        kernels.scored(self.rows.table, states, place, buffer, rows, begin, log_prior, log_all, out)

    def _answer(self, query: Query, limit: int) -> _Answer | None:
        if self.stage == "off" or not len(query.items) or self.prior is None or not self.items:
            return None
        kept = self._lately.get(id(query))
        if kept is not None and kept[0] is query and len(kept[1].best) >= min(limit, self.items):
            return kept[1]
        answer = self._found([query], max(limit, self._limit))[0]
        return self._lately.put(id(query), (query, answer))[1]

    def _answered(self, query: Query, anchor: bool) -> _Answer | None:
        """The newest answer, where it is one of these weights to the same question."""
        newest = self._lately.newest()
        if newest is None or newest[1].anchor != anchor:
            return None
        asked = newest[0]
        same = (asked.now_ms, asked.actor, asked.scenario) == (query.now_ms, query.actor, query.scenario)
        return newest[1] if same and np.array_equal(asked.items, query.items) else None

    def _found(self, queries: Sequence[Query], limit: int, anchor: bool | None = None) -> list[_Answer]:
        """Answers to queries; those that hold the same weights against the same items do so at once."""
        alike: dict[tuple[int, int, bool], list[int]] = {}
        for at, query in enumerate(queries):
            by_anchor = not serves_live(self.stage, query.actor, self.canary_share) if anchor is None else anchor
            alike.setdefault((query.scenario, query.now_ms, by_anchor), []).append(at)
        found: dict[int, _Answer] = {}
        for (_, _, by_anchor), places in alike.items():
            asked = [queries[at] for at in places]
            found |= dict(zip(places, self._found_alike(asked, limit, by_anchor), strict=True))
        return [found[at] for at in range(len(queries))]

    def _found_alike(self, queries: list[Query], limit: int, anchor: bool) -> list[_Answer]:
        head = self._head(queries[0])
        kept = (self.anchor.place, self.anchor.values) if anchor else (_NO_PLACE, self.rows.table)
        network = self.anchor_network if anchor else self.network
        states = self._states.of(queries, network, self.rows.table, kept, anchor)
        coded: list[tuple[float, I32] | None] = [None] * len(queries)
        if len(head.rows) >= LEAST_ROWS:
            codes = self.codes.anchor if anchor else self.codes.live
            codes.keep_up(self.rows.table, kept, self.items, self.rows.origin)
            coded = head.coded_answers(codes, states, kept, limit)
        return [
            _Answer(state, *(self._plain(head, state, kept, limit, anchor) if one is None else one), anchor)
            for state, one in zip(states, coded, strict=True)
        ]

    def _plain(self, head: Head, state: F32, kept: tuple[I32, F32], limit: int, anchor: bool) -> tuple[float, I32]:
        """Where codes do not help: the rows as they are."""
        if len(head.others):
            return head.answer(self.rows.table, state, kept, limit)
        scores = self.rows.table[: self.items] @ state
        if anchor:
            kernels.overlaid(scores, state, self.anchor.rows, self.anchor.kept)
        log_all = kernels.log_total(scores, head.log_prior)
        return float(log_all), best_rows(scores, limit)

    def _head(self, query: Query) -> Head:
        """The likely items, with the prior over them, not older than the settings say."""
        kept = self._heads.get(query.scenario)
        if kept is not None and (kept[1] == self.items or len(kept[2].others)):
            age_ms = query.now_ms - kept[0]
            if 0 <= age_ms <= 1000 * self.settings.prior_refresh_s:
                return kept[2]
        assert self.prior is not None
        s = self.settings
        log_prior = self.prior.logs_of_all(query.scenario, query.now_ms, self.items)
        head = head_of(log_prior, s.scored, s.sampled, s.seed)
        if query.scenario not in self._heads and len(self._heads) >= _MOST_PRIORS:
            del self._heads[next(iter(self._heads))]
        self._heads[query.scenario] = (query.now_ms, self.items, head)
        return head


_NO_PLACE = np.empty(0, np.int32)
