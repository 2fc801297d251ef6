"""The recommender: what callers may rely on, one process, one directory."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from everbrook import Recommender
from everbrook.engine.building import new_core
from everbrook.errors import BusyError, EverbrookError, InputError, NotFoundError, RecordError, UnknownNameError
from everbrook.events.columns import EventColumns
from everbrook.events.records import MAX_TIME_MS, Event, ItemChange
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.rank import RankSettings
from everbrook.testing.clock import FakeClock
from everbrook.testing.probes import copied, same_arrays

EXPERTS = ("popularity", "transitions", "repeats", "neighbours", "collaborative", "content", "rules")
SETTINGS = Settings(mixture=MixtureSettings(experts=EXPERTS), rank=RankSettings(most=50))
MINUTE_S = 60.0


@pytest.fixture
def clock() -> FakeClock:
    """Time stands still."""
    return FakeClock()


@pytest.fixture
def shop(tmp_path: Path, clock: FakeClock) -> Iterator[Recommender]:
    """An empty shop."""
    with Recommender.open(tmp_path / "shop", SETTINGS, clock) as opened:
        yield opened


def visit(user: str, *items: str, **more: Any) -> list[dict[str, Any]]:
    """Events of one user, now."""
    return [{"user": user, "item": item, **more} for item in items]


def ids(shop: Recommender, **wish: Any) -> list[str]:
    """The ids of a list."""
    return [item.id for item in shop.recommend(**wish).items]


def arrays(shop: Recommender) -> dict[str, dict[str, np.ndarray]]:
    """All that was learned, apart from its owner."""
    parts = shop._core.parts()
    return {name: copied(part) for name, part in parts.items() if name != "core"}


def test_an_empty_shop_gives_an_empty_list(shop: Recommender) -> None:
    answer = shop.recommend(user="u", k=5)
    assert answer.items == ()
    assert shop.status()["items"] == 0


def test_an_acknowledged_event_is_in_the_next_list(shop: Recommender) -> None:
    receipt = shop.ingest(visit("u", "a", "b"))
    assert (receipt.accepted, receipt.duplicates) == (2, 0)
    assert sorted(ids(shop, user="stranger")) == ["a", "b"]
    for n in range(5):
        shop.ingest(visit(f"v{n}", "b", "new"))
        assert ids(shop, item="b", k=1) == ["new"]
    assert shop.recommend(user="u").model.offset >= receipt.offset + 10  # impressions count too


def test_reading_never_creates(shop: Recommender) -> None:
    shop.put_items([{"id": "a", "title": "A", "categories": ["x"]}])
    shop.ingest([event for n in range(6) for event in visit(f"u{n}", "a", "b", "c", scenario="home")])
    before = arrays(shop)
    for n in range(200):
        wishes: list[dict[str, Any]] = [
            {"user": f"stranger {n}"}, {"session": f"s{n}"}, {"item": f"unknown {n}"},
            {"user": "u1", "scenario": "home"}, {"items": ("a", f"q{n}"), "exclude": (f"z{n}",), "categories": ("x",)},
            {"candidates": ("a", f"y{n}")},
        ]  # fmt: skip
        shop.recommend(**wishes[n % len(wishes)], k=5)
    after = arrays(shop)
    for name, part in before.items():
        same_arrays(part, after[name], f"after 200 lists, in {name}")


def test_lists_alone_leave_the_shop_ready(shop: Recommender) -> None:
    shop.ingest(visit("u", "a", "b"))
    shop.recommend(user="u")
    deadline = time.monotonic() + 10.0
    while shop.log.end < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert shop.log.end == 3  # the impression is in the log
    status = shop.status()
    assert (status["ready"], status["lag"]) == (True, 0)


def test_the_same_id_twice_counts_once(shop: Recommender) -> None:
    shop.ingest([{"user": "u", "item": "a", "id": "e1"}, {"user": "u", "item": "b", "id": "e2"}])
    before = arrays(shop)
    receipt = shop.ingest([{"user": "u", "item": "a", "id": "e1"}, {"user": "u", "item": "b", "id": "e2"}])
    assert (receipt.accepted, receipt.duplicates) == (0, 2)
    after = arrays(shop)
    for name, part in before.items():
        same_arrays(part, after[name], f"after the same batch again, in {name}")
    twice = shop.ingest([{"user": "u", "item": "c", "id": "e3"}, {"user": "u", "item": "c", "id": "e3"}])
    assert (twice.accepted, twice.duplicates) == (1, 1)
    assert shop.status()["events"] == 3


def test_a_batch_is_taken_whole_or_not_at_all(shop: Recommender) -> None:
    with pytest.raises(RecordError) as error:
        shop.ingest([*visit("u", "a", "b"), {"item": "c"}])
    assert error.value.message == "Record 2: An event must have a 'user' or a 'session'; got neither."
    assert error.value.position == 2
    assert (shop.status()["events"], shop.log.end, ids(shop, user="u")) == (0, 0, [])


def test_hidden_expired_and_deleted_items_are_not_shown(shop: Recommender, clock: FakeClock) -> None:
    shop.ingest(visit("u", "a", "b", "c"))
    shop.put_items([{"id": "a", "hidden": True}, {"id": "b", "expires": clock.now_ms() + 60_000}])
    assert sorted(ids(shop, user="v")) == ["b", "c"]
    assert sorted(ids(shop, user="v", candidates=("a", "b", "c"))) == ["b", "c"]
    assert ids(shop, user="v", at=clock.now_ms() + 60_000) == ["c"]
    clock.advance(MINUTE_S)
    assert ids(shop, user="v") == ["c"]
    shop.put_items([{"id": "a", "hidden": False}, {"id": "b", "expires": None}])
    assert sorted(ids(shop, user="v")) == ["a", "b", "c"]


def test_exclusions_candidates_and_categories_hold(shop: Recommender) -> None:
    names = "abcdefgh"
    shop.put_items([{"id": name, "categories": ["even" if n % 2 else "odd"]} for n, name in enumerate(names)])
    shop.ingest(visit("u", *names))
    shop.ingest(visit("me", "a", "b"))
    assert set(ids(shop, user="v", exclude=("a", "b", "nobody knows"))) == set("cdefgh")
    assert set(ids(shop, user="v", candidates=("a", "c", "nobody knows"))) == {"a", "c"}
    assert set(ids(shop, user="v", categories=("even",))) == set("bdfh")
    assert set(ids(shop, user="v", categories=("even", "odd"))) == set(names)
    assert set(ids(shop, user="me", exclude_seen=True)) == set("cdefgh")
    assert set(ids(shop, user="me", exclude_seen=True, categories=("odd",), candidates=("a", "c", "d"))) == {"c"}
    assert "a" not in ids(shop, item="a")
    assert not {"a", "b"} & set(ids(shop, items=("a", "b")))


@pytest.mark.parametrize("k", [1, 3, 50])
def test_a_list_has_k_items_or_all_there_are(shop: Recommender, k: int) -> None:
    shop.put_items([{"id": f"silent {n}"} for n in range(20)])
    shop.ingest(visit("u", "a", "b", "c"))
    for wish in ({"user": "u"}, {"user": "nobody"}, {"session": "new"}, {"item": "a"}):
        got = ids(shop, **wish, k=k)
        assert len(got) == len(set(got)) == min(k, 23 - ("item" in wish))


def test_scores_are_probabilities_in_order(shop: Recommender) -> None:
    shop.ingest([event for n in range(9) for event in visit(f"u{n}", "a", "b", f"c{n % 3}")])
    scores = [item.score for item in shop.recommend(user="u1", k=50).items]
    assert scores == sorted(scores, reverse=True)
    assert 0.9 < sum(scores) < 1.0001


def test_reasons_name_known_items_and_shares_are_no_more_than_all(shop: Recommender) -> None:
    shop.put_items([{"id": "a", "title": "The A"}])
    shop.ingest([event for n in range(9) for event in visit(f"u{n}", "a", "b")])
    listed = shop.recommend(user="new", item="a", k=1).items[0]
    assert listed.id == "b"
    assert 1 <= len(listed.reasons) <= SETTINGS.rank.reasons
    assert sum(reason.share for reason in listed.reasons) <= 1.0001
    because = [reason for reason in listed.reasons if reason.kind == "because"]
    assert [(reason.item, reason.text) for reason in because[:1]] == [("a", "Because of The A")]
    assert shop.recommend(user="new", item="a", k=1, explain=False).items[0].reasons == ()


def test_a_new_shop_with_ten_events_gives_sensible_lists(shop: Recommender) -> None:
    shop.put_items([{"id": f"shelf {n}", "title": f"Shelf warmer {n}"} for n in range(30)])
    for n in range(3):
        shop.ingest(visit(f"u{n}", "tea", "pot", "cup"))
    shop.ingest(visit("me", "tea"))
    assert set(ids(shop, user="stranger", k=3)) == {"tea", "pot", "cup"}
    assert ids(shop, user="me", k=1) == ["pot"]
    assert ids(shop, item="pot", k=1) == ["cup"]


def test_an_item_that_nobody_had_gets_a_place_by_its_title(shop: Recommender) -> None:
    shop.put_items([{"id": f"i{n}", "title": f"thing of kind {n}"} for n in range(60)])
    shop.put_items([{"id": "boots", "title": "red leather boots"}])
    for n in range(8):
        shop.ingest(visit(f"u{n}", "i1", "i2", "boots"))
    shop.put_items([{"id": "new", "title": "blue leather boots"}])
    similar = ids(shop, item="boots", k=10)
    assert "new" in similar


def test_wrong_wishes_are_told_in_whole_sentences(shop: Recommender, clock: FakeClock) -> None:
    shop.ingest([*visit("u", "a", scenario="home"), *visit("u", "b", scenario="cart")])
    shop.put_items([{"id": "a", "categories": ["shoes"]}])
    known = "cart, feed, home, playlist, product, search"
    told: dict[str, dict[str, Any]] = {
        f"Unknown scenario 'hom'. Did you mean 'home'? Known: {known}.": {"scenario": "hom"},
        "Unknown category 'shoe'. Did you mean 'shoes'? Known: shoes.": {"categories": ("shoe",)},
        "'k' must be between 1 and 50; got 0.": {"k": 0},
        "'k' must be between 1 and 50; got 51.": {"k": 51},
        "'at' must be milliseconds since 1970 or RFC 3339 text; got 'soon'.": {"at": "soon"},
    }
    for message, wish in told.items():
        with pytest.raises(InputError) as error:
            shop.recommend(user="u", **wish)
        assert error.value.message == message
    with pytest.raises(UnknownNameError) as unknown:
        shop.recommend(scenario="hom")
    assert (unknown.value.type, unknown.value.http_status) == ("unknown_scenario", 400)
    with pytest.raises(NotFoundError) as missing:
        shop.item("c")
    assert missing.value.message == "Item 'c' must have been sent before; it was not."


def test_a_wish_of_a_wrong_shape_is_the_callers_error(shop: Recommender) -> None:
    told: dict[str, dict[str, Any]] = {
        "Field 'k' must be of type int; got str.": {"k": "many"},
        "Field 'at' must be of type int | str | null; got float.": {"at": 1.5},
        "Field 'items[0]' must be of type str; got int.": {"items": [3]},
        "'at' must be milliseconds since 1970 or RFC 3339 text, 0 to 253402300799999; got -1.": {"at": -1},
    }
    for message, wish in told.items():
        with pytest.raises(InputError) as error:
            shop.recommend(**wish)
        assert error.value.message == message
    with pytest.raises(InputError, match=r"^'at' must be .*; got 10{30}\.$"):
        shop.recommend(at=10**30)
    with pytest.raises(UnknownNameError, match=r"^Unknown field 'usr'\. Did you mean 'user'\? Known: at, "):
        shop.recommend(usr="u")


def test_times_may_be_given_in_both_forms(shop: Recommender) -> None:
    shop.put_items([{"id": "a", "expires": "2030-01-01T00:00:00Z"}])
    assert ids(shop, at="2029-12-31T23:59:59Z") == ids(shop, at=1_893_455_999_000) == ["a"]
    assert ids(shop, at="2030-01-01T00:00:00Z") == ids(shop, at=1_893_456_000_000) == []


def test_a_second_opening_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "one", SETTINGS), pytest.raises(BusyError) as error:
        Recommender.open(tmp_path / "one", SETTINGS)
    assert (error.value.exit_code, error.value.http_status) == (5, 503)
    assert str(tmp_path / "one") in error.value.message
    Recommender.open(tmp_path / "one", SETTINGS).close()


def test_what_is_missing_is_only_made_where_asked(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Recommender.open(tmp_path / "none", SETTINGS, create=False)
    assert not (tmp_path / "none").exists()


def test_errors_of_every_kind_are_of_one_tree() -> None:
    assert all(issubclass(kind, EverbrookError) for kind in (InputError, RecordError, BusyError, NotFoundError))


def test_importing_columns_equals_sending_the_same_events(tmp_path: Path, clock: FakeClock) -> None:
    start_ms = clock.now_ms() - 40_000
    events = [visit(f"u{n % 7}", f"i{n * n % 11}", ts=start_ms + 1000 * n)[0] for n in range(40)]
    shops = [Recommender.open(tmp_path / name, SETTINGS, clock) for name in ("sent", "imported")]
    sent, imported = shops
    sent.ingest(events)
    checked = [msgspec.convert(event, Event) for event in events]
    receipt = imported.import_columns(EventColumns.from_records(checked))
    assert receipt.accepted == 40
    for name, part in arrays(sent).items():
        same_arrays(part, arrays(imported)[name], f"imported and sent, in {name}")
    for shop in shops:
        shop.close()


def test_no_impression_is_written_where_none_is_wanted(tmp_path: Path, clock: FakeClock) -> None:
    quiet = msgspec.structs.replace(SETTINGS, engine=EngineSettings(log_impressions=False))
    with Recommender.open(tmp_path, quiet, clock) as shop:
        shop.ingest(visit("u", "a"))
        shop.recommend(user="u")
    with Recommender.open(tmp_path, quiet, clock) as shop:
        assert shop.log.end == 1


def test_a_failure_in_the_background_is_shown_in_the_status(shop: Recommender) -> None:
    for n in range(12):
        shop.note_error(f"error {n}")
    assert shop.status()["last_errors"] == [f"error {n}" for n in range(2, 12)]


def test_a_core_from_the_settings_has_their_experts() -> None:
    assert new_core(SETTINGS).mixture.columns[0].startswith("popularity/")


@pytest.mark.parametrize("kept", [True, False])
def test_a_shop_starts_whose_log_and_checkpoint_hold_a_moment_after_the_year_9999(
    tmp_path: Path, clock: FakeClock, kept: bool
) -> None:
    late_ms = MAX_TIME_MS + 19_000_000
    with Recommender.open(tmp_path, SETTINGS, clock) as shop:
        shop.ingest(visit("u", "a", "b"))
        shop.update(shop.log.append([ItemChange(id="a", title="x", expires=late_ms)]).stop)
        shop.checkpoint()
    if not kept:
        shutil.rmtree(tmp_path / "checkpoints")
    with Recommender.open(tmp_path, SETTINGS, clock) as shop:
        assert shop.item("a") == ItemChange(id="a", title="x", expires=MAX_TIME_MS)
        assert ids(shop, user="v") == ["a", "b"]
