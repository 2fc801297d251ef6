"""A compiled filter matches the items that a plain loop over their records matches, also after records changed."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from everbrook.events.records import ItemChange
from everbrook.rank.filter_tokens import FilterError
from everbrook.rank.filters import Filters
from everbrook.state import State

NOW_MS = 1_750_000_000_000
DAY_MS = 86_400_000
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
Test = Callable[[ItemChange], bool]
Said = tuple[str, Test]  # a filter's text, and what it means for one record


def prop(record: ItemChange, name: str, kind: type | tuple[type, ...]) -> Any:
    """A property of the right type; None where the item has none."""
    value = (record.properties or {}).get(name.removeprefix("properties."))
    return value if isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)) else None


def numbers(name: str, sign: str, limit: float) -> Said:
    def test(record: ItemChange) -> bool:
        value = prop(record, name, (int, float))
        return value is not None and SIGNS[sign](value, limit)

    return f"{name} {sign} {limit}", test


def texts(name: str, sign: str, text: str) -> Said:
    def test(record: ItemChange) -> bool:
        value = prop(record, name, str)
        return value is not None and SIGNS[sign](value, text)

    return f"{name} {sign} '{text}'", test


def among(name: str, values: list[str], negative: bool) -> Said:
    def test(record: ItemChange) -> bool:
        value = prop(record, name, str)
        return value is not None and (value in values) != negative

    return f"{name} {'not ' * negative}in ({', '.join(repr(one) for one in values)})", test


def numbers_among(values: list[int], negative: bool) -> Said:
    def test(record: ItemChange) -> bool:
        value = prop(record, "price", (int, float))
        return value is not None and (value in values) != negative

    return f"price {'not ' * negative}in [{', '.join(map(str, values))}]", test


def holds(value: str, field: str, negative: bool) -> Said:
    def test(record: ItemChange) -> bool:
        return (value in (getattr(record, field) or ())) != negative

    return f"'{value}' {'not ' * negative}in {field}", test


def in_list(name: str, value: float | str, negative: bool) -> Said:
    def test(record: ItemChange) -> bool:
        values, text = prop(record, name, list), prop(record, name, str)
        if values is not None:
            return (value in [*map(_typed, values)]) != negative
        return isinstance(value, str) and text is not None and (value.lower() in text.lower()) != negative

    return f"{value!r} {'not ' * negative}in {name}", test


def _typed(one: Any) -> Any:
    return one if isinstance(one, str) else float(one)


def titled(piece: str, negative: bool) -> Said:
    def test(record: ItemChange) -> bool:
        return bool(record.title) and (piece.lower() in str(record.title).lower()) != negative

    return f"'{piece}' {'not ' * negative}in title", test


def true(name: str, sign: str, value: bool) -> Said:
    def test(record: ItemChange) -> bool:
        known = prop(record, name, bool)
        return known is not None and SIGNS[sign](known, value)

    return f"{name} {sign} {str(value).lower()}", test


def known_as(sign: str, item: str) -> Said:
    return f"id {sign} '{item}'", lambda record: SIGNS[sign](record.id, item)


def younger(sign: str, days: int) -> Said:
    def test(record: ItemChange) -> bool:
        return record.ts is not UNSET and SIGNS[sign](NOW_MS - int(record.ts), days * DAY_MS)  # type: ignore[arg-type]

    return f"age {sign} {days}d", test


SIGN = st.sampled_from(list(SIGNS))
EQUAL = st.sampled_from(["=", "!="])
TEXTS = st.sampled_from(["brand", "mixed", "properties.brand", "properties.title", "properties.id"])
NUMBERS = st.sampled_from(["price", "cost", "mixed", "properties.age"])
LISTS = st.sampled_from(["sizes", "either", "properties.sizes", "properties.categories", "properties.tags"])
LEAVES = st.one_of(
    st.builds(numbers, NUMBERS, SIGN, st.sampled_from([-1, 0, 5, 7.5, 10])),
    st.builds(texts, TEXTS, EQUAL, st.sampled_from(["x", "y", "z"])),
    st.builds(among, TEXTS, st.lists(st.sampled_from("xyz"), min_size=1), st.booleans()),
    st.builds(numbers_among, st.lists(st.sampled_from([0, 5, 10]), min_size=1), st.booleans()),
    st.builds(holds, st.sampled_from(["a", "b", "nobody"]), st.sampled_from(["categories", "tags"]), st.booleans()),
    st.builds(in_list, LISTS, st.sampled_from([38.0, 39.0, "s", "m"]), st.booleans()),
    st.builds(titled, st.sampled_from(["shoe", "RED", "q"]), st.booleans()),
    st.builds(true, st.sampled_from(["sale", "properties.hidden"]), EQUAL, st.booleans()),
    st.builds(known_as, EQUAL, st.sampled_from(["i0", "i1", "x"])),
    st.builds(younger, SIGN, st.integers(0, 9)),
    st.just(("hidden", lambda record: record.hidden is True)),
    st.just(("sale", lambda record: prop(record, "sale", bool) is True)),
    st.just(("properties.hidden", lambda record: prop(record, "hidden", bool) is True)),
    st.just(("cost < price", lambda record: _less(*(prop(record, one, (int, float)) for one in ("cost", "price"))))),
)


def _less(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one < other


def _joined(inner: st.SearchStrategy[Said]) -> st.SearchStrategy[Said]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) and {two[1][0]}", _all(two[0][1], two[1][1]))),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]} or {two[1][0]})", _any(two[0][1], two[1][1]))),
        inner.map(lambda one: (f"not ({one[0]})", _not(one[1]))),
    )


def _all(one: Test, other: Test) -> Test:
    return lambda record: one(record) and other(record)


def _any(one: Test, other: Test) -> Test:
    return lambda record: one(record) or other(record)


def _not(one: Test) -> Test:
    return lambda record: not one(record)


SAID = st.recursive(LEAVES, lambda inner: _joined(inner).map(lambda said: (f"({said[0]})", said[1])), max_leaves=6)
MAYBE = {
    "price": st.sampled_from([0, 5, 7.5, 10]), "cost": st.sampled_from([0.0, 5.0, 8.0]), "sale": st.booleans(),
    "brand": st.sampled_from(["x", "y"]), "mixed": st.one_of(st.sampled_from(["x", "z"]), st.integers(0, 9)),
    "sizes": st.lists(st.sampled_from([38, 39.0, "s"])), "either": st.sampled_from(["small", "S", [], ["s", 38], 7]),
    "title": st.sampled_from(["x", "Red shoe"]), "hidden": st.booleans(), "id": st.sampled_from(["x", "i1"]),
    "age": st.sampled_from([0, 5]), "categories": st.lists(st.sampled_from(["s", "a"])), "tags": st.just([38]),
}
NULLS = {name: st.one_of(st.none(), values) for name, values in MAYBE.items()}
CHANGES = st.builds(
    dict, title=st.sampled_from(["Red shoe", "blue SHOE", "hat", None]), hidden=st.one_of(st.none(), st.booleans()),
    categories=st.lists(st.sampled_from("ab"), unique=True), tags=st.one_of(st.none(), st.just(["a"]), st.just(["b"])),
    ts=st.one_of(st.none(), st.integers(0, 10).map(lambda days: NOW_MS - days * DAY_MS)),
    properties=st.one_of(st.none(), st.fixed_dictionaries({}, optional=NULLS)),
)
ALL = ItemChange(
    id="i0", tags=["a"],
    properties={
        "price": 1, "cost": 2, "sale": True, "brand": "x", "mixed": 1, "sizes": [1], "either": [1],
        "title": "x", "hidden": True, "id": "x", "age": 1, "categories": [1], "tags": [1],
    },
)  # fmt: skip
MIXED = ItemChange(id="i0", properties={"mixed": "x", "either": "x"})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), CHANGES), max_size=25), st.lists(SAID, min_size=1, max_size=4), st.data())
def test_a_filter_matches_what_a_plain_loop_matches(
    changes: list[tuple[int, dict[str, Any]]], said: list[Said], data: st.DataObject
) -> None:
    state = State()
    filters = Filters(state)
    state.put_items([ALL, MIXED])  # every name has its types
    for row, change in changes:
        state.put_items([ItemChange(id=f"i{row}", **change)])
        if data.draw(st.booleans()):
            filters.mask(said[0][0], NOW_MS)  # so that masks of earlier records are at hand
    n = state.n_items
    for text, test in said:
        records = [state.catalogue.get(row) or ItemChange(id=state.items.id(row)) for row in range(n)]
        wanted = [test(record) for record in records]
        assert filters.mask(text, NOW_MS).tolist() == wanted, text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab1 '\"()<>=!,.`\\andornotin\u00e9\n", max_size=60))
def test_any_text_is_a_filter_or_an_error_that_points_into_it(text: str) -> None:
    state = State()
    state.put_items([ItemChange(id="i0", properties={"a": 1.0, "b": "x"})])
    error, mask = None, np.zeros(1, np.bool_)
    try:
        mask = Filters(state).mask(text, NOW_MS)
    except FilterError as told:
        error = told
    assert (mask.dtype, len(mask)) == (np.bool_, 1)
    if error is not None:
        assert error.http_status == 400
        place = int("".join(filter(str.isdigit, error.message.rpartition(" at character ")[2].partition(";")[0])))
        assert 1 <= place <= len(text) + 1
        assert (error.hint or "").split("\n")[1].endswith("^")
