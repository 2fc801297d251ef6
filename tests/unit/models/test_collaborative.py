import pytest

from everbrook.models.collaborative import Collaborative
from everbrook.settings.collaborative import CollaborativeSettings
from everbrook.testing.contracts import EXPERT_CHECKS, Capabilities


def small(**given):
    return Collaborative(CollaborativeSettings(users=64, user_items=50, **given))


@pytest.mark.parametrize("name", EXPERT_CHECKS)
def test_collaborative_filtering_keeps_the_contract(name):
    EXPERT_CHECKS[name](small, Capabilities(learns=frozenset({"checkerboard"}), observe_sleeps=True))
