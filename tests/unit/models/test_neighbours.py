import pytest

from everbrook.models.neighbours import SessionNeighbours
from everbrook.settings.neighbours import NeighboursSettings
from everbrook.testing.contracts import EXPERT_CHECKS, Capabilities


def small(**given):
    return SessionNeighbours(NeighboursSettings(sessions=512, **given))


@pytest.mark.parametrize("name", EXPERT_CHECKS)
def test_session_neighbours_keep_the_contract(name):
    EXPERT_CHECKS[name](small, Capabilities(learns=frozenset({"markov"}), observe_sleeps=True))
