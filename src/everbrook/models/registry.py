"""The families of experts by name: what configures each, what builds it, and where its method comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from everbrook.errors import UnknownNameError
from everbrook.features.content import ContentFeatures
from everbrook.models.collaborative import Collaborative
from everbrook.models.content import Content
from everbrook.models.live_expert import LiveExpert
from everbrook.models.neighbours import SessionNeighbours
from everbrook.models.popularity import Popularity
from everbrook.models.repeats import Repeats
from everbrook.models.rules import Names, Rules
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.models.transitions import Transitions
from everbrook.settings import Settings
from everbrook.settings.collaborative import CollaborativeSettings
from everbrook.settings.content import ContentSettings
from everbrook.settings.live import LiveSettings
from everbrook.settings.neighbours import NeighboursSettings
from everbrook.settings.popularity import PopularitySettings
from everbrook.settings.repeats import RepeatsSettings
from everbrook.settings.rules import RulesSettings
from everbrook.settings.sequence import SequenceSettings
from everbrook.settings.transitions import TransitionsSettings
from everbrook.state import State
from everbrook.types import Expert


class Entry(NamedTuple):
    """One family."""

    config: type[Struct]
    build: Callable[[Settings, State], Expert]
    source: str


MODELS: dict[str, Entry] = {
    "popularity": Entry(
        PopularitySettings,
        lambda s, _: Popularity(s.popularity),
        "Counts that fade exponentially, at several half-lives",
    ),
    "transitions": Entry(
        TransitionsSettings,
        lambda s, _: Transitions(s.transitions),
        "Markov chains and windowed co-visitation with forgetting",
    ),
    "repeats": Entry(
        RepeatsSettings,
        lambda s, _: Repeats(s.repeats),
        "Returns by recency: Anderson et al., 'The dynamics of repeat consumption' (WWW 2014)",
    ),
    "neighbours": Entry(
        NeighboursSettings,
        lambda s, _: SessionNeighbours(s.neighbours),
        "VMIS-kNN: Kersbergen et al., 'Serenade' (SIGMOD 2022)",
    ),
    "collaborative": Entry(
        CollaborativeSettings,
        lambda s, _: Collaborative(s.collaborative),
        "Item- and user-based filtering: Sarwar et al., 'Item-based collaborative filtering' (WWW 2001)",
    ),
    "content": Entry(
        ContentSettings,
        lambda s, _: Content(s.content, ContentFeatures(s.features)),
        "TF-IDF cosine: Salton & Buckley, 'Term-weighting approaches' (1988)",
    ),
    "rules": Entry(RulesSettings, lambda s, state: Rules(s.rules, _names(state)), "Lists from the settings"),
    "sequence": Entry(
        SequenceSettings,
        lambda s, _: SequenceExpert(s.sequence),
        "SASRec (ICDM 2018), HSTU (ICML 2024), GRU4Rec (ICLR 2016)",
    ),
    "live": Entry(
        LiveSettings,
        lambda s, _: LiveExpert(s.live, None),
        "Gated linear recurrence (HGRN, NeurIPS 2023) as a lift over live popularity, learned online",
    ),
}


def _names(state: State) -> Names:
    return Names(state.scenarios.row, state.kinds.names.row, state.items.row)


def build(name: str, settings: Settings, state: State) -> Expert:
    """Make a family from its settings.

    Args:
        name: one of `MODELS`.
        settings: all of them.
        state: gives names their rows.

    Raises:
        UnknownNameError: there is no such family.
    """
    if name not in MODELS:
        raise UnknownNameError("expert", name, MODELS)
    return MODELS[name].build(settings, state)
