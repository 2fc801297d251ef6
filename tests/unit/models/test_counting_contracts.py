"""The shipped contract suite, run on the three counting experts."""

from __future__ import annotations

import pytest

from everbrook.models.popularity import Popularity
from everbrook.models.repeats import Repeats
from everbrook.models.transitions import Transitions
from everbrook.testing.contracts import EXPERT_CHECKS, Capabilities

FAMILIES = {
    "popularity": (Popularity, Capabilities(learns=frozenset({"popularity"}))),
    "transitions": (Transitions, Capabilities(learns=frozenset({"markov", "checkerboard"}))),
    "repeats": (Repeats, Capabilities(learns=frozenset({"repeats"}))),
}


@pytest.mark.parametrize("check", EXPERT_CHECKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_counting_expert_keeps_the_contract(family: str, check: str) -> None:
    make, capabilities = FAMILIES[family]
    EXPERT_CHECKS[check](make, capabilities)
