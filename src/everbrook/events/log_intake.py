"""From what callers send to checked records: decoding, validation and the wording of what is wrong.

Nothing is kept here: a batch comes out whole, or an error names its first wrong record.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn, TypeVar, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from everbrook.errors import InputError, RecordError, unknown_name
from everbrook.events.records import ID_RULE, MAX_ID_BYTES, MAX_TIME_MS, Event, ItemChange, UserChange

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

RecordT = TypeVar("RecordT", Event, ItemChange, UserChange)


class EventBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/events."""

    events: list[Event]


class ItemBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/items."""

    items: list[ItemChange]


class UserBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/users."""

    users: list[UserChange]


_BATCHES = {"events": EventBatch, "items": ItemBatch, "users": UserBatch}
_RECORDS: dict[str, type[Event | ItemChange | UserChange]] = {"events": Event, "items": ItemChange, "users": UserChange}
_batch_decoders = {name: msgspec.json.Decoder(batch) for name, batch in _BATCHES.items()}
_decode_event_batch = msgspec.json.Decoder(EventBatch).decode
_list_decoders = {name: msgspec.json.Decoder(list[record]) for name, record in _RECORDS.items()}  # type: ignore[valid-type]
_EVENT_TEXTS = ("user", "item", "kind", "id", "session", "scenario", "request")
_PERSONAL = ("user", "session")
_NUMBERED = {"events": "context", "items": "properties", "users": "properties"}
_LARGEST = sys.float_info.max
_MOMENT_DIGITS = 19
_encoder = msgspec.json.Encoder()
_RFC_3339 = Annotated[datetime, Meta(tz=True)]


def decode_events(body: bytes, now_ms: int, tolerance_ms: int) -> list[Event]:
    """Decode and check the body {"events": […]}.

    Args:
        body: JSON in UTF-8.
        now_ms: the present; the time of events that give none.
        tolerance_ms: how far ahead of it an event's time may lie.

    Returns:
        The events in order; every `ts` is an int.

    Raises:
        InputError: the body is not such JSON.
        RecordError: an event is wrong.
    """
    try:
        events = _decode_event_batch(body).events
    except Exception:  # noqa: BLE001  whatever it is, it is raised again in the house's words
        events = _decode("events", body)
    return _checked_events(events, body, now_ms, tolerance_ms)


def decode_items(body: bytes) -> list[ItemChange]:
    """Decode and check the body {"items": […]}; raises as `decode_events` does."""
    return _checked_items(_decode("items", body), body)


def decode_users(body: bytes) -> list[UserChange]:
    """Decode and check the body {"users": […]}; raises as `decode_events` does."""
    return _checked_users(_decode("users", body), body)


def check_events(events: Sequence[Event | Mapping[str, Any]], now_ms: int, tolerance_ms: int) -> list[Event]:
    """Check events that were built in Python, or given as plain mappings, by the rules of `decode_events`."""
    body = _encoded("events", events)
    return _checked_events(_decode_list("events", body), body, now_ms, tolerance_ms)


def check_items(items: Sequence[ItemChange | Mapping[str, Any]]) -> list[ItemChange]:
    """Check item changes that were built in Python, or given as plain mappings."""
    body = _encoded("items", items)
    return _checked_items(_decode_list("items", body), body)


def check_users(users: Sequence[UserChange | Mapping[str, Any]]) -> list[UserChange]:
    """Check user changes that were built in Python, or given as plain mappings."""
    body = _encoded("users", users)
    return _checked_users(_decode_list("users", body), body)


def parse_time_ms(text: str) -> int:
    """Turn RFC 3339 text into milliseconds since 1970.

    Raises:
        ValueError: it is not such a time, or lies, in UTC, before 1970 or after 9999.
    """
    moment: datetime = msgspec.convert(text, _RFC_3339)
    ms = (moment - EPOCH) // MILLISECOND
    if not 0 <= ms <= MAX_TIME_MS:
        raise ValueError(text)
    return ms


def read_moment(text: str) -> int | str:
    """A moment as it is typed: whole milliseconds as such, any other text as it stands, to be read as RFC 3339."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOMENT_DIGITS else text


def has_large_int(values: Mapping[str, Any]) -> bool:
    """Whether an int among values is beyond every float: JSON holds it, and no column of numbers does."""
    for value in values.values():  # noqa: SIM110  to begin a generator costs more than these few
        if value.__class__ is int and not -_LARGEST <= value <= _LARGEST:
            return True
    return False


def _checked_events(events: list[Event], body: bytes, now_ms: int, tolerance_ms: int) -> list[Event]:
    latest_ms = now_ms + tolerance_ms
    for position, event in enumerate(events):
        ts = event.ts
        if ts.__class__ is not int:
            ts = now_ms if ts is None else _moment(ts, "ts", position)
            force_setattr(event, "ts", ts)  # nobody else has it yet
        if ts > latest_ms:
            raise RecordError(
                f"Field 'ts' must be at most {tolerance_ms / 1000:g} s after the present, {shown_ms(now_ms)}; "
                f"got {shown_ms(ts)}.",
                position,
            )
        if event.user is None and event.session is None:
            raise RecordError("An event must have a 'user' or a 'session'; got neither.", position)
        if event.context:
            _check_numbers("events", event.context, position)
    if not _is_plain(body):
        for position, event in enumerate(events):
            _check_bytes({name: getattr(event, name) for name in _EVENT_TEXTS}, position)
    return events


def _checked_items(items: list[ItemChange], body: bytes) -> list[ItemChange]:
    plain = _is_plain(body)
    for position, item in enumerate(items):
        changed = {
            name: _moment(value, name, position)
            for name, value in (("ts", item.ts), ("expires", item.expires))
            if isinstance(value, str)
        }
        if changed:
            items[position] = msgspec.structs.replace(item, **changed)
        if item.properties:
            _check_numbers("items", item.properties, position)
        if not plain:
            _check_bytes({"id": item.id}, position)
    return items


def _checked_users(users: list[UserChange], body: bytes) -> list[UserChange]:
    plain = _is_plain(body)
    for position, user in enumerate(users):
        if user.properties:
            _check_numbers("users", user.properties, position)
        if not plain:
            _check_bytes({"id": user.id}, position)
    return users


def _check_numbers(name: str, values: Mapping[str, Any], position: int) -> None:
    """Refuse an int that no float holds, in the words for such numbers in lists, where the decoder refuses them."""
    if has_large_int(values):
        field = _NUMBERED[name]
        raise RecordError(f"Field '{field}' must be {_rule(_RECORDS[name], field)}; number out of range.", position)


def _is_plain(body: bytes) -> bool:
    """Whether every text has as many bytes as characters, which the decoder has counted."""
    return body.isascii() and b"\\u" not in body


def _check_bytes(texts: Mapping[str, str | None], position: int) -> None:
    for name, text in texts.items():
        if text is not None and len(text) * 4 > MAX_ID_BYTES and len(text.encode()) > MAX_ID_BYTES:
            raise RecordError(
                f"Field '{name}' must be text of 1 to {MAX_ID_BYTES} bytes; got {len(text.encode())} bytes.", position
            )


def _moment(value: Any, name: str, position: int) -> int:
    try:
        return parse_time_ms(value)
    except (ValueError, OverflowError):
        raise RecordError(
            f"Field '{name}' must be milliseconds since 1970 or RFC 3339 text such as '2026-01-01T00:00:00Z'; "
            f"got {_shown(value)}.",
            position,
        ) from None


def shown_ms(ms: int) -> str:
    """A moment as RFC 3339 text, to the second."""
    return (EPOCH + ms * MILLISECOND).isoformat(timespec="seconds").replace("+00:00", "Z")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + text[-1]


def _kind_of(value: Any) -> str:
    """What a value is, without the value: errors end up in other people's logs, where no person may be named."""
    if isinstance(value, str):
        return f"text of {len(value.encode('utf-8', 'surrogatepass'))} bytes"
    return f"a value of type {type(value).__name__}"


def _decode(name: str, body: bytes) -> list[Any]:
    with _unreadable(name):
        try:
            return getattr(_batch_decoders[name].decode(body), name)
        except msgspec.ValidationError as error:
            _raise_reworded(error, name, body)


@contextmanager
def _unreadable(name: str) -> Iterator[None]:
    """Say in the house's words why a body is no JSON."""
    try:
        yield
    except UnicodeDecodeError:
        raise InputError("The body must be UTF-8; got bytes that are not.") from None
    except RecursionError:
        raise InputError("The body must not be nested as deep as it is.") from None
    except msgspec.DecodeError as error:
        raise InputError(f'The body must be JSON like {{"{name}": […]}}; {_lowered(str(error))}.') from None


def _decode_list(name: str, body: bytes) -> list[Any]:
    try:
        return _list_decoders[name].decode(body)
    except msgspec.ValidationError as error:
        _raise_reworded(error, name, body)


def _encoded(name: str, records: Sequence[Any]) -> bytes:
    """Encode records one by one where the batch cannot be, so that the error names the wrong one."""
    try:
        return _encoder.encode(list(records))
    except (TypeError, ValueError, OverflowError, RecursionError):
        for position, record in enumerate(records):
            _raise_unencodable(name, record, position)
        raise InputError(f"The {name} must be a list of records that can be written as JSON.") from None


def _raise_unencodable(name: str, record: Any, position: int) -> None:
    try:
        _encoder.encode(record)
    except UnicodeEncodeError:
        raise RecordError("Every text must be writable as UTF-8; got a lone surrogate.", position) from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        field = _NUMBERED[name]
        values = record.get(field) if isinstance(record, Mapping) else getattr(record, field, None)
        if isinstance(values, Mapping):
            _check_numbers(name, values, position)
        raise RecordError(f"Every field must be writable as JSON; {_lowered(str(error))}.", position) from None


_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`(?: - at `(.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`(?: - at `(.*)`)?$", re.DOTALL)
_PLACE = re.compile(r"^(?P<key>key` in `)?\$(?:\.\w+)?\[(?P<position>\d+)\](?:\.(?P<field>\w+))?")


def _raise_reworded(error: msgspec.ValidationError, name: str, body: bytes) -> NoReturn:
    """Say in the house's words what msgspec found."""
    message, _, path = str(error).partition(" - at `")
    place = _PLACE.match(path)
    if place is None:
        _raise_bad_envelope(message, name)
    position, field = int(place["position"]), place["field"]
    record = _RECORDS[name]
    if found := _UNKNOWN.match(message):
        raise RecordError(unknown_name("field", found[1], record.__struct_fields__), position) from None
    if found := _MISSING.match(message):
        raise RecordError(f"Field '{found[1]}' must be {_rule(record, found[1])}; it is missing.", position) from None
    if field is None:
        raise RecordError(f"A record must be an object; {_lowered(message)}.", position) from None
    try:
        got = msgspec.json.decode(body)
    except msgspec.ValidationError:  # a number somewhere in it that no float holds
        raise RecordError(f"Field '{field}' must be {_rule(record, field)}; {_lowered(message)}.", position) from None
    row = (got[name] if isinstance(got, dict) else got)[position]
    is_personal = record is UserChange or field in _PERSONAL
    if place["key"]:
        wrong = next(key for key in row[field] if not 1 <= len(key) <= MAX_ID_BYTES)
        told = _kind_of(wrong) if is_personal else _shown(wrong)
        raise RecordError(f"Field '{field}' must have keys that are {ID_RULE}; got {told}.", position) from None
    told = _kind_of(row[field]) if is_personal else _shown(row[field])
    raise RecordError(f"Field '{field}' must be {_rule(record, field)}; got {told}.", position) from None


def _raise_bad_envelope(message: str, name: str) -> NoReturn:
    if found := _UNKNOWN.match(message):
        raise InputError(unknown_name("field", found[1], [name])) from None
    raise InputError(f'The body must be JSON like {{"{name}": […]}}; {_lowered(message)}.') from None


def _rule(record: type, field: str) -> str:
    """What a field's value must be: the start of its description."""
    for note in getattr(get_type_hints(record, include_extras=True)[field], "__metadata__", ()):
        if isinstance(note, Meta) and note.description:
            return note.description.partition(":")[0]
    return "valid"


def _lowered(text: str) -> str:
    begin = text[:1] if text[1:2].isupper() else text[:1].lower()  # JSON stays JSON
    return begin + text[1:].rstrip(".")
