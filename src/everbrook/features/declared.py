"""Every feature that a model can have, declared once: name, what it is of, its form, and the code that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from everbrook.features.sequence import EVENT_FEATURES


@dataclass(frozen=True, slots=True)
class Feature:
    """What a feature is; the code that makes it is named, so that there is one place to look."""

    of: Literal["event", "item"]
    form: Literal["row", "code", "pair", "numbers", "sparse", "vector"]
    help: str
    made_by: str


FEATURES: dict[str, Feature] = {
    "item": Feature("event", "row", "Which item.", "state.ids"),
    "kind": Feature("event", "row", "Which kind of event.", "state.kinds"),
    "scenario": Feature("event", "row", "Where the item was met.", "state.ids"),
    "places": Feature("event", "pair", "How many places two events of a history lie apart.", "models.layers"),
    "times": Feature("event", "pair", "Time between two events of a history, as a gap.", "features.moments"),
    **{name: Feature("event", "code", one.help, "features.sequence") for name, one in EVENT_FEATURES.items()},
    "text": Feature("item", "sparse", "Words, pairs and pieces of words of title and text.", "features.content"),
    "labels": Feature("item", "sparse", "Categories, tags and named properties.", "features.content"),
    "numbers": Feature("item", "numbers", "Numeric properties, in deviations from the mean.", "features.numbers"),
    "vectors": Feature("item", "vector", "Given vectors, at length 1.", "features.vectors"),
}
