"""What a page is shown: histories, the catalogue, counts and single items, against plain loops over what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from everbrook import Recommender
from everbrook.errors import InputError, NotFoundError, UnknownNameError
from everbrook.settings import load_settings
from everbrook.testing.clock import FakeClock

HOUR_MS = 3_600_000
SETTINGS = load_settings(environment={}, assignments=['mixture.experts=["popularity"]']).settings
EVENTS = [
    {"user": f"u{n % 5}", "item": f"i{n * n % 11}", "kind": ("view", "like", "dislike")[n % 3], "ts": n * 60_000,
     **({"scenario": ("home", "cart")[n % 2]} if n % 4 else {})}
    for n in range(120)
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """A few items and events."""
    clock = FakeClock(120 * 60_000)
    with Recommender.open(tmp_path_factory.mktemp("browse") / "data", SETTINGS, clock) as engine:
        engine.put_items([{"id": f"i{n}", "title": f"Tea {n}" if n % 2 else f"Cup {n}"} for n in range(13)])
        engine.put_items([{"id": "i3", "hidden": True}, {"id": "gone", "title": "Tea gone"}])
        engine.ingest(EVENTS)
        engine.delete_item("gone")
        yield engine


def test_a_history_is_the_last_events_with_their_titles(shop: Recommender) -> None:
    own = [one for one in EVENTS if one["user"] == "u2"][::-1]
    found = shop.history("u2", k=7)["events"]
    assert [(one["item"], one["kind"], one["ts"]) for one in found] == [
        (one["item"], one["kind"], one["ts"]) for one in own[:7]
    ]
    assert all(one["title"].endswith(one["item"][1:]) for one in found)


def test_looking_at_a_stranger_creates_nobody(shop: Recommender) -> None:
    before = shop.counts()
    assert shop.history("nobody") == {"events": [], "known": False}
    assert shop.history(session="none") == {"events": [], "known": False}
    assert shop.people("nobody")["people"] == []
    assert shop.counts() == before


def test_people_are_found_by_a_piece_of_their_id(shop: Recommender) -> None:
    assert [one["id"] for one in shop.people(k=2)["people"]] == ["u4", "u3"]
    assert shop.people("U3")["people"] == [{"id": "u3", "events": 24}]


def test_the_catalogue_is_searched_by_title_and_id_and_sorted_by_events(shop: Recommender) -> None:
    events = Counter(one["item"] for one in EVENTS)
    found = shop.catalogue("tea", k=50)
    assert {one["id"] for one in found["items"]} == {f"i{n}" for n in range(1, 13, 2)}
    counts = [one["events"] for one in found["items"]]
    assert counts == sorted(counts, reverse=True)
    assert all(one["events"] == events[one["id"]] for one in found["items"])
    assert [one["id"] for one in shop.catalogue("I12")["items"]] == ["i12"]
    assert shop.catalogue("gone")["items"] == []


def test_the_catalogue_is_cut_into_pages_and_by_what_is_hidden(shop: Recommender) -> None:
    whole = [one["id"] for one in shop.catalogue(k=50)["items"]]
    assert [one["id"] for start in range(0, 13, 5) for one in shop.catalogue(k=5, start=start)["items"]] == whole
    assert [one["id"] for one in shop.catalogue(shown="hidden")["items"]] == ["i3"]
    assert shop.catalogue(shown="visible")["found"] == 12
    with pytest.raises(UnknownNameError):
        shop.catalogue(shown="some")  # type: ignore[arg-type]
    with pytest.raises(InputError):
        shop.catalogue(k=0)


def test_counts_are_those_of_a_plain_loop(shop: Recommender) -> None:
    found = shop.counts()
    plain = Counter((one.get("scenario"), one["kind"]) for one in EVENTS)
    assert {(one["scenario"], one["kind"]): one["events"] for one in found["by_scenario"]} == dict(plain)
    kinds = Counter(one["kind"] for one in EVENTS)
    assert {one["kind"]: one["events"] for one in found["kinds"] if one["events"]} == dict(kinds)


def test_an_item_tells_who_takes_it_and_how_often(shop: Recommender) -> None:
    found = shop.look("i1")
    own = [one for one in EVENTS if one["item"] == "i1"]
    assert found["events"] == len(own)
    assert {one["kind"]: one["events"] for one in found["by_kind"]} == dict(Counter(one["kind"] for one in own))
    assert {one["scenario"]: one["events"] for one in found["by_scenario"]} == dict(
        Counter(one.get("scenario") for one in own)
    )
    assert {one["id"] for one in found["takers"]} == {one["user"] for one in own}
    with pytest.raises(NotFoundError):
        shop.look("nothing")


def test_the_trend_of_a_steady_stream_is_its_rate(tmp_path: Path) -> None:
    hours = 24 * 120
    clock = FakeClock(hours * HOUR_MS)
    with Recommender.open(tmp_path / "data", SETTINGS, clock) as engine:
        engine.ingest([{"user": "u", "item": "i", "ts": n * HOUR_MS // 2} for n in range(2 * hours)])
        trend = engine.look("i")["trend"]
    assert len(trend) >= 2
    for one in trend:
        reached = 1.0 - 0.5 ** (hours * 3600.0 / one["half_life_s"])
        assert one["per_hour"] == pytest.approx(2.0 * reached, rel=0.2)


def test_a_glance_has_what_status_has(shop: Recommender) -> None:
    glance, status = shop.glance(), shop.status()
    for name in ("offset", "events", "items", "actors", "mixture", "lists"):
        assert glance[name] == status[name]
    assert glance["memory"]["server_bytes"] > 1e7
