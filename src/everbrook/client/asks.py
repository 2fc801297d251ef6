"""What can be asked of a server, each as one request and the type of its answer; sending is elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from everbrook.errors import RecordError
from everbrook.events.records import Event, ItemChange, UserChange
from everbrook.rank.requests import Recommendation

AnswerT = TypeVar("AnswerT")
Told = Mapping[str, Any]


ERASING_S = 600.0  # a person is removed from every file, after those who were to be removed before


class Receipt(msgspec.Struct, frozen=True):
    """That records are durable and in the next list."""

    accepted: int
    duplicates: int
    offset: int


@dataclass(frozen=True, slots=True)
class Ask(Generic[AnswerT]):
    """One request.

    Args:
        method: in capitals.
        path: with what stands behind the '?'.
        gives: type of the answer.
        body: JSON; None where there is none.
        again: whether it may be sent again when nobody knows whether it arrived.
        patience_s: how long its answer is waited for at least.
    """

    method: str
    path: str
    gives: type[AnswerT]
    body: bytes | None = None
    again: bool = True
    patience_s: float = 0.0


def events(given: Sequence[Event | Told]) -> Ask[Receipt]:
    """Events, each with an id from before the first try, so that none counts twice however often it is sent."""
    return Ask("POST", "/v1/events", Receipt, msgspec.json.encode({"events": [with_id(one) for one in given]}))


def with_id(event: Event | Told) -> Told:
    """The event with an id of its own where it has none."""
    told: dict[str, Any] = msgspec.to_builtins(event) if isinstance(event, Event) else dict(event)
    return told if told.get("id") else told | {"id": uuid.uuid4().hex}


def raw_event(event: Event | Told) -> msgspec.Raw:
    """The same as JSON, as it is now.

    Raises:
        RecordError: it cannot be written as JSON.
    """
    try:
        return msgspec.Raw(msgspec.json.encode(with_id(event)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RecordError(f"Every field of an event must be writable as JSON; got: {error}.") from None


def raw_events(given: Sequence[msgspec.Raw]) -> Ask[Receipt]:
    """Events that are JSON already."""
    return Ask("POST", "/v1/events", Receipt, msgspec.json.encode({"events": given}))


def items(given: Sequence[ItemChange | Told]) -> Ask[Receipt]:
    """New or changed items."""
    return Ask("POST", "/v1/items", Receipt, msgspec.json.encode({"items": list(given)}))


def users(given: Sequence[UserChange | Told]) -> Ask[Receipt]:
    """New or changed users."""
    return Ask("POST", "/v1/users", Receipt, msgspec.json.encode({"users": list(given)}))


def recommend(fields: Told) -> Ask[Recommendation]:
    """A list."""
    return Ask("POST", "/v1/recommend", Recommendation, msgspec.json.encode(fields))


def get(*path: str, **asked: object) -> Ask[dict[str, Any]]:
    """Something to look at."""
    texts = [f"{name}={quote(_text(value), safe='')}" for name, value in asked.items() if value is not None]
    return Ask("GET", _path(path) + ("?" + "&".join(texts) if texts else ""), dict[str, Any])


def change(what: str, id_: str, fields: Told) -> Ask[dict[str, Any]]:
    """A change of one item or user."""
    return Ask("PATCH", _path((what, id_)), dict[str, Any], msgspec.json.encode(fields))


def delete(what: str, id_: str) -> Ask[dict[str, Any]]:
    """That an item or user is forgotten."""
    patience_s = ERASING_S if what == "users" else 0.0
    return Ask("DELETE", _path((what, id_)), dict[str, Any], again=what == "users", patience_s=patience_s)


def steer(what: str, **fields: object) -> Ask[dict[str, Any]]:
    """Something for the learner to do; it is not sent twice."""
    return Ask("POST", _path((what,)), dict[str, Any], msgspec.json.encode(fields), again=False)


def _path(parts: Sequence[str]) -> str:
    """A path in which no id is a dot or two, which clients and proxies take for a way up."""
    return "/v1/" + "/".join(quote(part, safe="").replace(".", "%2E") for part in parts)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
