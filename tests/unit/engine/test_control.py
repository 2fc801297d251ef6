"""What callers wish of a list beside whose it is: filters, boosts, pins, what was seen or is not wanted, variety."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from everbrook import Recommender
from everbrook.engine.wishes import read_wish
from everbrook.errors import InputError
from everbrook.rank.filter_tokens import FilterError
from everbrook.rank.lists import Wish
from everbrook.rank.requests import Boost, Recommend
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.rank import RankSettings
from everbrook.testing.clock import FakeClock

EXPERTS = ("popularity", "transitions", "repeats", "neighbours", "collaborative", "content", "rules")
SETTINGS = Settings(
    mixture=MixtureSettings(experts=EXPERTS), engine=EngineSettings(log_impressions=False),
    rank=RankSettings(explore_seed=5, seen_s={"view": 30 * 86_400.0, "glance": 0.0}),
)  # fmt: skip
DAY_S = 86_400.0
WORDS = ["shoe leather", "boot rubber", "hat felt", "scarf wool"]
ITEMS: list[dict[str, Any]] = [
    {
        "id": f"i{n}", "title": f"{WORDS[n % 4]} {n}", "categories": [WORDS[n % 4].split()[0]],
        "properties": {"price": n, "brand": "xyz"[n % 3]},
    }
    for n in range(40)
]  # fmt: skip


def filled(path: Path, clock: FakeClock, settings: Settings = SETTINGS) -> Recommender:
    """A shop with forty items; low numbers are taken more."""
    shop = Recommender.open(path, settings, clock)
    rng = np.random.default_rng(0)
    shop.put_items([item | {"ts": clock.now_ms() - n * 86_400_000} for n, item in enumerate(ITEMS)])
    rows = np.minimum(rng.geometric(0.08, 300) - 1, 39)
    shop.ingest([{"user": f"u{n % 30}", "item": f"i{row}", "kind": "view"} for n, row in enumerate(rows.tolist())])
    return shop


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """A shop that tests only look at."""
    with filled(tmp_path_factory.mktemp("shared"), FakeClock()) as shop:
        yield shop


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shop(tmp_path: Path, clock: FakeClock) -> Iterator[Recommender]:
    """A shop of one's own."""
    with filled(tmp_path / "shop", clock) as opened:
        yield opened


def ids(shop: Recommender, **wish: Any) -> list[str]:
    return [item.id for item in shop.recommend(**wish).items]


def scores(shop: Recommender, **wish: Any) -> dict[str, float]:
    return {item.id: item.score for item in shop.recommend(**wish).items}


def test_a_filter_holds_for_every_item_of_every_list(shared: Recommender) -> None:
    wanted = {f"i{n}" for n in range(40) if n < 20 and n % 4 == 0 and n % 3 != 2}
    text = "price < 20 and 'shoe' in categories and not (brand = 'z') and not hidden"
    assert set(ids(shared, user="u1", k=40, filter=text)) == wanted
    assert set(ids(shared, k=40, filter=text, candidates=("i0", "i1", "i4"))) == {"i0", "i4"}
    assert set(ids(shared, k=40, filter="age < 3d")) == {"i0", "i1", "i2"}
    assert set(ids(shared, query="wool", k=40, filter="price < 20")) == {f"i{n}" for n in range(3, 20, 4)}
    assert ids(shared, user="u1", filter="price < 0") == []
    with pytest.raises(FilterError, match=r"^Unknown property 'prise'\. Did you mean 'price'\?"):
        shared.recommend(user="u1", filter="prise < 2")


def test_a_wish_that_asks_for_none_of_this_takes_the_plain_way(shared: Recommender) -> None:
    def asked(**wish: Any) -> Wish:
        return read_wish(Recommend(user="u1", **wish), shared._core, SETTINGS.rank, shared.clock.now_ms())

    assert asked().shaping is None
    assert asked(filter="price < 20", exclude_seen=True, candidates=("i1",), explore=0.0).shaping is None
    assert np.shares_memory(asked().allowed, shared._core.state.visible(shared.clock.now_ms()))
    for one in ({"diversity": 0.1}, {"boost": (Boost("hidden", 2.0),)}, {"freshness": -0.1}, {"explore": 0.1}):
        assert asked(**one).shaping is not None


def test_the_age_of_few_items_is_that_of_all(shop: Recommender) -> None:
    shop.ingest([{"user": "u1", "item": "without a record"}])
    state = shop._core.state
    rows = np.arange(state.n_items, dtype=np.int32)[::-1]
    found = state.catalogue.born_ms_of(rows, state.births.first_ms(state.n_items))
    assert found.tolist() == state.born_ms()[rows].tolist()


def test_a_boost_multiplies_the_probability(shared: Recommender) -> None:
    plain = scores(shared, user="u1", k=40)
    boosted = scores(shared, user="u1", k=40, boost=[{"filter": "brand = 'y'", "by": 2.5}])
    twice = [{"filter": "brand = 'y'", "by": 2.0}, {"filter": "price < 8", "by": 0.5}]
    both = scores(shared, user="u1", k=40, boost=twice)
    for n in range(40):
        one = f"i{n}"
        assert boosted[one] == pytest.approx(plain[one] * (2.5 if n % 3 == 1 else 1.0), rel=1e-6)
        assert both[one] == pytest.approx(plain[one] * (2.0 if n % 3 == 1 else 1.0) * (0.5 if n < 8 else 1.0), rel=1e-6)
    assert list(boosted) == sorted(boosted, key=lambda one: -boosted[one])
    assert ids(shared, user="u1", k=3, boost=[{"filter": "id = 'i39'", "by": 1000}])[0] == "i39"


def test_pins_stand_in_their_places_and_the_others_keep_their_order(shop: Recommender) -> None:
    plain = ids(shop, user="u1", k=8)
    pin = [{"item": "i39", "position": 0}, {"item": plain[0], "position": 3}, {"item": "nobody", "position": 1}]
    pinned = shop.recommend(user="u1", k=8, pin=pin, filter="price < 35").items
    rest = [one for one in plain if one != plain[0]]
    assert [item.id for item in pinned] == ["i39", rest[0], rest[1], plain[0], *rest[2:6]]
    assert (pinned[0].reasons[0].kind, pinned[0].reasons[0].text) == ("pin", "Pinned here")
    assert pinned[1].reasons[0].kind != "pin"
    shop.put_items([{"id": "i39", "hidden": True}])
    assert ids(shop, user="u1", k=8, pin=[{"item": "i39", "position": 0}]) == plain
    assert ids(shop, k=20, candidates=("i1", "i2"), pin=[{"item": "i5", "position": 9}])[-1] == "i5"


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"diversity": 1.5}, "'diversity' must be between 0 and 1; got 1.5."),
        ({"freshness": -2}, "'freshness' must be between -1 and 1; got -2."),
        ({"boost": [{"filter": "hidden", "by": -1}]}, "'by' of a boost must be between 0 and 1000; got -1."),
        ({"pin": [{"item": "i1", "position": 20}]},
         "'position' of a pin must be between 0 and 19, the list's last; got 20."),
        ({"pin": [{"item": "i1", "position": 1}, {"item": "i2", "position": 1}]},
         "'pin' must name each position once; got '1' twice."),
        ({"pin": [{"item": "i1", "position": 1}], "exclude": ["i1"]},
         "An item must not be both pinned and excluded; got 'i1' in 'pin' and 'exclude'."),
    ],
)  # fmt: skip
def test_impossible_wishes_are_told(shared: Recommender, wish: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        shared.recommend(user="u1", **wish)
    assert error.value.message == message


def test_each_kind_counts_as_seen_for_its_own_time(shop: Recommender, clock: FakeClock) -> None:
    me = {"user": "me"}
    happened = (("i1", "view"), ("i2", "buy"), ("i3", "glance"))
    shop.ingest([{**me, "item": item, "kind": kind} for item, kind in happened])

    def seen() -> set[str]:
        return {"i1", "i2", "i3"} - set(ids(shop, **me, k=40, exclude_seen=True))

    assert seen() == {"i1", "i2"}
    clock.advance(29 * DAY_S)
    assert seen() == {"i1", "i2"}
    clock.advance(2 * DAY_S)
    assert seen() == {"i2"}
    assert {"i1", "i2", "i3"} <= set(ids(shop, **me, k=40))


@pytest.mark.parametrize("seen_s", [{"impression": 0.0}, {"view": 30 * DAY_S}, {}])
def test_what_was_shown_counts_as_seen_only_where_the_settings_name_it(
    shop: Recommender, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, seen_s: dict[str, float]
) -> None:
    """Whenever it was shown: a client's clock may be ahead, and a list may be asked for as of before."""
    for item, ahead_ms in (("i1", 20_000), ("i2", 0), ("i3", -DAY_S * 1000)):
        ts = clock.now_ms() + int(ahead_ms)
        shop.ingest([{"user": "me", "item": item, "kind": "impression", "ts": ts}])
    shop.ingest([{"user": "me", "item": "i4", "kind": "view", "ts": clock.now_ms() + 20_000}])

    def seen(**wish: Any) -> set[str]:
        return {f"i{n}" for n in range(1, 5)} - set(ids(shop, user="me", k=40, exclude_seen=True, **wish))

    def set_to(lasts_s: dict[str, float]) -> None:
        monkeypatch.setattr(shop, "settings", msgspec.structs.replace(SETTINGS, rank=RankSettings(seen_s=lasts_s)))

    set_to(seen_s)
    assert seen() == seen(at=clock.now_ms() - 3_600_000) == {"i4"}
    set_to(seen_s | {"impression": 3600.0})
    assert seen() == {"i1", "i2", "i4"}


def test_what_is_not_wanted_leaves_the_next_list_and_what_is_like_it_falls(shop: Recommender) -> None:
    before = scores(shop, user="u1", k=40)
    disliked = next(iter(before))
    kind = int(disliked[1:]) % 4
    like = [one for one in before if int(one[1:]) % 4 == kind and one != disliked]
    for name in ("not_interested", "dislike"):
        shop.ingest([{"user": f"{name} me", "item": disliked, "kind": "view"}])
        with_view = scores(shop, user=f"{name} me", k=40)
        shop.ingest([{"user": f"{name} me", "item": disliked, "kind": name}])
        after = scores(shop, user=f"{name} me", k=40)
        assert disliked in with_view
        assert disliked not in after
        assert ids(shop, user=f"{name} me", candidates=(disliked,)) == []
        share = [sum(found[one] for one in like) / sum(v for k, v in found.items() if k != disliked)
                 for found in (with_view, after)]  # fmt: skip
        assert share[1] < 0.7 * share[0]
        shop.ingest([{"user": f"{name} me", "item": disliked, "kind": "buy"}])  # the mind was changed
        assert disliked in ids(shop, user=f"{name} me", k=40)
    assert disliked in ids(shop, user="somebody else", k=40)


def test_diversity_spreads_a_list_over_what_items_are(shared: Recommender) -> None:
    def kinds(**wish: Any) -> int:
        listed = ids(shared, k=6, boost=[{"filter": "'shoe' in categories", "by": 1000}], **wish)
        return len({int(one[1:]) % 4 for one in listed})

    assert kinds() == 1
    assert kinds(diversity=0.8) >= 3


def test_what_is_pinned_above_counts_for_variety(shop: Recommender) -> None:
    shop.put_items([
        {"id": "twin 1", "title": "red tea mug", "categories": ["mug"]},
        {"id": "twin 2", "title": "red tea mug", "categories": ["mug"]},
        {"id": "other", "title": "blue wool sock", "categories": ["sock"]},
    ])  # fmt: skip
    shop.ingest([{"user": f"t{n}", "item": item} for item in ("twin 1", "twin 2", "twin 2", "other") for n in range(3)])
    pair, pin = ("twin 2", "other"), {"item": "twin 1", "position": 0}
    assert ids(shop, k=2, candidates=pair, pin=[pin]) == ["twin 1", "twin 2"]
    assert ids(shop, k=2, candidates=pair, pin=[pin], diversity=0.9) == ["twin 1", "other"]
    assert ids(shop, k=2, candidates=pair, pin=[pin | {"position": 1}], diversity=0.9) == ["twin 2", "twin 1"]
    shop.ingest([{"user": "me", "item": item} for item in ("twin 1", "other")])  # half mugs, half socks
    assert ids(shop, user="me", k=2, candidates=pair, pin=[pin], calibration=1.0) == ["twin 1", "other"]


@pytest.mark.parametrize("wish", [{"diversity": 1.0}, {"calibration": 1.0}, {"diversity": 0.5, "explore": 1.0}, {}])
def test_what_a_boost_by_0_takes_away_stands_below_all_that_has_a_probability(
    shop: Recommender, wish: dict[str, float]
) -> None:
    shop.ingest([{"user": "me", "item": f"i{n}"} for n in (2, 6, 10, 0)])
    gone = {f"i{n}" for n in range(40) if n % 4 == 2}  # thirty are left
    none = [{"filter": "'hat' in categories", "by": 0}]
    assert not gone & set(ids(shop, user="me", k=30, boost=none, **wish))
    filled_up = shop.recommend(user="me", k=36, boost=none, **wish).items
    assert {one.id for one in filled_up[30:]} <= gone
    assert [one.score > 0.0 for one in filled_up] == [True] * 30 + [False] * 6


def test_calibration_brings_the_askers_own_mix(shop: Recommender) -> None:
    shop.ingest([{"user": "me", "item": f"i{n}"} for n in (2, 6, 10, 3, 7, 11)])  # hats and scarves
    listed = ids(shop, user="me", k=10, calibration=0.95)
    assert Counter(int(one[1:]) % 4 for one in listed) == {2: 5, 3: 5}


def test_freshness_and_popularity_multiply_by_their_formulas(shared: Recommender) -> None:
    plain, k = scores(shared, k=40), 40
    for influence in (1.0, -0.5):
        fresh = scores(shared, k=k, freshness=influence)
        for n in range(40):  # item n is n days old; the half-life is a week, the factor ten
            assert fresh[f"i{n}"] == pytest.approx(plain[f"i{n}"] * 10.0 ** (influence * 0.5 ** (n / 7)), rel=1e-5)
    logs = {x: np.log([scores(shared, k=k, popularity=x)[one] / plain[one] for one in plain]) for x in (0.5, 1.0, -1.0)}
    np.testing.assert_allclose(logs[0.5], 0.5 * logs[1.0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logs[-1.0], -logs[1.0], rtol=1e-4, atol=1e-6)
    assert abs(logs[1.0].mean()) < 1e-6  # against the middle item
    assert np.corrcoef(logs[1.0], np.log([*plain.values()]))[0, 1] > 0.8  # a stranger's list follows popularity


def test_lists_that_explore_tell_how_probable_each_place_was(shared: Recommender) -> None:
    plain, seen, told, lists = ids(shared, user="u1", k=5), Counter[tuple[str, int]](), {}, 600
    for _ in range(lists):
        listed = shared.recommend(user="u1", k=5, explore=0.4, explain=False).items
        assert len({item.id for item in listed}) == 5
        for place, item in enumerate(listed):
            seen[item.id, place] += 1
            told[item.id, place] = item.propensity
    for place, one in enumerate(plain):
        assert told[one, place] == pytest.approx(0.6)
    for one, odds in told.items():
        assert abs(seen[one] / lists - odds) < 5.0 * np.sqrt(odds * (1.0 - odds) / lists)
    pinned = shared.recommend(user="u1", k=5, explore=1.0, pin=[{"item": "i39", "position": 2}]).items
    assert (pinned[2].id, pinned[2].propensity) == ("i39", 1.0)
    assert all(item.propensity == 1.0 for item in shared.recommend(user="u1", k=5).items)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """More items than are weighed together, of which each family proposes the same few; a short pool."""
    settings = Settings(
        mixture=MixtureSettings(experts=("popularity", "content"), candidates=60),
        engine=EngineSettings(log_impressions=False), rank=RankSettings(explore_seed=5, pool=100),
    )  # fmt: skip
    with Recommender.open(tmp_path_factory.mktemp("wide"), settings, FakeClock()) as opened:
        opened.put_items([{"id": f"i{n}", "categories": [f"c{n % 4}"]} for n in range(500)])
        opened.ingest([{"user": f"u{n % 50}", "item": f"i{n % 130}"} for n in range(600)])
        yield opened


@pytest.mark.parametrize("more", [{}, {"filter": "not ('c1' in categories)"}, {"diversity": 0.3}])
@pytest.mark.parametrize("k", [20, 60, 99, 130, 180])
def test_every_place_of_a_long_list_may_be_drawn(wide: Recommender, k: int, more: dict[str, Any]) -> None:
    """Longer than half of the pool and of what is proposed: what stands below it is found all the same."""
    asked = {"k": k, "explain": False, **more}
    plain, drawn = ids(wide, **asked), wide.recommend(explore=1.0, **asked).items
    assert len(plain) == len(drawn) == k
    assert len({item.id for item in drawn}) == k
    assert all(item.id not in plain and item.propensity > 0.0 for item in drawn)
    half = wide.recommend(explore=0.5, **asked).items
    kept = [item.id in plain for item in half]
    assert abs(sum(kept) - k / 2) < 2.5 * np.sqrt(k)
    assert all(item.propensity == 0.5 for item, own in zip(half, kept, strict=True) if own)


def test_a_list_of_all_there_is_has_nothing_to_draw(wide: Recommender) -> None:
    listed = wide.recommend(k=400, explore=1.0, explain=False).items
    assert sum(item.propensity < 1.0 for item in listed) <= 100
    assert len({item.id for item in listed}) == 400
    assert all(item.propensity == 1.0 for item in wide.recommend(k=500, explore=1.0, explain=False).items)


def test_what_settings_say_holds_where_a_wish_does_not(tmp_path: Path, clock: FakeClock) -> None:
    rank = RankSettings(diversity=0.6, freshness=0.4, popularity=-0.3, calibration=0.2)
    with filled(tmp_path / "a", clock, msgspec.structs.replace(SETTINGS, rank=rank)) as shop:
        asked = {"diversity": 0.6, "freshness": 0.4, "popularity": -0.3, "calibration": 0.2}
        assert scores(shop, user="u1") == scores(shop, user="u1", **asked)
        nothing = dict.fromkeys(asked, 0.0)
        assert scores(shop, user="u1", **nothing) != scores(shop, user="u1")
    with filled(tmp_path / "b", clock) as plain:
        assert ids(plain, user="u1") == ids(plain, user="u1", **nothing)
