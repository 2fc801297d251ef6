"""How varied lists were: coverage, novelty, diversity. Lists are rows (B, T), filled from the left, then -1."""

from __future__ import annotations

import numpy as np

from everbrook.types import F32, F64, I32, I64, Bool


def mark_shown(lists: I32, shown: Bool, k: int) -> None:
    """Note which items the first k places showed.

    Args:
        lists: (B, T) item rows.
        shown: (N,) changed: true for what was shown at any time.
        k: how many places count.
    """
    rows = lists[:, :k]
    shown[rows[rows >= 0]] = True


def coverage(shown: Bool, known: int) -> float:
    """Share of the known items that were shown at all.

    Args:
        shown: (N,) see `mark_shown`.
        known: how many items could have been shown.

    Source: Herlocker et al., 'Evaluating collaborative filtering recommender systems', TOIS 2004 (catalogue coverage).
    """
    return float(shown.sum() / known) if known else float("nan")


def novelty(lists: I32, popularity: I64 | F64, k: int) -> F64:
    """(B,) mean self-information of the first k places, in bits; NaN for an empty list.

    Args:
        lists: (B, T) item rows.
        popularity: (N,) events of each item so far; one is added to each, so that a new item has a finite value.
        k: how many places count.

    Source: Vargas, Castells, 'Rank and relevance in novelty and diversity metrics', RecSys 2011.
    """
    bits = -np.log2((popularity + 1.0) / (popularity.sum() + len(popularity)))
    return _mean_of_places(bits[lists[:, :k]], lists[:, :k] >= 0)


def diversity(lists: I32, vectors: F32, k: int) -> F64:
    """(B,) 1 minus the mean cosine of all pairs in the first k places; NaN for lists of fewer than two.

    Args:
        lists: (B, T) item rows.
        vectors: (N, D) of any length; an item whose vector is 0 is unlike every other. With marks of categories as
            vectors, it is the diversity of categories.
        k: how many places count.

    Source: Ziegler et al., 'Improving recommendation lists through topic diversification', WWW 2005.
    """
    rows = lists[:, :k]
    held = rows >= 0
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    placed = np.where(held[:, :, None], unit[rows], np.float32(0)).astype(np.float64)  # (B, k, D)
    total = placed.sum(axis=1)
    same = (placed * placed).sum(axis=(1, 2))
    n = held.sum(axis=1)
    pairs = (n * (n - 1)).astype(np.float64)
    cosine = np.divide((total * total).sum(axis=1) - same, pairs, out=np.full(len(n), np.nan), where=pairs > 0)
    return 1.0 - cosine


def _mean_of_places(values: F64, held: Bool) -> F64:
    n = held.sum(axis=1).astype(np.float64)
    return np.divide(np.where(held, values, 0.0).sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0)
