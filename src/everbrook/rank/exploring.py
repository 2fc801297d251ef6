"""Places of a list that are drawn, and how probable each was.

Every place has its own items to draw from: of those ranked below the list of k, place j has the ones ranked k + j,
2 k + j, and so on. With the probability that is asked for a place goes to one of them, drawn in proportion to
probability ** (1 / temperature) by the Gumbel-max rule; else it keeps its own. So draws are independent, no item can
come twice, and the probability of what is shown is exact: 1 - share for a kept item, share x its part for a drawn one.
An item that a factor of 0 took its whole probability from is never drawn.
"""

from __future__ import annotations

import numpy as np

from everbrook.types import F64, I32, NO_ROW


def explored(
    ranked: I32, rest: I32, probability: F64, share: float, temperature: float, draws: np.random.Generator
) -> tuple[I32, F64]:
    """The list after drawing.

    Args:
        ranked: (k,) candidates in the order of the list.
        rest: the candidates below them, best first.
        probability: (M,) of each candidate.
        share: with which probability a place is drawn, 0..1.
        temperature: > 0; large makes all of a place's items alike.
        draws: where chance comes from.

    Returns:
        (k,) candidates and (k,) the probability that each was shown in its place.
    """
    k = len(ranked)
    if not k or not len(rest):
        return ranked, np.ones(k)
    depth = -(-len(rest) // k)
    padded = np.full(depth * k, NO_ROW, np.int32)
    padded[: len(rest)] = rest
    others = padded.reshape(depth, k)
    there = (others != NO_ROW) & (probability[others] > 0.0)
    able = there.any(axis=0)
    logits = np.where(there, np.log(np.maximum(probability[others], 1e-12)) / temperature, -np.inf)
    peaks = np.where(able, logits.max(axis=0), 0.0)
    weights = np.exp(logits - peaks)
    parts = weights / np.maximum(weights.sum(axis=0), 1e-300)
    drawn = np.where(there, logits + draws.gumbel(size=others.shape), -np.inf).argmax(axis=0)
    goes = (draws.random(k) < share) & able
    column = np.arange(k)
    rows = np.where(goes, others[drawn, column], ranked).astype(np.int32)
    kept = np.where(able, 1.0 - share, 1.0)
    return rows, np.where(goes, share * parts[drawn, column], kept)
