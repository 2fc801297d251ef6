"""Personalised search by a typed text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everbrook.engine import Recommender
from everbrook.errors import InputError
from everbrook.settings import Settings, load_settings
from everbrook.settings.content import ContentSettings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.rank import RankSettings
from everbrook.testing.clock import FakeClock

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


BETTER, BEHIND = 1200, 30


def crowded(path: Path, scan: int, postings: int) -> Recommender:
    """1,200 items of brand 1, which a text matches better than thirty of brand 0 that were told of before them."""
    settings = Settings(
        mixture=MixtureSettings(experts=("popularity", "content")), rank=RankSettings(scan=scan),
        content=ContentSettings(postings=postings), engine=EngineSettings(log_impressions=False),
    )  # fmt: skip
    shop = Recommender.open(path, settings, FakeClock())
    titles = [("x", "red shoe with laces", BEHIND), ("y", "red shoe", BETTER), ("hat", "blue hat", BETTER)]
    shop.put_items([
        {"id": f"{name}{n}", "title": title, "properties": {"brand": int(name == "y")}}
        for name, title, many in titles for n in range(many)
    ])  # fmt: skip
    return shop


@pytest.fixture(scope="module", params=[(3000, 8000), (20, 8000), (20, 100)])
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """Where a filter leaves few, all are compared; or the best are looked for with many entries read; or with few."""
    scan, postings = request.param
    with crowded(tmp_path_factory.mktemp("crowd"), scan, postings) as opened:
        yield opened


def test_what_a_filter_leaves_is_found_behind_any_number_of_better_matches(crowd: Recommender) -> None:
    found = crowd.recommend(query="red shoe", filter="brand = 0", k=40).items
    assert sorted(item.id for item in found) == sorted(f"x{n}" for n in range(BEHIND))
    assert sum(item.score for item in found) == pytest.approx(1.0, abs=1e-4)
    left_out = tuple(f"y{n}" for n in range(BETTER))
    assert {item.id[0] for item in crowd.recommend(query="red shoe", exclude=left_out, k=5).items} == {"x"}


def test_candidates_are_all_compared_with_the_text(crowd: Recommender) -> None:
    candidates = ("x0", "x7", "hat0", "nothing", "y9")
    found = [item.id for item in crowd.recommend(query="red shoe", candidates=candidates, k=5).items]
    assert sorted(found) == ["x0", "x7", "y9"]
    assert found[0] == "y9"
    held = crowd.recommend(query="red shoe", candidates=candidates, filter="brand = 0", k=5).items
    assert sorted(item.id for item in held) == ["x0", "x7"]


def test_an_explanation_tells_what_the_text_does_not_match_from_what_others_match_better(crowd: Recommender) -> None:
    def told(item: str, **wish: Any) -> list[str]:
        return [one.kind for one in crowd.explain(item, query="red shoe", k=40, **wish).hindrances]

    assert told("x3", filter="brand = 0") == []
    assert told("y3", filter="brand = 0") == ["filtered"]
    assert told("x3", candidates=("y3",)) == ["candidates"]
    assert told("hat0", filter="brand = 0") == ["unmatched"]
    behind = crowd.explain("x3", query="red shoe", k=40)
    assert behind.hindrances[0].text == (
        f"The typed text matches it, but it is not among the {behind.candidates - 1} items that are weighed, which "
        "match best as far as content.postings reaches."
    )
    assert behind.probability > 0.0


def test_what_is_expired_takes_nobodys_place_in_a_search(tmp_path: Path) -> None:
    with crowded(tmp_path, 3000, 8000) as shop:
        shop.put_items([{"id": f"y{n}", "expires": 1} for n in range(BETTER)])
        assert {item.id for item in shop.recommend(query="red shoe", k=40).items} == {f"x{n}" for n in range(BEHIND)}
