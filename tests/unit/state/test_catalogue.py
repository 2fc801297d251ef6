"""Item records, and which items may be shown."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.errors import UnknownNameError
from everbrook.events.records import ItemChange, UserChange
from everbrook.state.catalogue import Catalogue
from everbrook.state.labels import Labels
from everbrook.state.people import People


def test_fields_left_out_stay_and_null_removes() -> None:
    catalogue = Catalogue()
    catalogue.put(0, ItemChange(id="a", title="Boots", text="warm", properties={"price": 10, "brand": "x"}))
    catalogue.put(0, ItemChange(id="a", text=None, properties={"price": 12, "brand": None}))
    whole = catalogue.get(0)
    assert whole is not None
    assert (whole.title, whole.text, whole.properties) == ("Boots", ItemChange(id="-").text, {"price": 12})
    assert (catalogue.title(0), catalogue.title(1), catalogue.texts(0)) == ("Boots", None, "Boots")


def test_hidden_and_expired_items_are_not_visible() -> None:
    catalogue = Catalogue()
    catalogue.put(1, ItemChange(id="b", hidden=True))
    catalogue.put(3, ItemChange(id="d", expires=100))
    assert catalogue.visible(99, 5).tolist() == [True, False, True, True, True]
    assert catalogue.visible(100, 5).tolist() == [True, False, True, False, True]
    assert catalogue.visible(99, 5).tolist() == [True, False, True, True, True]  # a question about the past
    catalogue.put(1, ItemChange(id="b", hidden=None))
    catalogue.put(3, ItemChange(id="d", expires=None))
    assert catalogue.visible(100, 5).all()


def test_the_mask_is_made_once_while_nothing_changes() -> None:
    catalogue = Catalogue()
    catalogue.put(0, ItemChange(id="a", expires=1000))
    first = catalogue.visible(10, 100)
    assert np.shares_memory(first, catalogue.visible(999, 100))
    assert np.shares_memory(first, catalogue.visible(999, 110))
    catalogue.put(1, ItemChange(id="b", title="only a title"))
    assert np.shares_memory(first, catalogue.visible(999, 100))
    assert not np.shares_memory(first, catalogue.visible(1000, 100))


def test_a_mask_handed_out_does_not_change_later() -> None:
    catalogue = Catalogue()
    before = catalogue.visible(0, 3)
    catalogue.put(1, ItemChange(id="b", hidden=True))
    catalogue.visible(0, 3)
    assert before.all()


def test_visibility_is_what_each_record_says_at_any_moment() -> None:
    rng, catalogue = np.random.default_rng(0), Catalogue()
    records: dict[int, tuple[int, bool]] = {}
    n_items = 1
    for _ in range(300):
        n_items += int(rng.integers(0, 3))
        row, now_ms = int(rng.integers(0, n_items)), int(rng.integers(0, 100))
        if rng.random() < 0.5:
            records[row] = (int(rng.integers(0, 100)), bool(rng.random() < 0.2))
            catalogue.put(row, ItemChange(id="x", expires=records[row][0], hidden=records[row][1]))
        expected = [not records[i][1] and records[i][0] > now_ms if i in records else True for i in range(n_items)]
        assert catalogue.visible(now_ms, n_items).tolist() == expected


def test_items_are_found_by_any_of_their_categories() -> None:
    catalogue = Catalogue()
    catalogue.put(0, ItemChange(id="a", categories=["shoes", "red"]))
    catalogue.put(2, ItemChange(id="c", categories=["hats"]))
    assert catalogue.in_categories(["shoes"], 4).tolist() == [True, False, False, False]
    assert catalogue.in_categories(["red", "hats"], 4).tolist() == [True, False, True, False]
    assert catalogue.in_categories([], 2).tolist() == [False, False]
    catalogue.put(0, ItemChange(id="a", categories=["hats"]))
    assert catalogue.in_categories(["hats"], 4).tolist() == [True, False, True, False]
    with pytest.raises(UnknownNameError) as caught:
        catalogue.in_categories(["hat"], 4)
    assert str(caught.value) == "Unknown category 'hat'. Did you mean 'hats'? Known: hats, red, shoes."


def test_label_sets_survive_many_replacements() -> None:
    rng, labels = np.random.default_rng(1), Labels("category")
    kept: dict[int, list[str]] = {}
    for _ in range(3000):
        row = int(rng.integers(0, 100))
        kept[row] = [f"c{c}" for c in rng.choice(8, int(rng.integers(0, 4)), replace=False)]
        labels.put(row, kept[row])
    starts, counts, codes = labels.csr(120)
    for row in range(120):
        found = labels.names.ids(codes[starts[row] : starts[row] + counts[row]])
        assert found == kept.get(row, [])
    assert labels.carried(["c3"], 120).tolist() == ["c3" in kept.get(row, []) for row in range(120)]


def test_user_properties_change_key_by_key() -> None:
    people = People()
    people.put(4, UserChange(id="u", properties={"country": "DE", "age": 30}))
    people.put(4, UserChange(id="u", properties={"age": None, "plan": "free"}))
    other = People()
    other.load(people.arrays())
    assert other.properties(4) == people.properties(4) == {"country": "DE", "plan": "free"}
    assert people.properties(5) == {}
    assert people.forget(4)
    assert not people.forget(4)
