"""Peers of the `implicit` package, asked as the mixture is: a user's history so far in, the rank of what came next out.

Every peer is fitted on the events before a moment and asked with all that the user did until the question
(`recalculate_user`); what it did not know when it was fitted it cannot rank.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from scipy.sparse import csr_matrix

NOTHING = -np.inf
warnings.filterwarnings("ignore", message="Method expects CSR input")  # of what the package hands itself


class Peer(Protocol):
    """Scores of all items for a user with a history; `NOTHING` for what it cannot rank."""

    def fit(self, user_items: csr_matrix) -> None: ...

    def scores(self, row: csr_matrix) -> np.ndarray: ...


class Popularity:
    """How often each item was taken."""

    def fit(self, user_items: csr_matrix) -> None:
        self.counts = np.asarray(user_items.sum(axis=0)).ravel()

    def scores(self, row: csr_matrix) -> np.ndarray:
        return np.where(self.counts > 0, self.counts, NOTHING)


class Neighbours:
    """Items next to those of the history."""

    def __init__(self, kind: type, K: int) -> None:
        self.model = kind(K=K, num_threads=1)

    def fit(self, user_items: csr_matrix) -> None:
        self.model.fit(user_items, show_progress=False)

    def scores(self, row: csr_matrix) -> np.ndarray:
        found = (row @ self.model.similarity).toarray().ravel()
        return np.where(found > 0.0, found, NOTHING)


class Factors:
    """Implicit alternating least squares."""

    def __init__(self, factors: int, iterations: int, alpha: float) -> None:
        self.model = AlternatingLeastSquares(
            factors=factors, iterations=iterations, alpha=alpha, num_threads=1, random_state=1
        )

    def fit(self, user_items: csr_matrix) -> None:
        self.known = np.asarray(user_items.sum(axis=0)).ravel() > 0
        self.model.fit(user_items, show_progress=False)

    def scores(self, row: csr_matrix) -> np.ndarray:
        if not row.nnz:
            return np.full(len(self.known), NOTHING)
        factor = self.model.recalculate_user(0, row)
        return np.where(self.known, self.model.item_factors @ np.ravel(factor), NOTHING)


Make = Callable[[], Peer]
CHOICES: dict[str, dict[str, Make]] = {
    "popularity": {"": Popularity},
    "item-knn": {
        f"{kind.__name__.removesuffix('Recommender').lower()}, K={K}": (lambda kind=kind, K=K: Neighbours(kind, K))
        for kind in (CosineRecommender, BM25Recommender)
        for K in (20, 100, 400)
    },
    "als": {
        f"factors={factors}, iterations={iterations}, alpha={alpha:g}": (
            lambda factors=factors, iterations=iterations, alpha=alpha: Factors(factors, iterations, alpha)
        )
        for factors in (32, 64, 128)
        for iterations in (15,)
        for alpha in (1.0, 10.0)
    },
}
"""Peers by name, each with the settings that are tried on an earlier slice."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Events as codes, in time order."""

    user: np.ndarray
    item: np.ndarray
    ts_ms: np.ndarray
    users: int
    items: int

    def matrix(self, stop: int) -> csr_matrix:
        """How often each user took each item among the first events."""
        ones = np.ones(stop, np.float32)
        return csr_matrix((ones, (self.user[:stop], self.item[:stop])), shape=(self.users, self.items))

    def first_seen(self) -> np.ndarray:
        """Number of the first event of each item."""
        first = np.full(self.items, len(self.item))
        np.minimum.at(first, self.item, np.arange(len(self.item)))
        return first


def ranks(peer: Peer, stream: Stream, at: np.ndarray, refits: list[int], leave_out_seen: bool) -> np.ndarray:
    """Rank of each test event's item among all items seen before it, ties against the peer; 0 where it cannot rank it.

    Args:
        peer: asked, and fitted anew at each refit.
        stream: what happened.
        at: numbers of the test events, ascending.
        refits: numbers of events before which it is fitted; the first at or before the first test event.
        leave_out_seen: whether what the user already had does not compete.
    """
    order = np.argsort(stream.user, kind="stable")
    starts = np.searchsorted(stream.user[order], np.arange(stream.users + 1))
    first, found = stream.first_seen(), np.zeros(len(at), np.int64)
    left = list(refits)
    for place, event in enumerate(at.tolist()):
        while left and left[0] <= event:
            peer.fit(stream.matrix(left.pop(0)))
        own = order[starts[stream.user[event]] : starts[stream.user[event] + 1]]
        past = stream.item[own[: np.searchsorted(own, event)]]
        row = csr_matrix((np.ones(len(past), np.float32), (np.zeros(len(past), np.int32), past)), (1, stream.items))
        scores = np.where(first < event, peer.scores(row), NOTHING)
        if leave_out_seen:
            scores[past] = NOTHING
        target = scores[stream.item[event]]
        found[place] = 0 if target == NOTHING else int((scores >= target).sum())
    return found
