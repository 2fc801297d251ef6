import numpy as np
import pytest

from everbrook.events.records import ItemChange
from everbrook.features.content import ContentFeatures
from everbrook.models.content import Content
from everbrook.settings.features import FeaturesSettings
from everbrook.testing.contracts import EXPERT_CHECKS, ITEMS, Capabilities
from everbrook.types import NO_ROW, Query


def made():
    return Content(features=ContentFeatures(FeaturesSettings(text_bits=12)))


def shelf():
    content = made()
    colours = ("red", "green", "blue", "black")
    records = [
        ItemChange(id=f"i{i}", title=f"{colours[i % 4]} shoes number {i}", categories=[colours[i % 4]], vectors={"v": [1.0, float(i)]})
        for i in range(ITEMS)
    ]
    content.put(np.arange(ITEMS, dtype=np.int32), records)
    return content


def asked(*items, text=None):
    rows = np.array(items, np.int32)
    return Query(0, NO_ROW, NO_ROW, rows, np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int16), len(rows), text)


@pytest.mark.parametrize("name", EXPERT_CHECKS)
@pytest.mark.parametrize("make", [made, shelf])
def test_content_keeps_the_contract(name, make):
    EXPERT_CHECKS[name](make, Capabilities(observe_sleeps=True))
