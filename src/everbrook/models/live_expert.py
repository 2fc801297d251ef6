"""The live model as an expert: popularity as it is now, lifted by what the published weights say of a history.

It learns nothing itself: whoever learns hands over weights (`share`) or what changed in them (`apply`). In the stages
shadow and canary it keeps the anchor's rows where they differ, and answers with those whom the live weights do not
serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from everbrook.models import live_kernels as kernels
from everbrook.models.lately import Lately
from everbrook.models.live_answers import Answers, answered
from everbrook.models.live_codes import LEAST_ROWS, LiveCodes
from everbrook.models.live_head import Heads
from everbrook.models.live_numbers import LiveNumbers, Numbers
from everbrook.models.live_one import gap_edges, weights_of
from everbrook.models.live_prior import LivePrior
from everbrook.models.live_rows import LiveRows
from everbrook.models.live_stage import AnchorRows, serves_live
from everbrook.models.live_states import LiveStates
from everbrook.models.popularity import Popularity
from everbrook.models.portion import Portion, portion_of
from everbrook.settings.live import LiveSettings
from everbrook.types import F32, F64, I32, I64, NO_ROW, Arrays, Query, Step


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
        self.heads = Heads(settings)
        if popularity is not None:
            self.stand_on(popularity)

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
        self._last: Answers | None = None  # to the portion that was asked about last
        self._lately: Lately[Answers] = Lately()  # to queries that came alone
        self._weights = weights_of(self.network), weights_of(self.anchor_network)
        self._states = LiveStates(s)

    def stand_on(self, popularity: Popularity) -> None:
        """Let the prior be made of these counts; whoever owns them lets them observe."""
        self.prior = LivePrior(popularity, self.settings.prior_rate)
        self.heads.clear()

    def share(self, rows: LiveRows, network: Numbers, anchor_network: Numbers) -> None:
        """Answer from weights that are written elsewhere in this process; `changed` says when they were."""
        self.rows, self.network, self.anchor_network = rows, network, anchor_network
        self._weights = weights_of(network), weights_of(anchor_network)

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
        self._clear()
        if self.prior is not None:
            self.prior.weights = prior.copy()

    def forget_actor(self, actor: int) -> int:
        """Drop the state that was computed for an actor; how many there were."""
        self._clear()
        return self._states.forget_actor(actor)

    def grow(self, items: int, actors: int) -> None:
        """Make room for item rows below `items`."""
        self.items = max(self.items, items)
        self.rows.grow(items)
        self._clear()

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Nothing is said of events whose list was not made, and nothing learned."""
        mass[:], rest[:] = 0.0, np.nan
        self._clear()

    def propose_into(self, queries: Portion, limit: int, found: I32, kept: I64) -> None:
        """The items of highest probability, for several queries that are asked about together.

        Args:
            queries: (B,)
            limit: how many items at most.
            found: (B, limit), out: best first.
            kept: (B,), out: how many those are.
        """
        if self._able():
            self._last = self._found(queries, found, kept)
            self._last.best = _NONE  # what was found is not ours
        else:
            kept[:] = 0

    def foresee(self, queries: Sequence[Query], limit: int) -> None:
        """Answer queries that will be asked about together: memory gives the rows once for all of them."""
        self._limit = max(self._limit, limit)
        if self._able():
            B = len(queries)
            room = np.empty((B, self._limit), np.int32), np.empty(B, np.int64)
            self._last = self._found(portion_of(queries), *room)

    def propose(self, query: Query, limit: int) -> I32:
        """The items of highest probability."""
        self._limit = max(self._limit, limit)
        answers, b = self._answer(query, limit)
        return _NO_PLACE if answers is None else answers.best[b, : min(limit, int(answers.counts[b]))]

    def score(self, query: Query, rows: I32, mass: F32, rest: F32) -> None:
        """The probability of given items."""
        answers, b = self._answer(query, 0)
        if answers is None:
            mass[:], rest[:] = 0.0, np.nan
            return
        one = answers.states[b : b + 1], answers.log_all[b : b + 1]
        mass[:, 0] = self._scored(query, rows, np.array([0, len(rows)]), *one, answers.anchors[b])
        rest[:] = self.settings.rest

    def score_all(self, queries: Sequence[Query], rows: I32, starts: Sequence[int], mass: F32, rest: F32) -> None:
        """The same for several queries; see `Popularity.score_all`."""
        last = self._last
        if last is None or not last.alike or not last.are_of(queries):
            for b, query in enumerate(queries):
                own = slice(starts[b], starts[b + 1])
                self.score(query, rows[own], mass[own], rest[b])
            return
        begin = getattr(queries, "starts", None)
        begin = np.array(starts, np.int64) if begin is None else begin
        mass[:, 0] = self._scored(queries[0], rows, begin, last.states, last.log_all, last.anchors[0])
        rest[:, 0] = self.settings.rest
        if last.awake < len(queries):
            rest[np.isinf(last.log_all)] = np.nan

    def under(self, query: Query, rows: I32, anchor: bool) -> F32 | None:
        """What the live weights, or the anchor's, give items, whomever they serve; None where they say nothing.

        Args:
            query: whose next item.
            rows: (M,) item rows.
            anchor: whether the anchor is asked.
        """
        if not len(query.items) or not self._able():
            return None
        newest = [one for one in (self._last, self._lately.newest()) if one is not None]
        told = [(one, b) for one in newest if (b := one.alike_to(query, anchor)) >= 0]
        answers, b = told[0] if told else (self._found_alone(query, 1, anchor), 0)
        one = answers.states[b : b + 1], answers.log_all[b : b + 1]
        return self._scored(query, rows, np.array([0, len(rows)]), *one, anchor)

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

    def _clear(self) -> None:
        """Something changed: no answer holds any more."""
        self._last = None
        self._lately.clear()

    def _able(self) -> bool:
        return self.stage != "off" and self.prior is not None and self.items > 0

    def _scored(self, query: Query, rows: I32, starts: I64, states: F32, log_all: F64, anchor: bool) -> F32:
        """(M,) probabilities of rows by answers of the same weights to queries of one moment and scenario."""
        assert self.prior is not None  # else nobody answers
        rows, out = np.ascontiguousarray(rows, np.int32), np.empty(len(rows), np.float32)
        prior, even = self.prior.columns_of(rows, query.scenario, query.now_ms), 1.0 / max(self.items, 1)
        kernels.scored(self._plain(anchor), states, log_all, rows, starts, prior, even, 1.0 - self.settings.rest, out)
        return out

    def _plain(self, anchor: bool) -> tuple[F32, I32, F32]:
        """The rows, where some have other values, and those values."""
        table = self.rows.table
        return (table, self.anchor.place, self.anchor.values) if anchor else (table, _NO_PLACE, table)

    def _answer(self, query: Query, limit: int) -> tuple[Answers | None, int]:
        """The answers that hold a query's, with so many of the best rows, and its place among them."""
        if not len(query.items) or not self._able():
            return None, 0
        last = self._last
        if last is not None and last.best.shape[1] >= min(limit, self.items) and (b := last.place_of(query)) >= 0:
            return last, b
        kept = self._lately.get(id(query))
        if kept is None or kept.place_of(query) < 0 or kept.best.shape[1] < min(limit, self.items):
            kept = self._lately.put(id(query), self._found_alone(query, max(limit, self._limit, 1), None))
        return kept, 0

    def _found_alone(self, query: Query, limit: int, anchor: bool | None) -> Answers:
        return self._found(Portion([query]), np.empty((1, limit), np.int32), np.empty(1, np.int64), anchor)

    def _found(self, queries: Portion, best: I32, counts: I64, anchor: bool | None = None) -> Answers:
        """Answers to queries; those that hold the same weights against the same items do so at once.

        Args:
            queries: (B,)
            best: (B, limit), out: the best rows, best first.
            counts: (B,), out: how many those are.
            anchor: whether the anchor answers; None: whoever serves who asks.
        """
        if anchor is None and self.stage != "canary":
            anchor = self.stage != "live"
        share, B, awake = self.canary_share, len(queries), 0
        anchors = [not serves_live("canary", q.actor, share) if anchor is None else anchor for q in queries]
        parts: dict[tuple[int, int, bool], list[int]] = {}
        for at, query in enumerate(queries):
            parts.setdefault((query.scenario, query.now_ms, anchors[at]), []).append(at)
        states, log_all = np.empty((B, self.settings.width), np.float32), np.empty(B)
        for (_, _, by_anchor), places in parts.items():
            asked = np.array(places, np.int64)
            awake += self._found_alike(queries, asked, by_anchor, states, log_all, best, counts)
        return Answers(queries, states, log_all, awake, anchors, len(parts) == 1, best, counts)

    def _found_alike(
        self, queries: Portion, places: I64, anchor: bool, states: F32, log_all: F64, best: I32, counts: I64
    ) -> int:
        """Answers to some of the queries, of one moment and scenario, by the same weights; how many have a history."""
        assert self.prior is not None  # else nobody answers
        s, head, plain = self.settings, self.heads.of(queries[places[0]], self.prior, self.items), self._plain(anchor)
        codes, ready = self.codes.anchor if anchor else self.codes.live, None
        if len(head.rows) >= LEAST_ROWS:
            codes.keep_up(plain[0], plain[1:], self.items, self.rows.origin)
            ready = codes.ready(head.rows, head.others, best.shape[1])
        return answered(
            (queries.items, queries.times, queries.kinds, queries.numbers, queries.actors), places,
            (plain, gap_edges(s.time_buckets), self._weights[anchor]), (self._states.keys, self._states.values),
            (s.history, int(1000 * s.state_s), int(anchor)), (head.rows, head.log_prior, head.others), head.log_rest,
            ready or codes.nothing, codes.levels if ready else 0, states, log_all, best, counts,
        )  # fmt: skip


_NO_PLACE = np.empty(0, np.int32)
_NONE = np.empty((0, 0), np.int32)
