import numpy as np
import pytest

from everbrook.events.records import ItemChange
from everbrook.models.rules import Names, Rules
from everbrook.settings.rules import Rule, RulesSettings
from everbrook.testing.contracts import EXPERT_CHECKS, Capabilities
from everbrook.types import NO_ROW

SHELF = RulesSettings(
    rules=(
        Rule(name="newest"),
        Rule(name="hits", order="popular", half_life_s=3600.0),
        Rule(name="cart", order="manual", items=("i3", "i1", "i99"), scenarios=("cart",)),
        Rule(name="dear", order="highest", property="price", categories=("a",)),
        Rule(name="young", order="lowest", property="price", tags=("t",), max_age_s=10.0),
    ),
    refresh_events=16,
)
NAMES = Names({"cart": 0}.get, {"buy": 1}.get, lambda name: int(name[1:]) if int(name[1:]) < 48 else NO_ROW)


def shelf():
    rules = Rules(SHELF, NAMES)
    records = [
        ItemChange(
            id=f"i{i}", ts=1_000 * i, categories=["a" if i % 2 else "b"], tags=["t"] if i >= 5 else [],
            properties={"price": 100.0 - i}, hidden=i == 7,
        )
        for i in range(10)
    ]  # fmt: skip
    rules.put(np.arange(10, dtype=np.int32), records)
    return rules


@pytest.mark.parametrize("name", EXPERT_CHECKS)
@pytest.mark.parametrize("make", [Rules, shelf])
def test_rules_keep_the_contract(name, make):
    EXPERT_CHECKS[name](make, Capabilities(observe_sleeps=True))
