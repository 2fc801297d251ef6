"""Personalised search by a typed text."""

from __future__ import annotations

from pathlib import Path

import pytest

from everbrook.engine import Recommender
from everbrook.errors import InputError
from everbrook.settings import load_settings

ITEMS = [{"id": "i1", "title": "Red shoes"}, {"id": "i2", "title": "red boots"}, {"id": "i3", "title": "blue hat"}]


def test_a_typed_text_lists_only_what_it_matches(tmp_path: Path) -> None:
    with Recommender.open(tmp_path) as shop:
        shop.put_items(ITEMS)
        shop.ingest([{"user": "ann", "item": "i3"}])
        assert {item.id for item in shop.recommend(user="ann", query="red").items} == {"i1", "i2"}
        assert [item.id for item in shop.recommend(user="ann", query="hat").items] == ["i3"]
        assert shop.recommend(user="ann", query="qqqqq").items == ()
        for blank in ("", " \n"):
            shown = [item.id for item in shop.recommend(user="bob", query=blank).items]
            assert shown == [item.id for item in shop.recommend(user="bob").items] != []


def test_what_people_take_decides_between_equal_matches(tmp_path: Path) -> None:
    with Recommender.open(tmp_path) as shop:
        shop.put_items([{"id": "a", "title": "green tea"}, {"id": "b", "title": "green tea"}])
        shop.ingest([{"user": f"u{n}", "item": "b"} for n in range(5)])
        assert next(item.id for item in shop.recommend(user="stranger", query="green tea").items) == "b"


def test_searching_without_an_expert_that_reads_is_an_error(tmp_path: Path) -> None:
    settings = load_settings(assignments=['mixture.experts=["popularity"]']).settings
    with Recommender.open(tmp_path, settings) as shop, pytest.raises(InputError) as caught:
        shop.recommend(user="ann", query="red")
    assert str(caught.value) == "'query' needs the expert 'content' in the setting mixture.experts; it is not there."
