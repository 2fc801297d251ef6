"""The families of experts by name: what configures each, what builds it, and where its method comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from everbrook.errors import UnknownNameError
from everbrook.models.collaborative import Collaborative
from everbrook.models.content import Content
from everbrook.models.neighbours import SessionNeighbours
from everbrook.models.popularity import Popularity
from everbrook.models.repeats import Repeats
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.models.transitions import Transitions
from everbrook.settings import Settings
from everbrook.types import Expert


class Entry(NamedTuple):
    """One family."""

    build: Callable[[Settings], Expert]
    source: str


MODELS: dict[str, Entry] = {
    "popularity": Entry(lambda s: Popularity(s.popularity), "Exponentially decayed counts, several half-lives"),
    "transitions": Entry(lambda s: Transitions(s.transitions), "Markov chains and windowed co-visitation with forgetting"),
    "repeats": Entry(lambda s: Repeats(s.repeats), "Returns by recency; Anderson et al., 'The dynamics of repeat consumption' (WWW 2014)"),
    "neighbours": Entry(lambda s: SessionNeighbours(s.neighbours), "VMIS-kNN; Kersbergen et al., 'Serenade' (SIGMOD 2022)"),
    "collaborative": Entry(lambda s: Collaborative(s.collaborative), "Item- and user-based filtering; Sarwar et al. (WWW 2001)"),
    "content": Entry(lambda s: Content(s.content), "TF-IDF cosine; Salton & Buckley (1988)"),
    "sequence": Entry(lambda s: SequenceExpert(s.sequence), "SASRec (ICDM 2018), HSTU (ICML 2024), GRU4Rec (ICLR 2016)"),
}


def build(name: str, settings: Settings) -> Expert:
    """Make a family from its settings.

    Raises:
        UnknownNameError: there is no such family.
    """
    if name not in MODELS:
        raise UnknownNameError("expert", name, MODELS)
    return MODELS[name].build(settings)
