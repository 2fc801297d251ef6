"""Filters: what they say when they are wrong, and that they are read and worked out once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from everbrook.events.records import ItemChange
from everbrook.rank import filters as module
from everbrook.rank.filter_parser import MOST_DEPTH, parse
from everbrook.rank.filter_tokens import MOST_CHARACTERS, FilterError
from everbrook.rank.filters import Filters
from everbrook.state import State

NOW_MS = 1_750_000_000_000


@pytest.fixture
def state() -> State:
    made = State()
    made.put_items([
        ItemChange(id="a", title="Red shoe", categories=["shoes"], ts=NOW_MS - 1000,
                   properties={"price": 10, "brand": "x", "sale": True}),
        ItemChange(id="b", properties={"price": 30.5, "my size": 3, "age": 4}),
    ])  # fmt: skip
    return made


def mask(state: State, text: str) -> list[bool]:
    return Filters(state).mask(text, NOW_MS).tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price <", "A filter must have a name or a value at character 8; got the end."),
        ("price < < 20", "A filter must have a name or a value at character 9; got '<'."),
        ("(price < 20", "A filter must have ')' at character 12; got the end."),
        ("price < 20 brand = 'x'", "A filter must have 'and', 'or' or its end at character 12; got 'brand'."),
        ("brand = 'x", "A filter must have the closing quote of a text at character 9; got '''."),
        ("price ; 3", "A filter must have a name, a number, a text or a sign at character 7; got ';'."),
        ("age < 7y", "A filter must have a unit of time, one of s, m, h, d, w, at character 8; got 'y'."),
        ("age < 7", "A filter must have a span such as 7d beside 'age' at character 7; got '7'."),
        ("price < 'x'", "A filter must have a number beside 'price' at character 9; got ''x''."),
        ("price", "A filter must have a comparison with a number beside 'price' at character 1; got it alone."),
        ("brand < 'x'", "A filter must have '=' or '!=' beside 'brand' at character 7; got '<'."),
        ("brand in ('x', 3)", "A filter must have a text beside 'brand' at character 16; got '3'."),
        ("'x' in price", "A filter must have a name of sets or texts after 'in' at character 8; got 'price'."),
        ("3 in categories", "A filter must have a text before 'in' beside 'categories' at character 1; got '3'."),
        ("1 < 2", "A filter must have a name on one side of a comparison at character 5; got '2'."),
        ("", "A filter must have a name or a value at character 1; got the end."),
    ],
)
def test_errors_say_what_must_stand_where(state: State, text: str, message: str) -> None:
    with pytest.raises(FilterError) as error:
        mask(state, text)
    assert error.value.message == message
    place = int(message.partition(" at character ")[2].partition(";")[0])
    assert error.value.hint == f"{text}\n{' ' * (place - 1)}^"
    assert (error.value.type, error.value.http_status) == ("bad_filter", 400)


def test_an_unknown_name_gets_the_nearest_right_one(state: State) -> None:
    with pytest.raises(FilterError) as error:
        mask(state, "hidden or prise < 3")
    assert error.value.message == (
        "Unknown property 'prise'. Did you mean 'price'? Known: age, brand, categories, hidden, id, my size, price, "
        "sale, tags, title. It stands at character 11."
    )
    assert error.value.type == "unknown_property"


def test_long_and_deep_filters_are_refused(state: State) -> None:
    with pytest.raises(FilterError, match=f"^A filter must have at most {MOST_CHARACTERS} characters; got"):
        mask(state, "hidden or " * 500)
    for deep in ("(" * 900 + "hidden" + ")" * 900, "not " * 450 + "hidden"):
        with pytest.raises(FilterError, match=f"at most {MOST_DEPTH} levels of parentheses and 'not' at character"):
            parse(deep)


def test_a_filter_may_have_as_many_levels_as_are_told_and_not_one_more(state: State) -> None:
    assert MOST_DEPTH == 40
    for opened, closed in (("(", ")"), ("not ", ""), ("not (", ")")):
        levels = opened.count("not") + opened.count("(")
        most = opened * (MOST_DEPTH // levels)
        assert mask(state, f"{most}hidden{closed * (MOST_DEPTH // levels)}") == [False, False]
        with pytest.raises(FilterError) as error:
            mask(state, f"{most}not hidden{closed * (MOST_DEPTH // levels)}")
        assert error.value.message == (
            f"A filter must have at most 40 levels of parentheses and 'not' at character {len(most) + 1}; got 'not'."
        )
    assert mask(state, " and ".join(["(not hidden)"] * 60)) == [True, True]  # beside each other is no depth


@pytest.fixture
def namesakes() -> State:
    made = State()
    made.put_items([
        ItemChange(id="s1", title="plain", properties={
            "title": "gold", "hidden": True, "categories": ["pc"], "tags": ["pt"], "id": "s2", "age": 4,
        }),
        ItemChange(id="s2", title="gold", hidden=False, categories=["zz"], properties={"title": "lead"}),
    ])  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("properties.title = 'gold'", ["s1"]), ("properties.title = 'lead'", ["s2"]), ("title = 'gold'", ["s2"]),
        ("properties.title in ('gold', 'iron')", ["s1"]), ("properties.title != 'gold'", ["s2"]),
        ("'OL' in properties.title", ["s1"]), ("'ol' not in properties.title", ["s2"]), ("'ol' in title", ["s2"]),
        ("properties.hidden", ["s1"]), ("properties.hidden = false", []), ("hidden = false", ["s1", "s2"]),
        ("'pc' in properties.categories", ["s1"]), ("'zz' in properties.categories", []),
        ("'zz' in categories", ["s2"]), ("'zz' not in properties.categories", ["s1"]),
        ("'pt' in properties.tags", ["s1"]), ("'pt' in tags", []),
        ("properties.id = 's2'", ["s1"]), ("id = 's2'", ["s2"]), ("properties.age < 5", ["s1"]),
    ],
)  # fmt: skip
def test_a_property_called_like_what_is_built_in_is_asked_by_its_prefix(
    namesakes: State, text: str, ids: list[str]
) -> None:
    assert [item for item, is_in in zip(("s1", "s2"), mask(namesakes, text), strict=True) if is_in] == ids


def test_a_list_that_is_not_there_is_in_nothing_and_an_empty_one_is_there() -> None:
    made = State()
    made.put_items([
        ItemChange(id="some", tags=["t"], properties={"w": [5, "x"]}), ItemChange(id="none", properties={"w": []}),
        ItemChange(id="text", properties={"w": "xyz"}), ItemChange(id="without"),
    ])  # fmt: skip
    assert mask(made, "5 in w") == [True, False, False, False]
    assert mask(made, "5 not in w") == [False, True, False, False]
    assert mask(made, "'x' in w") == [True, False, True, False]
    assert mask(made, "'y' not in w") == [True, True, False, False]
    assert mask(made, "not (5 in w)") == [False, True, True, True]
    assert mask(made, "'t' not in tags") == [False, True, True, True]  # whoever was given none has an empty set
    made.put_items([ItemChange(id="some", properties=None)])
    assert mask(made, "5 not in w") == [False, True, False, False]
    made.forget_item("none")
    assert mask(made, "5 not in w") == [False, False, False, False]


def test_what_stands_in_the_interface_is_understood(state: State) -> None:
    assert mask(state, "price < 20 and 'shoes' in categories and not hidden") == [True, False]
    assert mask(state, "20 > price AND brand in ('x','y')") == [True, False]
    assert mask(state, "age < 7d") == [True, False]  # nobody knows since when b exists
    assert mask(state, "`my size` = 3 or id = 'a'") == [True, True]
    assert mask(state, "properties.age = 4") == [False, True]
    assert mask(state, "brand != 'y'") == [True, False]
    assert mask(state, "not (brand = 'x')") == [False, True]
    assert mask(state, "price = -1 or price >= 3.05e1") == [False, True]
    assert mask(state, r"title = 'Red shoe' and title != 'it\'s'") == [True, False]


def test_a_filter_is_read_once_and_its_mask_kept_while_nothing_changes(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters, read = Filters(state), []
    compiled = module.compile_filter
    monkeypatch.setattr(module, "compile_filter", lambda text, state: read.append(text) or compiled(text, state))
    first = filters.mask("price < 20", NOW_MS)
    assert filters.mask("price < 20", NOW_MS + 1) is first
    state.put_items([ItemChange(id="b", properties={"price": 5})])
    assert filters.mask("price < 20", NOW_MS).tolist() == [True, True]
    state.put_items([ItemChange(id="c", properties={"colour": "red"})])  # a new name: checked anew
    assert filters.mask("price < 20", NOW_MS).tolist() == [True, True, False]
    assert read == ["price < 20"] * 2
    for n in range(module.KEPT):
        filters.mask(f"price < {n}", NOW_MS)
    filters.mask("price < 20 ", NOW_MS)
    filters.mask("price < 20", NOW_MS)
    assert len(filters._kept) == module.KEPT


def test_masks_are_kept_within_their_bytes(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MASK_BYTES", 5)  # two masks of two items, and none more
    filters = Filters(state)
    for n in range(6):
        filters.mask(f"price < {n}", NOW_MS)
    assert [kept.mask is not None for kept in filters._kept.values()] == [False] * 4 + [True] * 2


def test_a_filter_of_many_parts_holds_few_masks_at_once() -> None:
    made, N = State(), 50_000
    made.put_items([ItemChange(id=f"i{n}") for n in range(N)])
    made.put_items([ItemChange(id="a", properties={"p": 1})])
    filters = Filters(made)
    for word in ("or", "and"):
        text = f" {word} ".join(f"p<{n % 10}" for n in range(200))
        tracemalloc.start()
        try:
            filters.mask(text, NOW_MS)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert most < 20 * N


def test_texts_of_no_item_are_dropped_from_their_column() -> None:
    made = State()
    for n in range(5000):
        made.put_items([ItemChange(id=f"i{n % 3}", properties={"note": f"text {n}"})])
    column = made.catalogue.properties.texts["note"]
    assert len(column._texts) <= 1025
    assert mask(made, "note = 'text 4999'") == [False, True, False]
    assert mask(made, "'XT 499' in note") == [True, True, True]
    made.put_items([ItemChange(id="i1", properties=None)])
    assert mask(made, "'text' in note") == [True, False, True]
    assert mask(made, "'text' not in note") == [False, False, False]


def test_a_property_that_no_item_has_any_more_is_still_known_after_a_restart(state: State) -> None:
    state.put_items([
        ItemChange(id="a", properties={"my: size": 7, "note": "x", "sale": True, "sizes": [1]}),
        ItemChange(id="b", properties={"note": 3}),
    ])  # fmt: skip
    state.put_items([ItemChange(id="a", properties={"my: size": None, "note": None, "sale": None, "sizes": None})])
    state.forget_item("b")
    asked = {"not sale": [True, True], "not (1 in sizes)": [True, True], "`my: size` < 9": [False, False],
             "note = 'x' or note = 3": [False, False]}  # fmt: skip
    again = State()
    again.load(state.arrays())
    for one in (state, again):
        assert {text: mask(one, text) for text in asked} == asked
    assert again.catalogue.properties.types("note") == {"text", "number"}
    older = State()  # a checkpoint that says nothing of them
    older.load({name: array for name, array in state.arrays().items() if "/property_" not in name})
    with pytest.raises(FilterError, match="Unknown property 'sale'"):
        mask(older, "not sale")


def test_a_deleted_item_matches_nothing_but_its_being_hidden(state: State) -> None:
    state.forget_item("a")
    assert mask(state, "price < 20 or brand = 'x' or sale or 'shoes' in categories or 'red' in title") == [False, False]
    assert np.array_equal(mask(state, "hidden"), [True, False])
