"""Where items lie: vectors of few rows in every space that knows them, for likeness; nothing is learned here.

Spaces: the published sequence model, the live rows, content (TF-IDF) and categories. Sparse ones are folded into few
dimensions by a signed hash, which keeps inner products on average. Source: Weinberger et al., 'Feature hashing for
large scale multitask learning' (ICML 2009).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from everbrook.models.content import Content
from everbrook.models.live_expert import LiveExpert
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.rank.mixture import Mixture
from everbrook.state import State
from everbrook.types import F32, I32, I64

FOLDED = 64
_MOVED = 1.5  # a live row that is no longer than this many times a new one has learned nothing


def spaces_of(mixture: Mixture, state: State, rows: I32) -> dict[str, F32]:
    """(M, D) vectors of length 1 by space; 0 where a space does not know an item. Spaces that know none are left out.

    Args:
        mixture: whose experts have spaces.
        state: knows the categories.
        rows: (M,) items.
    """
    found: dict[str, F32] = {}
    for family in mixture.experts:
        if isinstance(family, SequenceExpert) and family.vectors is not None:
            vectors = family.vectors[np.minimum(rows, len(family.vectors) - 1)]
            found["sequence"] = _unit(vectors * (rows < len(family.vectors))[:, None])
        elif isinstance(family, LiveExpert) and family.stage != "off":
            least = _MOVED * family.rows.start * np.sqrt(family.rows.width)
            found["live"] = _unit(family.rows.table[rows], float(least))
        elif isinstance(family, Content):
            known = rows[rows < family.features.n_rows]
            begins, columns, values = family.features.csr(known)
            folded = np.zeros((len(rows), FOLDED), np.float32)
            folded[rows < family.features.n_rows] = _folded(begins, columns, values)
            found["content"] = _unit(folded)
    begins, codes = state.catalogue.categories.of(rows)
    found["categories"] = _unit(_folded(begins, codes, np.ones(len(codes), np.float32)))
    return {name: vectors for name, vectors in found.items() if vectors.any()}


def joined(spaces: dict[str, F32], n_rows: int) -> F32:
    """(M, D) one vector an item, whose inner products are the mean of the spaces' cosines."""
    if not spaces:
        return np.zeros((n_rows, 1), np.float32)
    together = np.concatenate(list(spaces.values()), axis=1)
    return np.asarray(together / np.sqrt(len(spaces)), dtype=np.float32)


def _unit(vectors: F32, least: float = 1e-9) -> F32:
    lengths = np.sqrt(np.einsum("md,md->m", vectors, vectors))[:, None]
    return np.asarray(np.where(lengths > least, vectors / np.maximum(lengths, 1e-9), 0.0), dtype=np.float32)


@njit(cache=True)
def _folded(begins: I64, columns: I32, values: F32) -> F32:
    rows = len(begins) - 1
    out = np.zeros((rows, FOLDED), np.float32)
    for row in range(rows):
        for at in range(begins[row], begins[row + 1]):
            mixed = np.uint64(columns[at]) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
            place = mixed & np.uint64(FOLDED - 1)
            if mixed & np.uint64(FOLDED):
                out[row, place] += values[at]
            else:
                out[row, place] -= values[at]
    return out
