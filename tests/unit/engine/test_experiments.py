"""Experiments on lists: who meets which variant, what a variant changes, and what came of it, counted from the log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everbrook import Recommender
from everbrook.cli.experiments import lines, variant
from everbrook.cli.explain import lines as told_lines
from everbrook.cli.main import main
from everbrook.engine.experiment_outcomes import MOST_OWN
from everbrook.engine.experiments import FILE, Experiment, Experiments, Variant, Wishes, applied
from everbrook.engine.joined_wishes import boosts_of, filters_of
from everbrook.errors import DataError, InputError, NotFoundError
from everbrook.http.app import build_app
from everbrook.rank.requests import Boost, Recommend
from everbrook.settings import load_settings
from everbrook.testing.clock import FakeClock

SET = ['mixture.experts=["popularity"]', "rank.exclude_seen=false"]
SETTINGS = load_settings(environment={}, assignments=SET).settings
CHEAP = [{"filter": "price < 5", "by": 50.0}]
HALVES = [{"name": "as it is", "share": 0.5}, {"name": "cheap", "share": 0.5, "wishes": {"boost": CHEAP}}]


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands."""
    return FakeClock(1_767_225_600_000)


@pytest.fixture
def shop(tmp_path: Path, clock: FakeClock) -> Iterator[Recommender]:
    """A shop with ten items, of which the first are taken more often."""
    with Recommender.open(tmp_path / "data", SETTINGS, clock) as opened:
        opened.put_items([{"id": f"i{n}", "properties": {"price": n}} for n in range(10)])
        opened.ingest([{"user": f"x{n}", "item": f"i{at}"} for at in range(10) for n in range(20 - at)])
        yield opened


def _ids(shop: Recommender, **wish: Any) -> list[str]:
    return [item.id for item in shop.recommend(k=10, **wish).items]


def _experiment(**fields: Any) -> Experiment:
    parts = (Variant(name="a", share=0.5), Variant(name="b", share=0.3))
    return Experiment(**{"name": "one", "variants": parts, "started_ms": 1, "offset": 0, **fields})


def test_people_fall_into_variants_by_their_shares_and_always_into_the_same() -> None:
    one, other = _experiment(), _experiment(name="other")
    people = [f"user {n}" for n in range(20_000)]
    places = [one.variant_of(person, "some visit") for person in people]
    assert places == [_experiment().variant_of(person, "another") for person in people]
    counts = Counter(places)
    for place, share in ((0, 0.5), (1, 0.3), (None, 0.2)):
        assert abs(counts[place] / len(people) - share) < 0.015
    both = Counter(zip(places, (other.variant_of(person, None) for person in people), strict=True))
    assert abs(both[0, 0] / len(people) - 0.25) < 0.015  # two experiments draw independently
    guests = Counter(one.variant_of(None, person) for person in people)
    assert abs(guests[0] / len(people) - 0.5) < 0.015
    assert one.variant_of(None, None) is None


def test_a_variant_changes_the_list_of_those_who_are_in_it_alone(shop: Recommender) -> None:
    shop.start_experiment("upside down", HALVES)
    running = shop._experiments.running[0]
    lists = {n: _ids(shop, user=f"u{n}") for n in range(30)}
    shop.stop_experiment("upside down")
    asked = {0: (), 1: tuple(Boost(**one) for one in CHEAP)}
    assert _ids(shop) != _ids(shop, boost=asked[1])
    for n, listed in lists.items():
        assert listed == _ids(shop, boost=asked[int(running.variant_of(f"u{n}", None) or 0)])
    assert shop._experiments.running == ()


def test_a_list_says_under_which_variant_it_was_made(shop: Recommender) -> None:
    assert shop.recommend(user="u1").variants == {}
    shop.start_experiment("cheap first", HALVES)
    running = shop._experiments.running[0]
    for n in range(20):
        place = running.variant_of(f"u{n}", None)
        assert place is not None
        assert shop.recommend(user=f"u{n}").variants == {"cheap first": HALVES[place]["name"]}
    assert shop.recommend().variants == {}  # who does not say who it is


def test_wishes_of_a_variant_join_those_that_are_asked_for() -> None:
    boost = Boost(filter="price < 3", by=2.0)
    wish = Recommend(user="u", filter="price < 5", diversity=0.9, boost=(boost,))
    ours = Wishes(filter="not hidden", diversity=0.1, boost=(Boost(filter="age < 7d", by=1.5),), exclude_seen=True)
    found = applied(wish, ours)
    assert (filters_of(found), found.diversity, found.exclude_seen) == (("price < 5", "not hidden"), 0.1, True)
    assert [one.by for one in boosts_of(found)] == [2.0, 1.5]
    twice = applied(found, ours)
    assert (filters_of(twice)[1:], len(boosts_of(twice))) == (("not hidden", "not hidden"), 3)
    assert applied(wish, Wishes()) is wish


def test_a_filter_of_a_variant_is_read_by_itself(shop: Recommender) -> None:
    """Whoever asks meets their own filter as they wrote it, and cannot write one that lets go of the variant's."""
    dear = [HALVES[0], {"name": "dear", "share": 0.5, "wishes": {"filter": "price > 3", "boost": CHEAP}}]
    shop.start_experiment("dear", dear)
    running = shop._experiments.running[0]
    user = next(f"u{n}" for n in range(99) if running.variant_of(f"u{n}", None) == 1)
    assert set(_ids(shop, user=user)) == {f"i{n}" for n in range(4, 10)}
    assert set(_ids(shop, user=user, filter="price < 6")) == {"i4", "i5"}
    assert set(_ids(shop, user=user, filter="price < 6 " + " " * 1990)) == {"i4", "i5"}
    with pytest.raises(InputError) as wrong:
        _ids(shop, user=user, filter="prise < 5")
    assert wrong.value.message.endswith("It stands at character 1.")
    assert wrong.value.hint == "prise < 5\n^"
    with pytest.raises(InputError, match=r"must have 'and', 'or' or its end at character 10; got '\)'"):
        _ids(shop, user=user, filter="price < 3) or (price < 2")
    own = tuple(Boost(filter="price < 5", by=1.0) for _ in range(32))  # as many as one may ask for
    assert _ids(shop, user=user, boost=own) == _ids(shop, user=user)


def _visit(shop: Recommender, user: str, takes: int | None, by_request: bool = True) -> None:
    shown = shop.recommend(user=user, k=3)
    if takes is not None:
        event = {"user": user, "item": shown.items[takes].id, "kind": "view"}
        shop.ingest([event | ({"request": shown.request} if by_request else {})])


def _written(shop: Recommender) -> None:
    """Lists are written to the log beside their answers, in order: what comes after them is written later."""
    shop.ingest([{"user": "nobody", "item": "i0", "kind": "seen"}])


def test_outcomes_are_a_plain_count_and_the_same_after_a_restart(shop: Recommender, clock: FakeClock) -> None:
    shop.recommend(user="u1", k=3)  # before it begins
    _written(shop)
    shop.start_experiment("counted", HALVES)
    running = shop._experiments.running[0]
    expected = {0: [0, 0], 1: [0, 0]}
    people: dict[int, set[str]] = {0: set(), 1: set()}
    rng = np.random.default_rng(0)
    for _ in range(200):
        user = f"u{rng.integers(40)}"
        takes = int(rng.integers(3)) if rng.random() < 0.4 else None
        _visit(shop, user, takes, by_request=bool(rng.random() < 0.5))
        place = int(running.variant_of(user, None) or 0)
        people[place].add(user)
        expected[place][0] += 1
        expected[place][1] += takes is not None
    _written(shop)
    told = shop.experiments()["experiments"][0]
    assert [(v["people"], v["lists"], v["clicked"]) for v in told["variants"]] == [
        (len(people[place]), *expected[place]) for place in (0, 1)
    ]
    assert told["variants"][1]["verdict"] == "too few people"
    shop.close()
    with Recommender.open(shop.path, SETTINGS, clock) as again:
        assert again.experiments()["experiments"] == [told]
        ended = again.stop_experiment("counted")
        assert ended["variants"] == told["variants"]
        assert (ended["running"], ended["stopped_ms"]) == (False, clock.now_ms())
        assert again.experiments()["experiments"] == [ended]


def test_what_takes_nothing_from_a_list_counts_nothing(shop: Recommender, clock: FakeClock) -> None:
    shop.start_experiment("strict", [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}], kinds=["buy"])
    shown = shop.recommend(user="u1", k=3)
    item, missing = shown.items[0].id, next(id_ for id_ in _ids(shop) if id_ not in {one.id for one in shown.items})
    first = {"user": "u1", "item": item, "kind": "buy"}
    shop.ingest([first | {"kind": "view", "request": shown.request}])  # of another kind
    shop.ingest([first | {"item": missing, "request": shown.request}])  # not in the list
    shop.ingest([first | {"user": "u2"}])  # of somebody who was shown nothing
    shop.ingest([first | {"request": "r-unknown"}])
    assert sum(one["clicked"] for one in shop.experiments()["experiments"][0]["variants"]) == 0
    shop.ingest([first | {"request": shown.request}, first | {"request": shown.request}])  # a list is taken from once
    assert sum(one["clicked"] for one in shop.experiments()["experiments"][0]["variants"]) == 1
    late = shop.recommend(user="u1", k=3)
    clock.set_ms(clock.now_ms() + 2 * 86_400_000)
    shop.ingest([first | {"item": late.items[0].id, "request": late.request}])
    assert sum(one["clicked"] for one in shop.experiments()["experiments"][0]["variants"]) == 1


def _clicked(shop: Recommender) -> int:
    return sum(one["clicked"] for one in shop.experiments()["experiments"][0]["variants"])


def test_what_happened_before_a_list_was_shown_takes_nothing_from_it(shop: Recommender, clock: FakeClock) -> None:
    shop.start_experiment("patient", HALVES)
    shown = shop.recommend(user="u1", k=3)
    _written(shop)
    event = {"user": "u1", "item": shown.items[0].id}
    tolerance_ms = 1000 * int(SETTINGS.log.future_tolerance_s)
    for before_ms in (30 * 86_400_000, tolerance_ms + 1):
        shop.ingest([event | {"ts": clock.now_ms() - before_ms}])
    assert _clicked(shop) == 0
    shop.ingest([event | {"ts": clock.now_ms() - tolerance_ms}])  # a client's clock may be late
    assert _clicked(shop) == 1
    named = shop.recommend(user="u2", k=3)  # who names a list has seen it, whatever their clock says
    _written(shop)
    late = {"user": "u2", "item": named.items[0].id, "request": named.request, "ts": clock.now_ms() - 86_400_000}
    shop.ingest([late])
    assert _clicked(shop) == 2


def test_an_event_that_names_no_list_takes_from_the_latest_that_has_its_item(
    shop: Recommender, clock: FakeClock
) -> None:
    shop.start_experiment("several", HALVES)
    for candidates in (("i1", "i2"), ("i1", "i3"), ("i5", "i6")):  # three lists on a page
        shop.recommend(user="u1", candidates=candidates)
        _written(shop)
    clicked = []
    for item in ("i1", "i1", "i2", "i9", "i6", "i5"):  # the second i1 is of the same list; the older one still has i2
        shop.ingest([{"user": "u1", "item": item}])
        clicked.append(_clicked(shop))
    assert clicked == [1, 1, 2, 2, 3, 3]
    shop.recommend(user="u2", candidates=("i1",))
    for _ in range(MOST_OWN):
        shop.recommend(user="u2", candidates=("i2",))
    _written(shop)
    shop.ingest([{"user": "u2", "item": "i1"}])  # further back nobody looks
    assert _clicked(shop) == 3
    clock.advance(600.0)
    shop.recommend(user="u3", candidates=("i1",))
    clock.advance(600.0)
    shop.recommend(user="u3", candidates=("i1",))
    _written(shop)
    for n in range(2):  # of the time between both lists, and of now
        shop.ingest([{"user": "u3", "item": "i1", "ts": clock.now_ms() - 400_000 * (1 - n)}])
    assert _clicked(shop) == 5


def test_an_explanation_is_of_the_list_as_the_variant_has_it(shop: Recommender) -> None:
    dear = {"name": "dear", "share": 0.5, "wishes": {"filter": "price > 3", "exclude_seen": True, "explore": 1.0}}
    shop.start_experiment("dear", [HALVES[0], dear])
    running = shop._experiments.running[0]
    plain, user = (next(f"u{n}" for n in range(99) if running.variant_of(f"u{n}", None) == place) for place in (0, 1))
    shop.ingest([{"user": user, "item": "i5"}])

    def held(item: str, **wish: Any) -> list[tuple[str, str]]:
        told = shop.explain(item, user, **wish)
        assert (told.shown, told.variants) == (item in _ids(shop, user=user, **wish), {"dear": "dear"})
        return [(one.kind, one.text) for one in told.hindrances]

    assert held("i1") == [
        ("filtered", "It does not match the filter that a variant of an experiment joins to the request's.")
    ]
    assert held("i1", filter="price > 4") == [("filtered", "It does not match the request's filter.")]
    assert [kind for kind, _ in held("i5")] == ["seen"]
    assert held("i6") == []
    told = shop.explain("i1", plain)
    assert (told.shown, told.variants) == (True, {"dear": "as it is"})
    assert "  made under  variant 'as it is' of experiment 'dear'" in told_lines(told)
    assert shop.explain("i1").variants == {}  # who does not say who it is


def test_a_person_who_is_forgotten_is_counted_no_more(shop: Recommender) -> None:
    shop.start_experiment("forgetful", HALVES)
    _visit(shop, "u1", 0)
    _visit(shop, "u2", 1)
    assert sum(one["people"] for one in shop.experiments()["experiments"][0]["variants"]) == 2
    shop.delete_user("u1")
    told = shop.experiments()["experiments"][0]["variants"]
    assert sum(one["people"] for one in told) == sum(one["clicked"] for one in told) == 1
    assert b"u1" not in (shop.path / FILE).read_bytes()


def test_only_lists_of_its_scenario_are_part_of_an_experiment(shop: Recommender) -> None:
    plain = _ids(shop, user="u1")
    shop.start_experiment("at home", [HALVES[1], HALVES[1] | {"name": "cheap too"}], scenario="home")
    assert _ids(shop, user="u1", scenario="cart") == plain
    assert _ids(shop, user="u1", scenario="home") != plain
    _written(shop)
    assert sum(one["lists"] for one in shop.experiments()["experiments"][0]["variants"]) == 1


WRONG = [
    ({"variants": HALVES[:1]}, r"must have 2 to 8 variants; got 1"),
    ({"variants": [HALVES[0], HALVES[0]]}, r"must have names of their own; got 'as it is' twice"),
    ({"variants": [{"name": "a", "share": 0.7}, {"name": "b", "share": 0.7}]}, r"at most 1 together; got 1\.4"),
    ({"variants": [HALVES[0], {"name": "b", "share": 0.5, "wishes": {"diversity": 2}}]}, r"'diversity' of variant 'b'"),
    ({"variants": [HALVES[0], HALVES[1] | {"wishes": {"divers": 1}}]}, r"Variants must have a name"),
    ({"variants": [HALVES[0], HALVES[1] | {"wishes": {"filter": "prise < 3"}}]}, r"Did you mean 'price'"),
    (
        {"variants": [HALVES[0], HALVES[1] | {"wishes": {"boost": [{"filter": "price < 5", "by": 5000}]}}]},
        r"'by' of a boost of variant 'cheap' must be between 0 and 1000; got 5000",
    ),
    (
        {"variants": [HALVES[0], HALVES[1] | {"wishes": {"boost": CHEAP * 33}}]},
        r"'boost' of variant 'cheap' must have at most 32 entries; got 33",
    ),
    ({"variants": HALVES, "scenario": "hom"}, r"Did you mean 'home'"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_what_is_no_experiment_is_refused_and_nothing_is_kept(
    shop: Recommender, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        shop.start_experiment("wrong", **fields)
    assert shop.experiments() == {"experiments": []}
    assert not (shop.path / FILE).exists()


def test_one_of_a_name_runs_at_once_and_what_is_kept_must_be_ours(shop: Recommender, tmp_path: Path) -> None:
    shop.start_experiment("one", HALVES)
    with pytest.raises(InputError, match="must be stopped before it is started anew"):
        shop.start_experiment("one", HALVES)
    with pytest.raises(NotFoundError, match="Did you mean 'one'"):
        shop.stop_experiment("onee")
    shop.stop_experiment("one")
    shop.start_experiment("one", HALVES)
    assert len(shop.experiments()["experiments"]) == 1
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(DataError, match="must hold experiments as they were written"):
        Experiments(tmp_path)


def test_lists_go_on_without_experiments_where_their_file_is_damaged(shop: Recommender) -> None:
    wanted = _ids(shop, user="u")
    (shop.path / FILE).write_text('{"x')
    shop.__dict__.pop("_experiments")  # as on a start
    for _ in range(3):
        assert _ids(shop, user="u") == wanted
    told = [error for error in shop.status()["last_errors"] if FILE in error]
    assert len(told) == 1
    assert told[0].startswith("No experiment runs: '")


def test_a_damaged_file_is_not_the_caller_s_fault(shop: Recommender, asgi_client: Any) -> None:
    (shop.path / FILE).write_text('{"x')
    shop.__dict__.pop("_experiments", None)  # as on a start
    answer = asgi_client(build_app(shop, SETTINGS)).get("/v1/experiments")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "bad_data")


def test_http_says_what_the_library_says(shop: Recommender, asgi_client: Any) -> None:
    client = asgi_client(build_app(shop, SETTINGS))
    begun = client.post("/v1/experiments", json={"name": "web", "variants": HALVES})
    assert begun.status_code == 200, begun.text
    assert begun.json() == shop.experiments()["experiments"][0]
    assert client.get("/v1/experiments").json() == shop.experiments()
    assert client.post("/v1/experiments", json={"name": "web", "variants": HALVES}).status_code == 400
    assert client.post("/v1/experiments", json={"name": "web", "variants": HALVES, "stop": True}).status_code == 400
    assert client.post("/v1/experiments", json={"name": "nothing", "stop": True}).status_code == 404
    ended = client.post("/v1/experiments", json={"name": "web", "stop": True}).json()
    assert (ended["running"], shop._experiments.running) == (False, ())


def test_the_command_line_begins_shows_and_ends(
    shop: Recommender, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.close()
    data = ["--data", str(shop.path), *(part for one in SET for part in ("--set", one))]
    two = ["--variant", "as it is:0.5", "--variant", "fresher:0.5:freshness=0.3,exclude_seen=true"]
    assert main(["experiments", *data]) == 0
    assert "There are no experiments." in capsys.readouterr().out
    assert main(["experiments", "start", "cli", *two, "--json", *data]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["variants"][1]["wishes"] == {"freshness": 0.3, "exclude_seen": True}
    assert main(["experiments", "stop", "cli", *data]) == 0
    assert capsys.readouterr().out.startswith("cli: stopped\n  as it is (50%; as asked): 0.00% of 0 lists for 0 people")
    assert main(["experiments", "stop", *data]) == 2
    with pytest.raises(InputError, match=r"^--variant must be NAME:SHARE"):
        variant("nothing")


def test_bounds_are_told_in_words() -> None:
    first = {"name": "a", "share": 0.5, "wishes": {}, "people": 900, "lists": 2000, "clicked": 200, "click_rate": 0.1}
    better = first | {"name": "b", "difference": 0.05, "low": 0.01, "high": 0.09, "verdict": "better"}
    running = {"name": "x", "running": True, "scenario": "home", "confidence": 0.95}
    told = lines(running | {"variants": [first, better]})
    assert told[0] == "x: runs, lists of 'home'"
    assert told[2].endswith("; +5.00% (+1.00% to +9.00% at 95%, at any time): better")
