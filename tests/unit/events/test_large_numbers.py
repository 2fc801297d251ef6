"""Numbers that no float holds are refused wherever records come in, with record and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everbrook.errors import DataError, RecordError
from everbrook.events.checking import check
from everbrook.events.importing import open_source
from everbrook.events.log_intake import (
    check_events,
    check_items,
    check_users,
    decode_events,
    decode_items,
    decode_users,
    read_moment,
)  # fmt: skip

NOW_MS = 1_767_225_600_000
LARGE = 10**400
ITEM_RULE = "an object of texts, numbers, booleans and lists"
DOORS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], Any], str, str]] = {
    "events": (
        lambda body: decode_events(body, NOW_MS, 0), lambda records: check_events(records, NOW_MS, 0), "context",
        "an object of texts, numbers and booleans",
    ),
    "items": (decode_items, check_items, "properties", ITEM_RULE),
    "users": (decode_users, check_users, "properties", ITEM_RULE),
}  # fmt: skip


def records(name: str, field: str, value: Any) -> list[dict[str, Any]]:
    """A good record and one with a number."""
    plain = {"user": "u", "item": "i"} if name == "events" else {"id": "i"}
    return [plain, plain | {field: {"price": value}}]


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("number", [LARGE, -LARGE, int(1.7976931348623157e308) + 1])
def test_an_int_beyond_every_float_is_refused_with_record_and_field(name: str, number: int) -> None:
    decode, checked, field, rule = DOORS[name]
    for door, given in (
        (decode, json.dumps({name: records(name, field, number)}).encode()),
        (checked, records(name, field, number)),
    ):
        with pytest.raises(RecordError) as raised:
            door(given)  # type: ignore[operator]
        assert raised.value.message == f"Record 1: Field '{field}' must be {rule}; number out of range."


@pytest.mark.parametrize("name", DOORS)
def test_an_int_too_long_to_be_written_is_refused_in_the_same_words(name: str) -> None:
    _, checked, field, rule = DOORS[name]
    with pytest.raises(RecordError) as raised:
        checked(records(name, field, 10**5000))
    assert raised.value.message == f"Record 1: Field '{field}' must be {rule}; number out of range."


@pytest.mark.parametrize("name", DOORS)
def test_the_largest_int_that_a_float_holds_is_taken_as_it_is(name: str) -> None:
    _, checked, field, _ = DOORS[name]
    largest = int(1.7976931348623157e308)
    assert getattr(checked(records(name, field, largest))[1], field) == {"price": largest}


@pytest.mark.parametrize(
    ("decode", "body", "told"),
    [
        (decode_items, {"items": [{"id": "a"}, {"id": "b", "properties": {"": 1}}]}, "'properties' {}; got ''."),
        (decode_items, {"items": [{"id": "a"}, {"id": "b", "vectors": {"": [1]}}]}, "'vectors' {}; got ''."),
        (
            decode_items, {"items": [{"id": "a"}, {"id": "b", "properties": {"k" * 257: 1}}]},
            "'properties' {}; got '" + "k" * 56 + "…'.",
        ),
        (
            decode_users, {"users": [{"id": "a"}, {"id": "b", "properties": {"": 1}}]},
            "'properties' {}; got text of 0 bytes.",
        ),
    ],
)  # fmt: skip
def test_a_key_without_text_is_refused_with_record_and_field(
    decode: Callable[[bytes], Any], body: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecordError) as raised:
        decode(json.dumps(body).encode())
    assert raised.value.message == "Record 1: Field " + told.format("must have keys that are text of 1 to 256 bytes")


@pytest.mark.parametrize("stem", ["items", "users"])
def test_a_file_that_holds_such_a_number_is_refused_with_its_row(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.jsonl"
    rows = [{"id": "a", "title": "A"}, {"id": "b", "title": "B", "properties": {"price": LARGE}}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    source = open_source(path)
    with pytest.raises(DataError) as raised:
        list(getattr(source, stem)())
    assert raised.value.message == f"'{path}' row 2: 'properties' must be a JSON object; number out of range."
    report = check(path)
    assert not report.ok
    assert raised.value.message.rstrip(".") in [line.text for line in report.lines]


def test_a_file_whose_contexts_hold_such_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"user": "u", "item": "i", "ts": NOW_MS, "context": {"price": LARGE}}))
    with pytest.raises(DataError, match=r"^A context must be a JSON object; number out of range in '\{\"price\":1000"):
        open_source(path).load()


@pytest.mark.parametrize("text", ["²", "١٢", "9" * 5000, "-4", "soon", "", "1.5"])
def test_what_is_typed_and_is_no_count_of_milliseconds_stays_text(text: str) -> None:
    assert read_moment(text) == text


def test_milliseconds_may_be_typed() -> None:
    assert read_moment(str(NOW_MS)) == NOW_MS


def test_a_time_of_an_item_in_strange_digits_is_no_accident(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,title,ts\na,A,²\n", encoding="utf-8")
    [[change]] = open_source(path).items()
    with pytest.raises(RecordError, match=r"^Record 0: Field 'ts' must be milliseconds since 1970 or RFC 3339 text"):
        check_items([change])
