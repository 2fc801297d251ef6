import json

import msgspec
import pytest

from everbrook.errors import InputError, RecordError
from everbrook.events.log_intake import (
    check_events,
    check_items,
    check_users,
    decode_events,
    decode_items,
    decode_users,
    parse_time_ms,
)
from everbrook.events.records import MAX_TIME_MS, UNSET, Event, ItemChange, UserChange, merge

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
GOOD = {"user": "u1", "item": "i9"}
NAMES = "context, id, item, kind, position, request, scenario, session, ts, user, value"


def decoded(*rows: object) -> list[Event]:
    return decode_events(json.dumps({"events": rows}).encode(), NOW_MS, 1000)


def test_the_body_of_the_interface_is_taken_as_it_stands():
    full = {
        "user": "u1", "item": "i9", "kind": "view", "ts": NOW_MS, "id": "e-1", "value": 1.0, "session": "s1",
        "scenario": "home", "request": "r-77", "position": 3, "context": {"device": "phone"},
    }
    (event,) = decoded(full)
    assert {name: getattr(event, name) for name in event.__struct_fields__} == full


def test_an_event_without_a_time_happens_now():
    assert decoded(GOOD)[0].ts == NOW_MS


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-01T00:00:00Z", NOW_MS),
        ("2026-01-01T01:00:00+01:00", NOW_MS),
        ("2025-12-31T23:59:59.123Z", NOW_MS - 877),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_times_in_text_are_milliseconds_since_1970(text, ms):
    assert decoded({**GOOD, "ts": text})[0].ts == ms == parse_time_ms(text)


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00", "yesterday", "", "1969-12-31T00:00:00Z"])
def test_other_texts_are_not_times(text):
    with pytest.raises(RecordError) as raised:
        decoded(GOOD, {**GOOD, "ts": text})
    assert raised.value.message == (
        "Record 1: Field 'ts' must be milliseconds since 1970 or RFC 3339 text such as '2026-01-01T00:00:00Z'; "
        f"got {text!r}."
    )
    assert raised.value.position == 1


def test_a_guest_needs_a_session_only():
    assert decoded({"session": "s", "item": "i"})[0].user is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"usr": "u", "item": "i"}, f"Unknown field 'usr'. Did you mean 'user'? Known: {NAMES}."),
        ({"user": "u"}, "Field 'item' must be text of 1 to 256 bytes; it is missing."),
        ({"user": "u", "item": ""}, "Field 'item' must be text of 1 to 256 bytes; got ''."),
        ({"user": 5, "item": "i"}, "Field 'user' must be text of 1 to 256 bytes; got a value of type int."),
        ({"item": "i"}, "An event must have a 'user' or a 'session'; got neither."),
        ({**GOOD, "user": "é" * 129}, "Field 'user' must be text of 1 to 256 bytes; got 258 bytes."),
        ({**GOOD, "ts": -4}, "Field 'ts' must be milliseconds since 1970 or RFC 3339 text; got -4."),
        ({**GOOD, "ts": 1.5}, "Field 'ts' must be milliseconds since 1970 or RFC 3339 text; got 1.5."),
        ({**GOOD, "value": 1e300}, "Field 'value' must be a number; got 1e+300."),
        ({**GOOD, "value": "5"}, "Field 'value' must be a number; got '5'."),
        ({**GOOD, "position": -1}, "Field 'position' must be an int >= 0; got -1."),
        ({**GOOD, "context": [1]}, "Field 'context' must be an object of texts, numbers and booleans; got [1]."),
        (
            {**GOOD, "ts": NOW_MS + 1001},
            "Field 'ts' must be at most 1 s after the present, 2026-01-01T00:00:00Z; got 2026-01-01T00:00:01Z.",
        ),
        ("x", "A record must be an object; expected `object`, got `str`."),
    ],
)
def test_a_wrong_record_is_named_with_what_was_got(row, message):
    with pytest.raises(RecordError) as raised:
        decoded(GOOD, GOOD, row, GOOD)
    assert raised.value.message == f"Record 2: {message}"
    assert raised.value.position == 2


def test_an_id_may_have_256_bytes():
    assert decoded({**GOOD, "user": "é" * 128})[0].user == "é" * 128


def test_a_time_within_the_tolerance_is_taken():
    assert decoded({**GOOD, "ts": NOW_MS + 1000})[0].ts == NOW_MS + 1000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"events": [', 'The body must be JSON like {"events": […]}; input data was truncated.'),
        (b"{}", 'The body must be JSON like {"events": […]}; object missing required field `events`.'),
        (b"[]", 'The body must be JSON like {"events": […]}; expected `object`, got `array`.'),
        (b'{"eventz": []}', "Unknown field 'eventz'. Did you mean 'events'? Known: events."),
        (b'{"events": [{"user": "\xff", "item": "i"}]}', "The body must be UTF-8; got bytes that are not."),
        (b'{"events": []} x',
         'The body must be JSON like {"events": […]}; JSON is malformed: trailing characters (byte 16).'),
        (b'{"events": [{"user": "", "item": "i"}',
         'The body must be JSON like {"events": […]}; input data was truncated.'),
        (b'{"events": [{"user": "", "item": "\xff"}]}', "The body must be UTF-8; got bytes that are not."),
        (b'{"events": [{"context": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"]}",
         "The body must not be nested as deep as it is."),
        (b'{"events": [{"user": 1, "context": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"]}",
         "The body must not be nested as deep as it is."),
    ],
)
def test_a_body_that_is_no_batch_is_refused(body, message):
    with pytest.raises(InputError) as raised:
        decode_events(body, NOW_MS, 0)
    assert raised.value.message == message


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000])
def test_a_number_that_nothing_holds_is_told_of_as_any_wrong_field(number):
    body = f'{{"events": [{{"user": "u", "item": "i"}}, {{"user": "u", "item": "i", "value": {number}}}]}}'.encode()
    with pytest.raises(RecordError) as raised:
        decode_events(body, NOW_MS, 0)
    assert raised.value.message.startswith("Record 1: Field 'value' must be a number; ")
    assert raised.value.message.endswith("out of range.")


def test_what_is_built_in_python_is_checked_by_the_same_rules():
    assert check_events([Event(**GOOD), GOOD], NOW_MS, 0) == decoded(GOOD, GOOD)
    with pytest.raises(RecordError, match=r"^Record 1: Field 'item' must be text of 1 to 256 bytes; got 3\.$"):
        check_events([Event(**GOOD), Event(user="u", item=3)], NOW_MS, 0)
    with pytest.raises(RecordError, match=r"^Record 0: Every text must be writable as UTF-8; got a lone surrogate\.$"):
        check_events([Event(user="u", item="\ud800")], NOW_MS, 0)
    with pytest.raises(RecordError, match=r"^Record 1: Every field must be writable as JSON; "):
        check_events([GOOD, {"user": "u", "item": object()}], NOW_MS, 0)


def test_a_value_that_is_no_number_counts_as_none():
    assert check_events([Event(**GOOD, value=float("nan"))], NOW_MS, 0)[0].value is None


def test_item_and_user_changes_tell_null_from_left_out():
    (item,) = decode_items(b'{"items": [{"id": "i", "title": null, "expires": "2026-01-01T00:00:00Z"}]}')
    assert (item.title, item.text, item.expires) == (None, UNSET, NOW_MS)
    assert msgspec.json.encode(item) == b'{"id":"i","title":null,"expires":%d}' % NOW_MS
    (user,) = decode_users(b'{"users": [{"id": "u", "properties": {"country": "DE"}}]}')
    assert user == UserChange(id="u", properties={"country": "DE"})
    assert check_items([item]) == [item]
    assert check_users([user]) == [user]


def test_a_wrong_item_is_named():
    with pytest.raises(RecordError) as raised:
        decode_items(b'{"items": [{"id": "i"}, {"id": "j", "vectors": {"image": ["a"]}}]}')
    message = "Record 1: Field 'vectors' must be an object of lists of numbers; got {'image': ['a']}."
    assert raised.value.message == message
    with pytest.raises(RecordError, match=r"^Record 0: Field 'id' must be text of 1 to 256 bytes; got 400 bytes\.$"):
        decode_users(json.dumps({"users": [{"id": "é" * 200}]}).encode())


def test_merging_keeps_what_is_left_out_and_removes_nulls():
    before = ItemChange(id="i", title="old", tags=["a"], properties={"price": 1, "brand": "x"}, vectors={"v": [1.0]})
    change = ItemChange(id="i", title=None, text="new", properties={"brand": None, "size": 3})
    assert merge(before, change) == ItemChange(
        id="i", text="new", tags=["a"], properties={"price": 1, "size": 3}, vectors={"v": [1.0]}
    )
    assert merge(UserChange(id="u", properties={"a": 1}), UserChange(id="u", properties=None)) == UserChange(id="u")


LATE = "9999-12-31T23:59:59-05:00"  # five hours later in UTC


@pytest.mark.parametrize("field", ["ts", "expires"])
def test_an_items_moment_after_the_year_9999_is_refused_as_text_as_it_is_as_a_number(field):
    with pytest.raises(RecordError) as raised:
        check_items([{"id": "b"}, {"id": "a", field: LATE}])
    assert raised.value.message == (
        f"Record 1: Field '{field}' must be milliseconds since 1970 or RFC 3339 text such as '2026-01-01T00:00:00Z'; "
        f"got '{LATE}'."
    )
    assert getattr(check_items([{"id": "a", field: LATE.replace("-05", "+05")}])[0], field) < MAX_TIME_MS


def test_an_events_moment_after_the_year_9999_is_refused():
    with pytest.raises(RecordError, match="Record 1: Field 'ts' must be milliseconds since 1970"):
        decoded(GOOD, {**GOOD, "ts": LATE})
