"""Items like one, what happens most, and why an item stands where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.errors import InputError, NotFoundError, UnknownNameError
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.rank import RankSettings
from everbrook.testing.clock import FakeClock

EXPERTS = ("popularity", "transitions", "repeats", "neighbours", "collaborative", "content", "rules")
SETTINGS = Settings(mixture=MixtureSettings(experts=EXPERTS), engine=EngineSettings(log_impressions=False))
HOUR_MS = 3_600_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shop(tmp_path: Path, clock: FakeClock) -> Iterator[Recommender]:
    """Tea leads to pot, pot to cup; boots and shoes are alike in words only; the lamp is alone."""
    now_ms = clock.now_ms()
    with Recommender.open(tmp_path / "shop", SETTINGS, clock) as opened:
        opened.put_items([
            {"id": "tea", "title": "green tea", "categories": ["kitchen"], "properties": {"price": 3}},
            {"id": "pot", "title": "a pot", "categories": ["kitchen"], "properties": {"price": 30}},
            {"id": "cup", "title": "a cup", "categories": ["kitchen"], "properties": {"price": 8}},
            {"id": "boots", "title": "red leather boots", "categories": ["feet"]},
            {"id": "shoes", "title": "black leather shoes", "categories": ["feet"]},
            {"id": "lamp", "title": "electric light", "categories": ["light"]},
        ])  # fmt: skip
        ways = [("tea", "pot", "cup")] * 8 + [("lamp", "boots")] * 2 + [("boots", "tea"), ("lamp", "cup")]
        for n, way in enumerate(ways):
            for step, item in enumerate(way):
                ts = now_ms - 26 * HOUR_MS + 60_000 * (10 * n + step)
                opened.ingest([{"user": f"u{n}", "item": item, "ts": ts, "scenario": "home"}])
        yield opened


def near(shop: Recommender, item: str, **wish: Any) -> list[str]:
    return [one.id for one in shop.similar(item, **wish).items]


def test_similar_items_are_those_that_people_take_and_words_describe_alike(shop: Recommender) -> None:
    assert set(near(shop, "tea", k=2)) == {"pot", "cup"}
    assert near(shop, "boots", k=1) == ["shoes"]
    found = shop.similar("boots").items[0]
    assert set(found.shares) >= {"behaviour", "content", "categories"}
    assert found.score == pytest.approx(sum(found.shares.values()) / len(found.shares), abs=1e-4)
    assert found.shares["categories"] == pytest.approx(1.0)
    assert all(one != "tea" and 0.0 < score <= 1.0 for one, score in
               ((item.id, item.score) for item in shop.similar("tea").items))  # fmt: skip


def test_similar_items_obey_what_may_be_shown(shop: Recommender) -> None:
    assert near(shop, "tea", k=1, filter="price > 10") == ["pot"]
    shop.put_items([{"id": "pot", "hidden": True}])
    assert "pot" not in near(shop, "tea")
    with pytest.raises(NotFoundError, match=r"^Item 'tee' must have been sent before; it was not\.$"):
        shop.similar("tee")
    with pytest.raises(InputError, match=r"^'k' must be between 1 and 1000; got 0\.$"):
        shop.similar("tea", 0)


ALIKE = 130


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """A shop of many mugs that differ in nothing but their number; the last ones have a store. Each family names 10."""
    settings = Settings(
        mixture=MixtureSettings(experts=EXPERTS[:-1], candidates=10), rank=RankSettings(scan=ALIKE, fresh_factor=1e6),
        engine=EngineSettings(log_impressions=False),
    )  # fmt: skip
    with Recommender.open(tmp_path_factory.mktemp("alike") / "shop", settings, FakeClock()) as opened:
        opened.put_items([
            {"id": f"m{n}", "title": f"a mug {n}", "categories": ["mugs"], "properties": {"store": n // 100},
             "ts": FakeClock().now_ms() - (0 if n == 120 else 1000 * 24 * HOUR_MS)}
            for n in range(ALIKE)
        ])  # fmt: skip
        opened.ingest([{"user": f"u{n % 9}", "item": f"m{n % 40}"} for n in range(200)])
        yield opened


def test_similar_items_under_a_filter_are_the_best_of_all_that_match(
    alike: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of store 1 stand behind a hundred others that are as like; without a filter nobody proposes them."""
    every = [(one.id, one.score) for one in alike.similar("m5", 500, filter="not hidden").items]
    assert len(every) == ALIKE - 1
    wanted = [(item, score) for item, score in every if int(item[1:]) >= 100]
    for k in (1, 7, 30):
        found = [(one.id, one.score) for one in alike.similar("m5", k, filter="store = 1").items]
        assert found == wanted[:k]
    few = msgspec.structs.replace(alike.settings, rank=RankSettings(scan=25))
    monkeypatch.setattr(alike, "settings", few)  # too many match for all to be looked at: more are proposed
    beyond = [(one.id, one.score) for one in alike.similar("m5", 7, filter="store = 1").items]
    assert len(beyond) == 7
    assert set(beyond) <= set(wanted)


def test_an_item_that_nobody_proposed_is_told_so_and_a_boost_brings_it(alike: Recommender) -> None:
    fresh, wish = "m120", {"k": 20, "freshness": 1.0}
    assert fresh not in [one.id for one in alike.recommend(user="new", **wish).items]
    told = alike.explain(fresh, "new", **wish)
    assert (told.shown, [one.kind for one in told.hindrances]) == (False, ["unproposed"])
    assert (told.rank, told.lift) == (1, 1.0)
    assert told.hindrances[0].text == (
        "No family of experts proposed it among its first 10 items (mixture.candidates), so it was not weighed for "
        "this list; events with it, or a boost above 1, would make it a candidate."
    )
    lifted = [{"filter": f"id = '{fresh}'", "by": 1.01}]
    assert alike.recommend(user="new", boost=lifted, **wish).items[0].id == fresh
    assert [one.kind for one in alike.explain("m121", "new", **wish).hindrances] == ["unproposed", "rank"]


def trend(shop: Recommender, **wish: Any) -> list[str]:
    return [one.id for one in shop.trending(**wish).items]


def test_trending_looks_back_as_far_as_its_window(shop: Recommender, clock: FakeClock) -> None:
    for n in range(3):
        shop.ingest([{"user": f"v{n}", "item": "lamp", "ts": clock.now_ms() - 60_000 * n, "scenario": "cart"}])
    assert trend(shop, k=1, window="1h") == ["lamp"]
    assert trend(shop, k=2, window="7d")[0] in ("tea", "pot", "cup")
    assert trend(shop, window="30d", scenario="cart") == ["lamp"]
    told = shop.trending(window="1h")
    assert (told.window_s, told.since_ms) == (3600, clock.now_ms() - HOUR_MS)
    assert told.items[0].score == 3.0
    shop.put_items([{"id": "lamp", "hidden": True}])
    assert trend(shop, window="7d", scenario="cart") == []


def test_what_happened_before_the_window_does_not_count(shop: Recommender, clock: FakeClock) -> None:
    now_ms = clock.now_ms()
    old = [{"user": f"o{n}", "item": "boots", "ts": now_ms - 10 * 24 * HOUR_MS - n} for n in range(200)]
    shop.ingest(old + [{"user": f"y{n}", "item": "shoes", "ts": now_ms - n} for n in range(10)])
    scores = {window: {one.id: one.score for one in shop.trending(window=window).items} for window in ("7d", "30d")}
    assert (scores["7d"]["shoes"], scores["7d"]["boots"]) == (10.0, 3.0)  # three of yesterday
    assert scores["30d"]["boots"] == 203.0
    assert trend(shop, window="30d", k=1) == ["boots"]


def test_counts_are_the_same_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    now_ms, told = clock.now_ms(), []
    events = [{"user": f"u{n % 7}", "item": f"i{n % 5}", "ts": now_ms - 97_000 * n * n} for n in range(150)]
    for part in (events[:100], events[100:], []):
        with Recommender.open(tmp_path / "kept", SETTINGS, clock) as opened:
            opened.ingest(part)
            told = [opened.trending(window=window) for window in ("10m", "2h", "2d", "64d")]
    with Recommender.open(tmp_path / "fresh", SETTINGS, clock) as fresh:
        fresh.ingest(events)
        assert [fresh.trending(window=window) for window in ("10m", "2h", "2d", "64d")] == told


def test_a_checkpoint_from_before_windows_were_counted_is_passed_over(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as before:
        before.setattr("everbrook.state.counters.Windows", lambda: None)
        with Recommender.open(tmp_path / "old", SETTINGS, clock) as opened:
            opened.ingest([{"user": "ann", "item": "tea"}])
            opened.checkpoint()
    with Recommender.open(tmp_path / "old", SETTINGS, clock) as opened:
        assert trend(opened, window="64d") == ["tea"]
        assert opened.status()["events"] == 1
    assert "is passed over, and the log is read from its beginning" in caplog.text


def test_what_is_not_liked_does_not_trend(shop: Recommender, clock: FakeClock) -> None:
    shop.ingest([{"user": f"v{n}", "item": "shoes", "kind": "dislike"} for n in range(50)])
    assert "shoes" not in trend(shop, window="1h")


@pytest.mark.parametrize("window", ["", "1", "h", "0h", "-1h", "1y", "1h "])
def test_a_window_that_cannot_be_read_is_told(shop: Recommender, window: str) -> None:
    with pytest.raises(InputError) as error:
        shop.trending(window=window)
    assert error.value.message == (
        f"'window' must be a number > 0 and one of s, m, h, d, w, such as '1h'; got '{window}'."
    )
    with pytest.raises(UnknownNameError):
        shop.trending(scenario="hom")
    assert shop.trending(window="64d").items
    with pytest.raises(InputError) as error:
        shop.trending(window="65d")
    assert error.value.message == "'window' must be at most 64d, for which counts are kept; got '65d'."


def test_an_explanation_agrees_with_the_list(shop: Recommender) -> None:
    shop.ingest([{"user": "me", "item": "lamp"}, {"user": "me", "item": "tea"}])
    listed = shop.recommend(user="me", k=3).items
    for place, item in enumerate(listed):
        told = shop.explain(item.id, "me", k=3)
        assert (told.shown, told.rank, told.lift, told.hindrances) == (True, place + 1, 1.0, ())
        assert told.probability == pytest.approx(item.score, rel=1e-6)
        assert sum(part.share for part in told.experts) == pytest.approx(1.0, abs=0.01)


def test_the_past_item_that_brought_it_is_found_by_leaving_it_out(shop: Recommender) -> None:
    shop.ingest([{"user": "me", "item": "lamp"}, {"user": "me", "item": "tea"}])
    told = shop.explain("pot", "me")
    assert told.history[0].item == "tea"
    assert told.history[0].share > 0.5
    assert sum(part.share for part in told.history) == pytest.approx(1.0, abs=0.01)
    assert shop.explain("pot", "a stranger").history == ()


def test_what_holds_an_item_back_is_named(shop: Recommender, clock: FakeClock) -> None:
    shop.ingest([{"user": "me", "item": "cup"}, {"user": "me", "item": "boots", "kind": "dislike"}])
    shop.put_items([{"id": "tea", "hidden": True}, {"id": "lamp", "expires": clock.now_ms()}])

    def held(item: str, **wish: Any) -> list[str]:
        told = shop.explain(item, "me", **wish)
        assert not told.shown
        return [one.kind for one in told.hindrances]

    assert held("tea") == ["hidden"]
    assert held("lamp") == ["expired"]
    (gone,) = shop.explain("lamp", "me").hindrances
    assert gone.text == f"It expired at {datetime.fromtimestamp(clock.now_ms() // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}."
    assert held("boots") == ["disliked"]
    assert held("cup", exclude_seen=True) == ["seen"]
    assert held("pot", exclude=("pot",)) == ["excluded"]
    assert held("pot", filter="price < 5") == ["filtered"]
    assert held("pot", categories=("feet",)) == ["categories"]
    assert held("pot", candidates=("cup",)) == ["candidates"]
    assert held("pot", items=("pot",)) == ["asked"]
    assert held("tea", filter="price > 5", exclude=("tea",)) == ["hidden", "excluded", "filtered"]


def test_an_item_that_is_outranked_is_told_what_would_lift_it(shop: Recommender) -> None:
    shop.ingest([{"user": "me", "item": "tea"}])
    told = shop.explain("shoes", "me", k=1)
    assert (told.shown, [one.kind for one in told.hindrances]) == (False, ["rank"])
    assert told.rank > 1
    assert told.lift == pytest.approx(told.needed / told.probability)
    lifted = [{"filter": "id = 'shoes'", "by": 1.01 * told.lift}]
    assert shop.recommend(user="me", k=1, boost=lifted).items[0].id == "shoes"
    short = [{"filter": "id = 'shoes'", "by": 0.99 * told.lift}]
    assert shop.recommend(user="me", k=1, boost=short).items[0].id != "shoes"


def test_what_took_a_place_is_told_as_it_was(shop: Recommender) -> None:
    """Variety, a pin, a boost by 0, an equal that is older: each is named where it was the reason, and only there."""
    first, second, *_, last = [one.id for one in shop.recommend(user="new", k=6).items]

    def told(item: str, **wish: Any) -> list[tuple[str, str]]:
        return [(one.kind, one.text) for one in shop.explain(item, "new", **wish).hindrances]

    pins = [{"item": last, "position": 0}]
    assert told(second, k=2, pin=pins) == [("pin", "It is ranked 2 of 5, and pinned items take 1 of the 2 places.")]
    assert told(first, k=2, pin=pins) == []
    assert told(first, k=5, boost=[{"filter": f"id = '{first}'", "by": 0}]) == [
        ("factor", "A boost by 0, or its likeness to what is not wanted, takes its whole probability away.")
    ]
    varied = [one.id for one in shop.recommend(user="new", k=2, diversity=0.9).items]
    assert second not in varied
    assert told(second, k=2, diversity=0.9) == [
        ("variety", "It is ranked 2 of 6; variety gave its place to another.")
    ]
    shop.put_items([{"id": "left", "title": "one more"}, {"id": "right", "title": "one more"}])
    left, right = (shop.explain(item, "new", k=8) for item in ("left", "right"))
    assert (right.rank, right.probability) == (left.rank + 1, left.probability)
    (level,) = told("right", k=left.rank)
    assert level[1].startswith(f"It is ranked {right.rank} of 8, level with the list's last, which is known for ")
    raised = shop.recommend(user="new", k=left.rank, boost=[{"filter": "id = 'right'", "by": 1.001}]).items
    assert "right" in [one.id for one in raised]


def test_an_explanation_of_a_search_weighs_what_was_typed(shop: Recommender) -> None:
    listed = shop.recommend(query="leather boots", k=2).items
    assert [one.id for one in listed] == ["boots", "shoes"]
    for place, one in enumerate(listed):
        told = shop.explain(one.id, query="leather boots", k=2)
        assert (told.shown, told.rank, told.candidates) == (True, place + 1, 2)
        assert told.probability == pytest.approx(one.score, rel=1e-6)
    behind = shop.explain("shoes", query="leather boots", k=1)
    assert [one.kind for one in behind.hindrances] == ["rank"]
    assert [one.kind for one in shop.explain("tea", query="leather boots", k=2).hindrances] == ["unmatched"]


def test_looking_changes_nothing(shop: Recommender) -> None:
    before = shop.recommend(user="u1", k=6)
    for _ in range(3):
        shop.similar("tea")
        shop.trending(window="1h")
        shop.explain("boots", "nobody yet")
    after = shop.recommend(user="u1", k=6)
    assert [(one.id, one.score) for one in after.items] == [(one.id, one.score) for one in before.items]
    assert shop.status()["actors"] == 12
