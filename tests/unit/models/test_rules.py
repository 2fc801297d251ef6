import copy

import numpy as np
import pytest

from everbrook.events.records import ItemChange
from everbrook.models.rules import Names, Rules
from everbrook.settings.rules import Rule, RulesSettings
from everbrook.testing.contracts import EXPERT_CHECKS, Capabilities
from everbrook.testing.streams import fold_step, plain_marks
from everbrook.types import NO_ROW, Query

SHELF = RulesSettings(
    rules=(
        Rule(name="newest"),
        Rule(name="hits", order="popular", half_life_s=3600.0),
        Rule(name="cart", order="manual", items=("i3", "i1", "i99"), scenarios=("cart",)),
        Rule(name="dear", order="highest", property="price", categories=("a",)),
        Rule(name="young", order="lowest", property="price", tags=("t",), max_age_s=10.0),
    ),
    refresh_events=16,
)
NAMES = Names({"cart": 0}.get, {"buy": 1}.get, lambda name: int(name[1:]) if int(name[1:]) < 48 else NO_ROW)


def shelf():
    rules = Rules(SHELF, NAMES)
    records = [
        ItemChange(
            id=f"i{i}", ts=1_000 * i, categories=["a" if i % 2 else "b"], tags=["t"] if i >= 5 else [],
            properties={"price": 100.0 - i}, hidden=i == 7,
        )
        for i in range(10)
    ]  # fmt: skip
    rules.put(np.arange(10, dtype=np.int32), records)
    return rules


@pytest.mark.parametrize("name", EXPERT_CHECKS)
@pytest.mark.parametrize("make", [Rules, shelf])
def test_rules_keep_the_contract(name, make):
    EXPERT_CHECKS[name](make, Capabilities(observe_sleeps=True))


def asked(now_ms=1_000_000, scenario=NO_ROW):
    none = np.zeros(0, np.int32)
    return Query(now_ms, NO_ROW, scenario, none, none.astype(np.int64), none.astype(np.int16), 0)


def column(rules, name, query, items=48):
    mass, rest = np.empty((items, len(rules.names)), np.float32), np.empty(len(rules.names), np.float32)
    rules.score(query, np.arange(items, dtype=np.int32), mass, rest)
    k = rules.names.index(f"rules/{name}")
    return mass[:, k], rest[k]


def order(rules, name, query):
    mass, _ = column(rules, name, query)
    rows = np.flatnonzero(mass)
    return rows[np.argsort(-mass[rows], kind="stable")].tolist()


def test_the_newest_stand_first_and_hidden_ones_nowhere():
    assert order(shelf(), "newest", asked()) == [9, 8, 6, 5, 4, 3, 2, 1, 0]


def test_probability_falls_by_place_and_leaves_its_rest():
    mass, rest = column(shelf(), "newest", asked())
    assert mass[8] / mass[9] == pytest.approx(0.97)
    assert mass.sum() + rest == pytest.approx(1)


def test_a_manual_list_keeps_its_order_and_applies_in_its_scenario_only():
    rules = shelf()
    assert order(rules, "cart", asked(scenario=0)) == [3, 1]
    assert np.isnan(column(rules, "cart", asked(scenario=1))[1])
    assert np.isnan(column(rules, "cart", asked())[1])


def test_a_category_and_a_property_choose_and_order():
    assert order(shelf(), "dear", asked()) == [1, 3, 5, 9]


def test_items_beyond_the_age_are_left_out():
    assert order(shelf(), "young", asked(now_ms=18_000)) == [9, 8]
    assert np.isnan(column(shelf(), "young", asked(now_ms=10**9))[1])


def test_expired_items_are_left_out_from_that_moment():
    rules = Rules()
    rules.put(np.arange(2, dtype=np.int32), [ItemChange(id=f"{i}", ts=i, expires=100 * (1 + i)) for i in range(2)])
    assert order(rules, "newest", asked(99)) == [1, 0]
    assert order(rules, "newest", asked(100)) == [1]


def test_popular_counts_fade_and_only_named_kinds_count():
    settings = RulesSettings(
        rules=(Rule(name="p", order="popular", half_life_s=60.0, kinds=("buy",)),), refresh_events=1
    )
    rules = Rules(settings, NAMES)
    rules.grow(48, 4)
    marks = plain_marks(7)
    marks.kind[:] = [1, 1, 1, 1, 0, 0, 0]
    times = np.array([0, 0, 600_000, 600_000, 600_000, 600_000, 600_000])
    step = fold_step(times, np.zeros(7, "i4"), np.array([1, 1, 2, 3, 4, 4, 4], "i4"), marks)
    rules.observe(step, np.empty((7, 1), np.float32), np.empty((7, 1), np.float32))
    assert order(rules, "p", asked()) == [2, 3, 1]


def test_an_item_is_born_by_its_first_event_where_no_record_says():
    rules = Rules()
    rules.grow(48, 4)
    step = fold_step(np.array([5, 9, 20]), np.zeros(3, "i4"), np.array([7, 8, 7], "i4"))
    rules.observe(step, np.empty((3, 1), np.float32), np.empty((3, 1), np.float32))
    assert order(rules, "newest", asked()) == [8, 7]


def test_a_run_bears_an_item_at_its_earliest_time_and_later_runs_never_earlier():
    rules = Rules()
    rules.grow(48, 4)
    for times, items in (((9, 5, 8), (7, 7, 8)), ((1, 30), (8, 9))):
        step = fold_step(np.array(times), np.zeros(len(times), "i4"), np.array(items, "i4"))
        rules.observe(step, np.empty((len(times), 1), np.float32), np.empty((len(times), 1), np.float32))
    assert rules.state()["born_ms"][[7, 8, 9]].tolist() == [5, 8, 30]


def test_what_is_given_follows_the_moment_there_and_back():
    row = np.array([10], np.int32)
    record = ItemChange(id="i10", ts=9_500, expires=16_000, tags=["t"], properties={"price": 1.0})
    rules = shelf()
    rules.put(row, [record])
    for now_ms in (12_000, 15_999, 16_000, 17_000, 18_000, 19_001, 15_000, 19_000, 12_000):
        alone = shelf()
        alone.put(row, [record])
        for name in ("newest", "young"):
            assert order(rules, name, asked(now_ms)) == order(alone, name, asked(now_ms))
            assert (10 in order(rules, name, asked(now_ms))) == (now_ms < 16_000)


def test_names_that_become_known_later_count_from_then_on():
    known = {}
    row_of = lambda name: known.get(name, NO_ROW)  # noqa: E731
    settings = RulesSettings(rules=(Rule(name="hand", order="manual", items=("x", "y"), scenarios=("cart",)),))
    rules = Rules(settings, Names(row_of, row_of, row_of))
    rules.grow(48, 4)
    assert order(rules, "hand", asked(scenario=0)) == []
    known["cart"] = 0
    assert order(rules, "hand", asked(scenario=0)) == []
    known["y"] = 5
    assert order(rules, "hand", asked(scenario=0)) == [5]
    known["x"] = 6
    assert order(rules, "hand", asked(scenario=0)) == [6, 5]


def test_events_of_known_items_leave_what_is_given_as_it_is_until_counts_settle():
    rules = shelf()
    rules.grow(48, 4)
    query = asked()
    before = rules._listed(query)
    for n in range(20):
        step = fold_step(np.array([n]), np.zeros(1, "i4"), np.array([4], "i4"))
        rules.observe(step, np.empty((1, 5), np.float32), np.empty((1, 5), np.float32))
        assert (rules._listed(query) is before) == (n < 15)
        assert order(rules, "hits", query) == ([] if n < 15 else [4])


@pytest.mark.parametrize(
    ("order_by", "tags"), [("newest", ()), ("newest", ("t",)), ("highest", ()), ("lowest", ("t",)), ("popular", ("t",))]
)
def test_an_order_that_was_changed_in_places_is_the_one_found_from_all_items(order_by, tags):
    """Equal keys too: what is told about items one by one and in runs, hidden and shown again, born and grown."""
    rng, items = np.random.default_rng(3), 700
    rule = Rule(name="one", order=order_by, tags=tags, property="price", limit=10_000, half_life_s=0.0)
    changed = Rules(RulesSettings(rules=(rule,), refresh_events=1), NAMES)
    placed = 0
    for turn in range(60):
        rows = rng.choice(items, rng.integers(1, 6) if turn else 500, replace=False).astype(np.int32)
        if turn % 3:
            records = [
                None if rng.random() < 0.2 else ItemChange(
                    id=f"i{row}", ts=int(rng.integers(0, 40)), tags=["t"] * int(rng.integers(0, 2)),
                    properties={"price": int(rng.integers(0, 9))} if rng.random() < 0.8 else {},
                )
                for row in rows
            ]  # fmt: skip
            changed.put(rows, records)
        else:
            step = fold_step(np.full(len(rows), 1_000 + turn), np.zeros(len(rows), np.int32), rows)
            changed.grow(int(rows.max()) + 1, 0)
            changed.observe(step, np.empty((len(step), 1), np.float32), np.empty((len(step), 1), np.float32))
        one = changed._lists[0]
        placed += one._order is not None
        found, anew = one.ordered(changed._born_ms, NAMES.item_row), copy.deepcopy(one)
        anew.forget_order()
        assert found.tolist() == anew.ordered(changed._born_ms, NAMES.item_row).tolist(), turn
        items += turn % 7 == 0
    assert placed >= 39
