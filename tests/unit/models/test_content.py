import numpy as np
import pytest

from everbrook.events.records import ItemChange
from everbrook.features.content import ContentFeatures
from everbrook.models.content import Content
from everbrook.settings.content import ContentSettings
from everbrook.settings.features import FeaturesSettings
from everbrook.testing.contracts import EXPERT_CHECKS, ITEMS, Capabilities
from everbrook.types import NO_ROW, Query


def made():
    return Content(features=ContentFeatures(FeaturesSettings(text_bits=12)))


def shelf():
    content = made()
    colours = ("red", "green", "blue", "black")
    records = [
        ItemChange(
            id=f"i{i}",
            title=f"{colours[i % 4]} shoes number {i}",
            categories=[colours[i % 4]],
            vectors={"v": [1.0, float(i)]},
        )
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


def scores(content, query):
    mass, rest = np.empty((ITEMS, len(content.names)), np.float32), np.empty(len(content.names), np.float32)
    content.score(query, np.arange(ITEMS, dtype=np.int32), mass, rest)
    return mass, rest


def test_similar_items_come_first_without_any_event():
    mass, _ = scores(shelf(), asked(4))
    best = np.argsort(-mass[:, 0])[:11]
    assert 4 not in best
    assert (best % 4 == 0).all()


def test_a_brand_new_item_with_a_title_has_a_place_at_once():
    content = shelf()
    content.put(np.array([60], np.int32), [ItemChange(id="new", title="red shoes", categories=["red"])])
    assert 60 in content.propose(asked(0, 4), 12)


def test_a_changed_item_is_found_by_its_new_content_only():
    content = shelf()
    content.put(np.array([4], np.int32), [ItemChange(id="i4", title="yellow hat")])
    mass, _ = scores(content, asked(0))
    assert mass[4, :2].sum() == 0
    content.put(np.array([60], np.int32), [ItemChange(id="h", title="yellow scarf")])
    assert content.propose(asked(60), 3)[0] == 4


def test_an_item_without_content_is_forgotten():
    content = shelf()
    content.put(np.arange(ITEMS, dtype=np.int32), [None] * ITEMS)
    _, rest = scores(content, asked(0))
    assert np.isnan(rest[:2]).all()


def test_a_typed_query_finds_items_also_those_one_has():
    content = shelf()
    typed = content.text("blue shoes")
    mass, _ = scores(content, asked(2, text=typed))
    assert mass[2, 0] > 0
    assert sorted(content.propose(asked(text=typed), 12).tolist()) == list(range(2, ITEMS, 4))


def test_a_lower_temperature_is_sharper():
    mass, rest = scores(shelf(), asked(4))
    shares = mass / (1 - rest)
    assert shares[:, 0].max() > shares[:, 1].max()


def test_given_vectors_are_compared_by_angle():
    content = made()
    vectors = [[1.0, 0.0], [10.0, 1.0], [0.0, 1.0]]
    content.put(np.arange(3, dtype=np.int32), [ItemChange(id=f"{i}", vectors={"v": v}) for i, v in enumerate(vectors)])
    mass, _ = scores(content, asked(0))
    assert mass[1, 2] > 0
    assert mass[[0, 2], 2].sum() == 0


def test_the_reason_is_the_item_of_the_history_that_resembles_it():
    assert shelf().because(asked(1, 2), np.array([5, 6], np.int32)).tolist() == [1, 2]


def test_cosines_equal_those_of_dense_rows():
    content = shelf()
    indptr, columns, values = content.features.csr(np.arange(ITEMS, dtype=np.int32))
    dense = np.zeros((ITEMS, content.features.n_columns))
    for row in range(ITEMS):
        dense[row, columns[indptr[row] : indptr[row + 1]]] = values[indptr[row] : indptr[row + 1]]
    profile = dense[5] + 0.8 * dense[8]
    want = dense @ (profile / np.linalg.norm(profile))
    want[[5, 8]] = 0
    parts = np.exp(want / 0.05) - 1
    mass, rest = scores(content, asked(8, 5))
    np.testing.assert_allclose(mass[:, 0], (1 - rest[0]) * parts / parts.sum(), rtol=1e-3, atol=1e-6)


def test_a_small_budget_still_finds_items_by_their_most_telling_features():
    content = Content(ContentSettings(postings=100), ContentFeatures(FeaturesSettings(text_bits=12)))
    records = [ItemChange(id=f"{i}", title=f"thing kind{i // 2}") for i in range(600)]
    content.put(np.arange(600, dtype=np.int32), records)
    assert content.propose(asked(100), 1).tolist() == [101]


def test_many_changes_of_an_item_do_not_pile_up():
    content = made()
    text = " ".join(f"word{i}" for i in range(200))
    rows = np.arange(20, dtype=np.int32)
    before = None
    for turn in range(30):
        content.put(rows, [ItemChange(id=f"{i}", title=f"red shoe {i % 3}", text=text) for i in rows])
        proposed = content.propose(asked(0), 3).tolist()
        assert before is None or proposed == before, turn
        before = proposed
    assert len(content.state()["index.post_row"]) < 15 * 20 * 1500
